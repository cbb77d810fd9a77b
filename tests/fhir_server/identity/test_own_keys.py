"""Our own signing keys are changed without a moment in which a good token is refused."""

import pytest

from fhir_server.config import Settings
from fhir_server.errors import Unauthenticated
from fhir_server.identity import signing
from fhir_server.identity.bearer import Bearers
from fhir_server.security_settings import SecuritySettings
from fhir_server.server import Server
from tests.fhir_server.identity import holding

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings: Settings) -> Settings:
    # A process that looks for changes after the test alone.
    return settings.model_copy(update={"security": SecuritySettings(revocation_seconds=5)})


async def issued(server: Server, jti: str) -> str:
    """A token as the authorization server signs it now."""
    await holding.token(server, jti=jti)
    return await signing.sign(server, holding.said(jti=jti), "at+jwt")


async def test_a_process_takes_what_a_key_signs_that_another_made_just_now(server: Server) -> None:
    await holding.settled(server)
    here = Bearers(server)
    await here.caller(await issued(server, "t1"))
    await signing.rotate(server, 600)
    await here.caller(await issued(server, "t2"))
    new = await signing.rotate(server, 0)
    token = await issued(server, "t3")
    assert (await here.caller(token)).caller.token == "t3"
    async with server.database.statement() as connection:
        assert await signing.withdraw(connection, new)
    later = Bearers(server)  # one that has looked since
    with pytest.raises(Unauthenticated):
        await later.caller(token)
    await later.caller(await issued(server, "t4"))


async def test_an_old_key_is_published_until_its_last_token_has_ended(server: Server) -> None:
    await holding.settled(server)
    await signing.rotate(server, 0)
    life = server.settings.security.identity.access_token_seconds
    found = []
    for seconds in (life, life + 121):
        async with server.database.statement() as connection:
            await connection.execute(
                "UPDATE identity_signing_key SET signs_from = now() - make_interval(secs => %s)"
                " WHERE signs_from = (SELECT max(signs_from) FROM identity_signing_key)",
                (seconds,),
            )
            await connection.execute(
                "UPDATE identity_signing_key SET signs_from = now() - interval '9 days'"
                " WHERE signs_from < (SELECT max(signs_from) FROM identity_signing_key)"
            )
        found.append(len((await signing.published(server))["keys"]))
    assert found == [2, 1]
