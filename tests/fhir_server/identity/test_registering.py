"""What gives rights over HTTP: registering clients, changing roles, forms of pages."""

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import httpx
import msgspec
import pytest

from fhir_server.access import delegating, role_store
from fhir_server.access.role_table import Role, Rule, shipped, written
from fhir_server.access.scopes import scopes
from fhir_server.config import Settings
from fhir_server.errors import BadRequest
from fhir_server.identity import clients
from fhir_server.rights import Cleared, Grant, Matching, Related, Rights
from fhir_server.server import Server
from tests.fhir_server.identity.app import APP, AUTH, Person, cheap, settle
from tests.fhir_server.identity.holding import bearer, settled, token

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return cheap(settings)


async def registered(client: httpx.AsyncClient, holder: dict[str, str], scope: str) -> int:
    metadata = {"client_name": "A service", "grant_types": ["client_credentials"], "scope": scope}
    return (await client.post(f"{AUTH}/register", json=metadata, headers=holder)).status_code


async def clerk(server: Server, *, delegates: bool = False) -> None:
    """Give the user a role that registers clients and reads patients, and nothing else."""
    reading = (Rule(("Patient",), "rs"),)
    scopes_ = ("clients", "audit", "roles")
    role = Role("Clerk", reading, operator=scopes_, delegates=delegates)
    async with server.database.statement() as connection:
        await connection.execute(
            "INSERT INTO role (name, version, definition, changed_by)"
            " VALUES ('CLERK', 1, %s, 'test')",
            (msgspec.json.encode(role).decode(),),
        )
        await connection.execute("UPDATE identity_user SET roles = '{CLERK}'")


async def test_a_client_gets_no_right_that_who_registers_it_has_not(
    server: Server, client: httpx.AsyncClient
) -> None:
    await settled(server)
    await clerk(server)
    scope = "sangam/clients sangam/audit user/Patient.rs user/Observation.rs"
    holder = bearer(await token(server, scope=scope, auth_time=int(time.time())))
    asked = {
        "system/Patient.rs sangam/audit": 201,
        "system/Patient.r": 201,
        "system/Patient.cruds": 403,
        "system/Observation.rs": 403,
        "system/*.rs": 403,
        "sangam/roles": 403,
        "sangam/users": 400,
        "system/Patient.sr": 400,
        "user/*.cruds": 201,
    }
    assert {one: await registered(client, holder, one) for one in asked} == asked


async def test_an_administrator_registers_a_wide_service_right_after_a_login(
    server: Server, client: httpx.AsyncClient
) -> None:
    await settled(server)
    scope, now = "sangam/clients user/*.cruds", int(time.time())
    found = []
    for jti, since in (("t1", now), ("t2", now - 3600), ("t3", None)):
        holder = bearer(await token(server, jti=jti, scope=scope, auth_time=since))
        found.append(await registered(client, holder, "system/Observation.cruds"))
    assert found == [201, 401, 401]


async def test_whichever_role_delegates_registers_a_wide_service_and_no_other_by_its_name(
    server: Server, client: httpx.AsyncClient
) -> None:
    await settled(server)
    await clerk(server, delegates=True)
    scope, now = "sangam/clients user/*.cruds", int(time.time())
    holder = bearer(await token(server, scope=scope, auth_time=now))
    assert await registered(client, holder, "system/Observation.cruds") == 201
    async with server.database.statement() as connection:
        # The site's own administrator does not.
        await connection.execute(
            "UPDATE role SET name = 'ADMIN', definition = definition - 'delegates'"
        )
        await connection.execute("UPDATE identity_user SET roles = '{ADMIN}'")
    role_store.forget(server.database)
    holder = bearer(await token(server, jti="t2", scope=scope, auth_time=now))
    assert await registered(client, holder, "system/Observation.cruds") == 403


COVERED = (Cleared("R"),)


@pytest.mark.parametrize(
    ("wall", "scope", "is_covered"),
    [
        ((Grant("*", "rs"),), "system/*.rs", True),
        ((Grant("*", "rs", COVERED),), "system/Patient.r", True),
        ((Grant("Patient", "r"), Grant("Patient", "s")), "system/Patient.rs", True),
        ((Grant("Patient", "rs"),), "system/*.rs", False),
        ((Grant("Patient", "rs", (Related(("Practitioner/1",)),)),), "system/Patient.r", False),
        ((Grant("Patient", "rs", without=("name",)),), "system/Patient.r", False),
        (
            (Grant("Observation", "rs", (Matching((("category", "lab"),)),)),),
            "system/Observation.rs?category=lab&code=1",
            True,
        ),
        (
            (Grant("Observation", "rs", (Matching((("category", "lab"),)),)),),
            "system/Observation.rs?category=exam",
            False,
        ),
        ((), "system/Patient.r", False),
    ],
)
def test_rights_cover_a_scope_that_lets_through_no_more(
    wall: Iterable[Grant], scope: str, *, is_covered: bool
) -> None:
    rights = Rights(((Grant("*", "cruds"),), tuple(wall)))
    assert delegating.covers(rights, scopes(scope)) is is_covered


@pytest.mark.parametrize(
    "uri",
    [
        "https://asha:secret@app.example.org/back",
        "https://app.example.org@elsewhere.example/back",
        "https://@app.example.org/back",
        "https://app.example.org/back#part",
        "https://app.example.org/back#",
        "https://app.example.org/back/../other",
        "https://app.example.org/back/%2e%2E/other",
        "https://app.example.org/.%2e/other",
        "https://app.example.org\\back",
        "https://app.example.org\\@elsewhere.example/",
        "https://app.example.org./back",
        "https://app%2eexample.org/back",
        "https://\u0430pp.example.org/back",
        "https://*.example.org/back",
        "https:///back",
        "https:app.example.org",
        "http://localhost.elsewhere.example/back",
        "http://127.0.0.1.elsewhere.example/back",
        "http://2130706433/back",
        "http://app.example.org/back",
        "javascript:alert(1)",
        "data:text/html,x",
        "//app.example.org/back",
        "https://app.example.org/ba\r\nck",
    ],
)
def test_an_address_that_could_be_read_as_another_is_not_registered(uri: str) -> None:
    with pytest.raises(BadRequest):
        clients.check_redirect(uri)


@pytest.mark.parametrize(
    ("uri", "origin"),
    [
        ("https://App.example.org:443/back", "https://app.example.org"),
        ("https://app.example.org:8443/back", "https://app.example.org:8443"),
        ("http://127.0.0.1:80/", "http://127.0.0.1"),
        ("http://[::1]:8080/back", "http://[::1]:8080"),
        ("org.example.app:/back", "org.example.app:"),
    ],
)
def test_an_origin_is_as_browsers_write_it(uri: str, origin: str) -> None:
    assert clients.origin(uri) == origin


def test_a_client_is_not_larger_than_a_request_can_be_compared_with() -> None:
    good = tuple(f"https://app.example.org/{number}" for number in range(clients.MOST))
    clients.check(replace(APP, redirects=good))
    for change in (
        {"redirects": (*good, "https://app.example.org/more")},
        {"redirects": (f"https://app.example.org/{'a' * 2_048}",)},
        {"origins": good * 1_000},
        {"keys": {"keys": [{"kty": "RSA"}] * 101}},
        {"scope": "user/Patient.rs " * 2_000},
        {"name": "a" * 3_000},
    ):
        with pytest.raises(BadRequest):
            clients.check(replace(APP, **change))


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example.org",
        "https://app.example.org:8443/back;v=1/%C3%A9?next=/a/../b",
        "http://127.0.0.1/back",
        "http://[::1]:8000/",
        "http://localhost/",
        "org.example.app:/back",
    ],
)
def test_a_plain_address_is_registered(uri: str) -> None:
    clients.check_redirect(uri)


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


async def test_nobody_makes_a_role_of_their_own_wider_nor_gives_what_they_have_not(
    server: Server, client: httpx.AsyncClient
) -> None:
    await settled(server)
    await clerk(server)
    scope = "user/*.rs sangam/roles sangam/audit sangam/clients"
    holder = bearer(await token(server, scope=scope, auth_time=int(time.time())))
    own = Role("Clerk", (Rule(("Patient",), "rs"),), operator=("clients", "audit", "roles"))
    nurse = shipped().roles["NURSE"]

    async def changed(name: str, role: Role, **more: Any) -> int:
        text = written(msgspec.structs.replace(role, **more)).decode()
        parts = [{"name": "name", "valueString": name}, {"name": "definition", "valueString": text}]
        body = {"resourceType": "Parameters", "parameter": parts}
        return (await client.post("$role", json=body, headers=holder)).status_code

    wider = Rule(("Observation",), "rs")
    found = [
        await changed("CLERK", own, grants=(*own.grants, wider)),
        await changed("CLERK", own, clearance="R"),
        await changed("CLERK", own, staff=False),
        await changed("CLERK", own, sensitivities=("HIV",)),
        await changed("CLERK", own, operator=(*own.operator, "expunge")),
        await changed("NURSE", nurse, operator=("expunge",)),
        await changed("NURSE", nurse, operator=("audit",)),
        await changed("NURSE", nurse, grants=(*nurse.grants, wider)),
        await changed("CLERK", own, title="A clerk", operator=("clients", "roles")),
    ]
    assert found == [403] * 6 + [200] * 3
