"""What gives rights over HTTP: registering clients, changing roles, forms of pages."""

import time

import httpx
import pytest

from fhir_server.config import Settings
from fhir_server.server import Server
from tests.fhir_server.identity.app import AUTH, Person, cheap, settle
from tests.fhir_server.identity.holding import bearer, settled, token

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return cheap(settings)


async def test_a_client_gets_no_operator_scope_that_who_registers_it_has_not(
    server: Server, client: httpx.AsyncClient
) -> None:
    await settled(server)
    holder = bearer(await token(server, scope="sangam/clients sangam/audit"))

    async def registered(scope: str) -> int:
        metadata = {"client_name": "A service", "grant_types": ["client_credentials"]}
        answer = await client.post(
            f"{AUTH}/register", json={**metadata, "scope": scope}, headers=holder
        )
        return answer.status_code

    asked = ("system/Patient.rs sangam/audit", "sangam/tenants", "system/Patient.rs sangam/keys")
    assert [await registered(one) for one in asked] == [201, 403, 403]


async def test_a_form_with_a_token_that_is_no_text_of_ours_is_refused(
    server: Server, client: httpx.AsyncClient
) -> None:
    await settle(server)
    person = Person(client)
    assert (await person.log_in()).status_code == 303
    person.hidden = {}
    found = [(await person.send("logout", csrf=one)).status_code for one in ("", "guess", "ü")]
    assert found == [403, 403, 403]


async def test_a_person_logs_in_again_to_change_roles(
    server: Server, client: httpx.AsyncClient
) -> None:
    await settled(server)
    now = int(time.time())

    async def answers(jti: str, ago: int | None) -> list[int]:
        since = None if ago is None else now - ago
        given = await token(server, jti=jti, scope="user/*.rs sangam/roles", auth_time=since)
        holder = bearer(given)
        gone = await client.delete("$role?name=NURSE", headers=holder)
        read = await client.get("$role?name=NURSE", headers=holder)
        return [gone.status_code, read.status_code]

    found = [await answers("t1", 0), await answers("t2", 3600), await answers("t3", None)]
    assert found == [[200, 200], [401, 200], [401, 200]]
