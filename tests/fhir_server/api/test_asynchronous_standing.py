"""What was accepted is carried out only for who may still have it."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.access import roles
from fhir_server.access.role_table import shipped
from fhir_server.access.roles import Person
from fhir_server.api import rest
from fhir_server.caller import Caller
from fhir_server.config import AsynchronousSettings, Settings
from fhir_server.errors import Forbidden, Unauthenticated
from fhir_server.identity import standing
from fhir_server.identity.claims import Claims
from fhir_server.identity.present import present
from fhir_server.rights import Rights
from fhir_server.security_settings import Issuer, SecuritySettings
from fhir_server.server import Server
from tests.fhir_server.identity.holding import bearer, settled, token

PATIENT = {"resourceType": "Patient", "id": "a", "name": [{"family": "Marker"}]}
LATER = {"prefer": "respond-async"}
ENDED = "UPDATE identity_issued SET revoked_at = now()"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        demo=True,
        data_dir=tmp_path / "data",
        asynchronous=AsynchronousSettings(lanes=1, poll_seconds=0),
        security=SecuritySettings(revocation_seconds=0.01),
    )


async def execute(server: Server, statement: str) -> None:
    async with server.database.statement() as connection:
        await connection.execute(statement)


async def deferred(server: Server, client: httpx.AsyncClient) -> tuple[dict[str, str], str]:
    """Return who has asked for a search, and where its answer will be."""
    await settled(server)
    await client.put("/Patient/a", json=PATIENT)
    holder = bearer(await token(server, scope="user/*.rs"))
    accepted = await client.get("/Patient", headers={**holder, **LATER})
    assert accepted.status_code == 202
    return holder, accepted.headers["content-location"]


async def outcome(server: Server) -> tuple[int, bytes]:
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT status, answer FROM asynchronous_request")
        [(status, answer)] = await cursor.fetchall()
        return status, bytes(answer)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        pytest.param("SELECT 1", 200, id="nothing"),
        pytest.param(ENDED, 401, id="token"),
        pytest.param("UPDATE identity_grant SET ended_at = now()", 401, id="login"),
        pytest.param("UPDATE identity_user SET active = false", 401, id="user"),
        pytest.param("UPDATE identity_client SET active = false", 401, id="app"),
        pytest.param("DELETE FROM identity_issued", 401, id="unknown"),
        pytest.param("UPDATE identity_user SET roles = '{}'", 403, id="roles"),
        pytest.param("UPDATE identity_user SET roles = '{RADIOLOGIST}'", 200, id="other_role"),
    ],
)
async def test_a_request_is_carried_out_with_what_who_asked_may_by_then(
    server: Server, client: httpx.AsyncClient, change: str, status: int
) -> None:
    _, url = await deferred(server, client)
    await execute(server, change)
    await rest.carry_out(server, {"lane": 0})
    found, answer = await outcome(server)
    assert (found, b"Marker" in answer) == (status, change == "SELECT 1")
    assert url


BY_ROLES = roles.wall(
    shipped(), ["DOCTOR", "ADMIN"], Person("Practitioner/p1"), {"admin_clinical": True}
)
THEIRS = Caller(
    "user/of-theirs",
    "rest",
    Rights((BY_ROLES,), frozenset({"audit"})),
    user="Practitioner/p1",
    client="portal",
    token="t9",
    roles=("DOCTOR", "ADMIN"),
)


async def test_who_has_a_token_of_another_issuer_keeps_no_role_that_was_taken(
    server: Server,
) -> None:
    issuer = Issuer(url="https://login.example.org", clients=("portal",))
    security = server.settings.security.model_copy(update={"issuers": (issuer,)})
    outside = replace(server, settings=server.settings.model_copy(update={"security": security}))
    await settled(server, ("DOCTOR",))
    found = await present(outside, THEIRS)
    assert (found.rights.operator, found.rights.walls[0]) == (frozenset(), BY_ROLES)
    assert len(found.rights.walls) > 1
    await execute(server, "UPDATE identity_user SET roles = '{}'")
    with pytest.raises(Forbidden):
        await present(outside, THEIRS)
    # Of a token of our own, of which nothing is known any more, it is not said that it stands.
    with pytest.raises(Unauthenticated):
        await present(outside, replace(THEIRS, name="user/u1"))


async def test_who_is_blocked_is_so_for_a_request_and_for_what_was_left_to_be_done(
    server: Server,
) -> None:
    issuer = Issuer(url="https://login.example.org", clients=("portal",))
    security = server.settings.security.model_copy(update={"issuers": (issuer,)})
    outside = replace(server, settings=server.settings.model_copy(update={"security": security}))
    await settled(server, ("DOCTOR", "ADMIN"))
    await execute(
        server,
        "INSERT INTO identity_user (id, name, display, fhir_user, roles, password, active)"
        " SELECT 'u2', 'asha2', display, fhir_user, roles, password, false FROM identity_user",
    )
    told = Claims(issuer.url, "of-theirs", "portal", "", "t9", 0.0, "Practitioner/p1")
    # Of two users one is blocked: the other lets the person in, with a token and later.
    async with server.database.connection() as connection:
        assert (await standing.of_theirs(connection, told)).roles == ("DOCTOR", "ADMIN")
    assert (await present(outside, THEIRS)).roles == THEIRS.roles
    await execute(server, "UPDATE identity_user SET active = false")
    async with server.database.connection() as connection:
        with pytest.raises(Unauthenticated):
            await standing.of_theirs(connection, told)
    with pytest.raises(Unauthenticated):
        await present(outside, THEIRS)
    with pytest.raises(Unauthenticated):
        await present(outside, replace(THEIRS, roles=()))


async def test_a_request_under_way_is_given_up_when_the_access_ends(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await deferred(server, client)
    begun: list[str] = []
    ended: list[str] = []

    async def endless(*_: Any) -> Any:
        begun.append("")
        await execute(server, ENDED)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("")

    monkeypatch.setattr(rest, "_carried", endless)
    async with asyncio.timeout(20):
        await rest.carry_out(server, {"lane": 0})
    assert ((await outcome(server))[0], len(begun), len(ended)) == (401, 1, 1)


async def test_an_answer_is_for_who_asked_while_he_may(
    server: Server, client: httpx.AsyncClient
) -> None:
    holder, url = await deferred(server, client)
    await rest.carry_out(server, {"lane": 0})
    assert (await client.get(url, headers=holder)).status_code == 200
    other = bearer(await token(server, jti="t2", scope="user/Patient.r"))
    assert (await client.get(url, headers=other)).status_code == 404
    await execute(server, ENDED)
    await asyncio.sleep(0.02)
    assert (await client.get(url, headers=holder)).status_code == 401
