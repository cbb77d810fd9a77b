"""`$role`: what roles may do, read and changed.

    GET    [base]/$role               all roles, with the version of the last change
    GET    [base]/$role?name=NURSE    one of them, as TOML
    POST   [base]/$role               name, definition (TOML): put it in force
    DELETE [base]/$role?name=NURSE    put the one in force that is shipped

An operation of this server, for those who may change roles.
"""

from typing import Any

import msgspec

from fhir_server.access.role_table import written
from fhir_server.caller import Caller
from fhir_server.errors import BadRequest, NotFound
from fhir_server.interactions import roles
from fhir_server.operations.operation import Call, Operation, Result
from fhir_server.server import Server


async def _read(server: Server, caller: Caller, call: Call) -> Result:
    """Tell what is in force."""
    call.refuse_others(["name"])
    table, known = await roles.read(server, caller)
    names = call.texts("name") or list(table.roles)
    if not set(names) <= set(table.roles):
        raise NotFound("There is no such role")
    asked = bool(call.texts("name"))
    found: list[dict[str, Any]] = []
    for name in names:
        change = known.get(name)
        parts = [_text("name", name), _text("title", table.roles[name].title)]
        parts.append({"name": "version", "valueInteger": change.version if change else 0})
        if asked:
            parts.append(_text("definition", written(table.roles[name]).decode()))
        found.append({"name": "role", "part": parts})
    return _told(found)


async def _change(server: Server, caller: Caller, call: Call) -> Result:
    """Put a role in force."""
    call.refuse_others(["name", "definition"])
    definition = _one(call, "definition").encode()
    version = await roles.change(server, caller, _one(call, "name"), definition)
    return _told([{"name": "version", "valueInteger": version}])


async def _reset(server: Server, caller: Caller, call: Call) -> Result:
    """Put the shipped one in force."""
    call.refuse_others(["name"])
    version = await roles.reset(server, caller, _one(call, "name"))
    return _told([{"name": "version", "valueInteger": version}])


OPERATION = Operation(
    name="role",
    definition="urn:sangam:operation:role",
    methods={"GET": _read, "POST": _change, "DELETE": _reset},
    system=True,
)


def _one(call: Call, name: str) -> str:
    found = call.texts(name)
    if len(found) != 1:
        raise BadRequest("The parameter is given once", code="required", expression=name)
    return found[0]


def _text(name: str, text: str) -> dict[str, Any]:
    return {"name": name, "valueString": text}


def _told(found: list[dict[str, Any]]) -> Result:
    return Result(200, msgspec.json.encode({"resourceType": "Parameters", "parameter": found}))
