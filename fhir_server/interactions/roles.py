"""Changes of what roles may do.

Each is checked, kept with its versions, and audited in its transaction.
"""

import re
from collections.abc import Mapping
from typing import Final

from fhir_server.access import role_store, role_table
from fhir_server.access.role_store import Changed
from fhir_server.access.role_table import Role, RoleTable
from fhir_server.audit.happening import ROLES_CHANGED, happened
from fhir_server.caller import Caller, is_service
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, Forbidden, NotFound, Unprocessable
from fhir_server.interactions import fresh_login
from fhir_server.rights import ANY
from fhir_server.server import Server
from fhir_server.store.attempts import atomically

CHANGING: Final = "roles"
"""The operator scope of those who change roles."""

_NAME = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_NONE: Final = Role("")


async def read(server: Server, caller: Caller) -> tuple[RoleTable, Mapping[str, Changed]]:
    """Return the roles in force and the changes of those that were changed, by name."""
    _require(caller)
    async with server.database.connection() as connection:
        known = await role_store.changed(connection)
        return await role_store.table(connection), {one.name: one for one in known}


async def change(server: Server, caller: Caller, name: str, text: bytes) -> int:
    """Put a role written in TOML in force; return the version of the change.

    BadRequest for what is no role, Unprocessable for what a role may not be, Unauthenticated
    for a person whose login is not fresh.
    """
    _require(caller)
    _require_fresh(server, caller)
    if not _NAME.fullmatch(name):
        raise BadRequest("A role's name is written in capitals", code="value", expression="name")
    role = role_table.read(text)
    fault = role_table.faults(
        role_table.shipped(),
        role,
        server.definitions.resource_types,
        role_store.flags(server.settings.security.roles),
    )
    if fault:
        raise Unprocessable(f"The role cannot be so: {fault}", code="business-rule")
    await _require_other(server, caller, name, role)
    return await _changed(server, caller, name, role)


async def reset(server: Server, caller: Caller, name: str) -> int:
    """Put the role in force that is shipped, or none where none of the name is."""
    _require(caller)
    _require_fresh(server, caller)
    table, known = await read(server, caller)
    if name not in table.roles and name not in known:
        raise NotFound("There is no such role")
    await _require_other(server, caller, name, role_table.shipped().roles.get(name) or _NONE)
    return await _changed(server, caller, name, None)


async def _changed(server: Server, caller: Caller, name: str, role: Role | None) -> int:
    async def work(connection: Connection) -> int:
        version = await role_store.change(connection, name, role, caller.user or caller.name)
        await happened(connection, caller, ROLES_CHANGED, about=[name])
        return version

    version = await atomically(server.database, work)
    role_store.forget(server.database)
    return version


def _require(caller: Caller) -> None:
    if not caller.rights.operator & {ANY, CHANGING}:
        raise Forbidden("Roles are read and changed by who has the right to")


async def _require_other(server: Server, caller: Caller, name: str, after: Role) -> None:
    """Refuse a change by which who makes it would gain by it: that takes another person."""
    if ANY in caller.rights.operator:
        return
    async with server.database.connection() as connection:
        before = (await role_store.table(connection)).roles.get(name) or _NONE
    if not {*after.operator} <= {*before.operator, *caller.rights.operator}:
        raise Forbidden("A role is given no operator scope that you have not")
    if role_table.is_within(after, before):
        return
    if is_service(caller):
        raise Forbidden("A role is made wider by a person")
    if name in caller.roles:
        raise Forbidden("A role that you have is made wider by somebody else")


def _require_fresh(server: Server, caller: Caller) -> None:
    """Refuse a person who did not log in just now; services and our own jobs have no login."""
    if caller.user is not None or caller.roles:
        fresh_login.require(server, caller, "to change roles")
