"""Who may change what roles may do, and that it counts."""

import httpx
import pytest

from fhir_server.access import role_store
from fhir_server.access.role_table import Role, Rule, shipped
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


async def test_changed_role_is_in_force_beside_the_others(server: Server) -> None:
    before = await role_store.in_force(server)
    assert before == shipped()
    night = Role("Night nurse", (Rule(("Observation",), "rs"),))
    async with server.database.statement() as connection:
        await role_store.change(connection, "NIGHT_NURSE", night, "tests")
    role_store.forget(server.database)
    after = await role_store.in_force(server)
    assert after.roles == {**shipped().roles, "NIGHT_NURSE": night}
