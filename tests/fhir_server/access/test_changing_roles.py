"""Who may change what roles may do, and that it counts."""

import runpy
from dataclasses import replace

import httpx
import pytest

from fhir_server.access import role_store
from fhir_server.access.role_table import Role, Rule, shipped
from fhir_server.main import migrate
from fhir_server.server import Server

from .restricted import Asking, asking

pytestmark = pytest.mark.anyio
__all__ = ["asking"]


@pytest.mark.parametrize(
    ("operator", "code"),
    [(frozenset(), 403), (frozenset({"audit"}), 403), (frozenset({"roles"}), 200)],
)
async def test_roles_are_read_by_those_who_may_change_them(
    client: httpx.AsyncClient, asking: Asking, operator: frozenset[str], code: int
) -> None:
    asking.be(operator=operator)
    assert (await client.get("/$role")).status_code == code
    assert (await client.delete("/$role?name=NURSE")).status_code == code


WIDER = """title = "Administrator"
operator = ["roles"]
[[grants]]
types = ["*"]
letters = "crus"
"""
NARROWER = """title = "Nurse"
"""


async def test_nobody_makes_a_role_wider_by_way_of_a_service_of_theirs(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    asking.be(operator=frozenset({"roles"}))
    for name, text, status in (
        ("ADMIN", WIDER, 403),
        ("NEW", WIDER, 403),
        ("NURSE", NARROWER, 200),
    ):
        given = [
            {"name": "name", "valueString": name},
            {"name": "definition", "valueString": text},
        ]
        sent = {"resourceType": "Parameters", "parameter": given}
        assert (await client.post("/$role", json=sent)).status_code == status, name
    # To bring back what is shipped is wider now.
    assert (await client.delete("/$role?name=NURSE")).status_code == 403


async def test_person_without_a_record_logs_in_again_to_change_roles(
    client: httpx.AsyncClient, asking: Asking
) -> None:
    asking.be(operator=frozenset({"roles"}))
    asking.caller = replace(asking.caller, roles=("ADMIN",))
    assert (await client.delete("/$role?name=NURSE")).status_code == 401


async def test_changed_role_is_in_force_beside_the_others(server: Server) -> None:
    before = await role_store.in_force(server)
    assert before == shipped()
    night = Role("Night nurse", (Rule(("Observation",), "rs"),))
    async with server.database.statement() as connection:
        await role_store.change(connection, "NIGHT_NURSE", night, "tests")
    role_store.forget(server.database)
    after = await role_store.in_force(server)
    assert after.roles == {**shipped().roles, "NIGHT_NURSE": night}


async def test_an_upgrade_leaves_to_changed_roles_what_their_names_meant(server: Server) -> None:
    revision = runpy.run_path(str(migrate.SCRIPTS / "versions" / "0041_roles_and_disclosure.py"))
    async with server.database.transaction() as connection:
        for name in ("ADMIN", "BILLING_STAFF", "CLERK"):
            await role_store.change(connection, name, Role(name.title()), "test")
        await role_store.change(connection, "NURSE", None, "test")
        for statement in revision["_KEEP"]:
            await connection.execute(statement)
        known = (await role_store.table(connection)).roles
    found = {name: (known[name].delegates, known[name].purpose) for name in ("ADMIN", "CLERK")}
    assert found == {"ADMIN": (True, "TREAT"), "CLERK": (False, "TREAT")}
    assert known["BILLING_STAFF"].purpose == "HPAYMT"
    assert known["NURSE"] == shipped().roles["NURSE"]
