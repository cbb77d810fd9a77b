"""`$closure`: a table of who subsumes whom, kept for a client and told as it grows.

https://hl7.org/fhir/R4/conceptmap-operation-closure.html
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, NotFound
from fhir_server.operations.operation import Call, Operation, Result
from fhir_server.operations.terminology import ask
from fhir_server.operations.terminology.sent import parameters
from fhir_server.r4 import json
from fhir_server.server import Server
from fhir_server.store import closure as store
from fhir_server.store.closure import Closure, Concept, Entry
from terminology.closure import Relation, relations
from terminology.coding import Coding, read_coding
from terminology.issues import Issue, Refusal
from terminology.library import Library
from terminology.parameters import Given, read_parameters
from terminology.scope import Scope

# A version is a 64-bit number of the table; what has more digits was never one.
_DIGITS = 18


async def _closure(server: Server, _: Caller, call: Call) -> Result:
    """Begin a table, add concepts to it, or tell what was added since a version."""
    try:
        sent = parameters(call)
        given = read_parameters(sent)
        name, version = given.text("name"), given.text("version")
        codings = _codings(given)
        _require(name, version, codings)
        library = await ask.library_of(server, call, sent)
        work = _answered(server, library, name or "", version, codings)
        return Result(200, json.encode(await ask.within(server, work)))
    except Refusal as refused:
        return ask.refusal(refused)


OPERATION = Operation(
    name="closure",
    definition="http://hl7.org/fhir/OperationDefinition/ConceptMap-closure",
    methods={"POST": _closure},
    system=True,
    takes_as_sent=True,
)


def _codings(given: Given) -> list[Coding]:
    found = [one.get("valueCoding") for one in given.named("concept")]
    if not all(isinstance(one, dict) for one in found):
        raise BadRequest("The parameter is a Coding", code="value", expression="concept")
    codings = [read_coding(one, "concept") for one in found if one]
    if not all(one.system and one.code for one in codings) or len(codings) < len(found):
        text = "A concept has a system and a code"
        raise BadRequest(text, code="required", expression="concept")
    return codings


def _require(name: str | None, version: str | None, codings: Sequence[Coding]) -> None:
    if not name:
        raise BadRequest("Name the closure table", code="required", expression="name")
    if version is None:
        return
    if codings:
        text = "Concepts are added, or a version is asked after, not both"
        raise BadRequest(text, expression="version")
    if not (version.isascii() and version.isdecimal() and len(version) <= _DIGITS):
        text = "The version is one that this server told"
        raise BadRequest(text, code="value", expression="version")


async def _answered(
    server: Server, library: Library, name: str, version: str | None, codings: Sequence[Coding]
) -> dict[str, Any]:
    async with server.database.transaction() as connection:
        if not codings and version is None:
            return _concept_map(name, await store.begin(connection, name), ())
        found = await store.locked(connection, name)
        if found is None:
            raise NotFound("There is no closure table of this name", expression="name")
        if version is not None:
            entries = await store.entries_since(connection, found, int(version))
            return _concept_map(name, found, entries)
        most = server.settings.terminology.closure_concepts
        return _concept_map(name, *await _added(connection, library, found, codings, most))


async def _added(
    connection: Connection,
    library: Library,
    closure: Closure,
    codings: Sequence[Coding],
    most: int,
) -> tuple[Closure, Sequence[Entry]]:
    """Add the concepts that the table has not; return what that tells."""
    known = dict.fromkeys(await store.concepts(connection, closure))
    asked = dict.fromkeys(_concept(one) for one in codings)
    fresh = [one for one in asked if one not in known]
    if not fresh:
        return closure, ()
    if len(known) + len(fresh) > most:
        text = f"a closure table has at most {most} concepts"
        raise Refusal(ask.TOO_COSTLY, Issue("error", "too-costly", None, text))
    scope = Scope(library)
    found = await relations(scope, [*map(_coding, known)], [*map(_coding, fresh)])
    entries = [_entry(one) for one in found]
    return await store.add(connection, closure, fresh, entries), entries


def _concept(coding: Coding) -> Concept:
    return Concept(coding.system or "", coding.version or "", coding.code or "")


def _coding(concept: Concept) -> Coding:
    named = {"system": concept.system, "version": concept.version, "code": concept.code}
    return read_coding({key: value for key, value in named.items() if value}, "concept")


def _entry(relation: Relation) -> Entry:
    target = relation.target.code if relation.target else None
    return Entry(_concept(relation.source), target, relation.equivalence)


def _concept_map(name: str, closure: Closure, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return what is told as a ConceptMap, with a group for each version of a system."""
    groups = [_group(*key, own) for key, own in groupby(sorted(entries, key=_system), key=_system)]
    return {
        "resourceType": "ConceptMap",
        "version": str(closure.version),
        "name": name,
        "status": "active",
        "experimental": False,
        "date": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        **({"group": groups} if groups else {}),
    }


def _system(entry: Entry) -> tuple[str, str]:
    return entry.concept.system, entry.concept.version


def _group(system: str, version: str, entries: Iterable[Entry]) -> Mapping[str, Any]:
    elements: dict[str, list[dict[str, str]]] = {}
    for one in entries:
        code = {"code": one.target} if one.target is not None else {}
        target = {**code, "equivalence": one.equivalence}
        elements.setdefault(one.concept.code, []).append(target)
    versions = {"sourceVersion": version, "targetVersion": version} if version else {}
    return {
        "source": system,
        "target": system,
        **versions,
        "element": [{"code": code, "target": found} for code, found in elements.items()],
    }
