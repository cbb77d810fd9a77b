"""`$reindex`: index rows made anew, how far that is, and its end.

    POST [base]/$reindex                       all types, or those that `type` and `url` name
    POST [base]/SearchParameter/[id]/$reindex  the types of this parameter
    GET, DELETE at the same places             progress; cancel

An operation of this server, for those who run it.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from fhir_server.access import operators
from fhir_server.caller import Caller
from fhir_server.errors import BadRequest, NotFound
from fhir_server.interactions import reindex
from fhir_server.operations.operation import Call, Operation, Result
from fhir_server.server import Server
from fhir_server.store import coverage, progress
from fhir_server.store.progress import Progress

SEARCH_PARAMETER = "SearchParameter"


async def _ask(server: Server, caller: Caller, call: Call) -> Result:
    """Have the index made anew; the answer is where that stands."""
    operators.require(caller.rights, operators.REINDEX)
    call.refuse_others(["type", "url"] if call.level == "system" else [])
    key = await _key(server, call)
    if key is not None:
        await reindex.ask(server, await _types(server, key), key)
    else:
        await reindex.ask(server, await _named(server, call))
    told = await _told(server, key)
    return Result(202, told.body, {"Content-Location": _location(server, call)})


async def _progress(server: Server, caller: Caller, call: Call) -> Result:
    """Tell how far it is."""
    operators.require(caller.rights, operators.REINDEX)
    call.refuse_others([])
    return await _told(server, await _key(server, call))


async def _cancel(server: Server, caller: Caller, call: Call) -> Result:
    """Stop what goes on. What is not searchable yet stays so until it is asked for again."""
    operators.require(caller.rights, operators.REINDEX)
    call.refuse_others([])
    key = await _key(server, call)
    await reindex.cancel(server, key)
    told = await _told(server, key)
    return Result(202, told.body)


OPERATION = Operation(
    name="reindex",
    definition="urn:sangam:operation:reindex",
    methods={"POST": _ask, "GET": _progress, "DELETE": _cancel},
    system=True,
    instances=frozenset((SEARCH_PARAMETER,)),
)


def _location(server: Server, call: Call) -> str:
    inside = f"{call.type}/{call.id}/" if call.id else ""
    return f"{server.base}/{inside}$reindex"


async def _key(server: Server, call: Call) -> int | None:
    """Return the key of the SearchParameter that is called; None at the level of the system."""
    if call.level == "system":
        return None
    type_id = server.definitions.type_ids[call.type]
    async with server.database.connection() as connection:
        found = await coverage.key(connection, type_id, call.id)
    if found is None:
        raise NotFound(f"There is no such {call.type}")
    return found


async def _types(server: Server, key: int) -> list[str]:
    """Return the types on which a SearchParameter is searchable: their rows are made anew."""
    async with server.database.connection() as connection:
        found = [one for one in await coverage.covered(connection) if one.parameter == key]
    if not found:
        raise BadRequest("The SearchParameter is not in use", code="business-rule")
    return [one.definition.base for one in found if one.state == "complete"]


async def _named(server: Server, call: Call) -> list[str]:
    """Return the types that the call names, by themselves or by a parameter's URL; else all."""
    types, urls = call.texts("type"), call.texts("url")
    if not types and not urls:
        return list(server.definitions.resource_types)
    for name in types:
        if name not in server.definitions.type_ids:
            raise BadRequest("This is no resource type", code="value", expression="type")
    found = set(types)
    for url in urls:
        having = _having(server, url)
        if not having:
            raise BadRequest("There is no such search parameter", code="value", expression="url")
        found |= having
    return sorted(found)


def _having(server: Server, url: str) -> set[str]:
    registry = server.registry
    return {
        name
        for name in server.definitions.resource_types
        if any(one.url == url for one in registry.parameters(name).values())
    }


async def _told(server: Server, key: int | None) -> Result:
    async with server.database.connection() as connection:
        found = [] if key is not None else await progress.walks(connection)
        found += await progress.coverages(connection, key)
    parameters = {"resourceType": "Parameters", "parameter": [_parameter(server, p) for p in found]}
    if not found:
        del parameters["parameter"]
    return Result(200, msgspec.json.encode(parameters))


def _parameter(server: Server, one: Progress) -> dict[str, Any]:
    names = server.definitions.type_names
    parts: list[dict[str, Any]] = []
    if one.parameter:
        literal = f"{SEARCH_PARAMETER}/{one.parameter}/_history/{one.version}"
        parts.append({"name": "definition", "valueReference": {"reference": literal}})
        parts.append({"name": "code", "valueCode": one.code})
    parts += [
        {"name": "type", "valueCode": names[one.type_id]},
        {"name": "state", "valueCode": one.state},
        {"name": "done", "valueUnsignedInt": one.done},
        {"name": "total", "valueUnsignedInt": one.total},
        {"name": "errors", "valueUnsignedInt": one.failed},
        *_errors((f"{names[type_id]}/{id_}", text) for (type_id, id_), text in one.errors.items()),
    ]
    return {"name": "searchParameter" if one.parameter else "rebuild", "part": parts}


def _errors(found: Iterable[tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {
            "name": "error",
            "part": [
                {"name": "resource", "valueReference": {"reference": literal}},
                {"name": "reason", "valueString": text},
            ],
        }
        for literal, text in found
    ]
