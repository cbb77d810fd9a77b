"""Many resources, judged before, stored under ids that were chosen for them.

Each is a version as an update makes it; index, change feed and search parameters follow as
for any other write.

https://hl7.org/fhir/R4/http.html#update
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Forbidden, SangamError
from fhir_server.interactions import binary, labelling, search_parameter
from fhir_server.interactions.draft import Draft, keep, write
from fhir_server.interactions.entry import Entry, Target
from fhir_server.interactions.references import literal_references
from fhir_server.interactions.step import Step, refuse_change
from fhir_server.server import Server
from fhir_server.store import coverage
from fhir_server.store import read as store
from fhir_server.store.attempts import changed_meanwhile
from fhir_server.store.transact import Method


@dataclass(frozen=True, slots=True)
class Put:
    """A resource, parsed and as text, and the id under which it is to lie.

    `fresh`: nothing is there yet that is not deleted.
    """

    type: str
    id: str
    data: dict[str, Any]
    raw: bytes
    fresh: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a resource lies now: its key in the store, and its version."""

    key: int
    version: int


async def put_many(
    server: Server, connection: Connection, caller: Caller, some: Sequence[Put]
) -> list[Kept]:
    """Store them in the open transaction, by one statement, and return where each lies.

    Their (type, id) differ. Equal content stores no new version. A refusal names the
    resource that cannot be stored. Forbidden for who may not write everything.
    """
    if caller.rights.walls:
        raise Forbidden("Many at once are for who may write everything")
    try:
        return await _put_many(server, connection, caller, some)
    except SangamError as error:
        index = culprit(error)
        if index is None:
            raise
        one = some[index]
        raise type(error)(f"{one.type}/{one.id}: {error.text}") from error


def culprit(error: SangamError) -> int | None:
    """Return which of several entries a refusal is about."""
    found = re.match(r"Bundle\.entry\[(\d+)\]", error.issues[0].expression or "")
    return int(found[1]) if found else None


async def _put_many(
    server: Server, connection: Connection, caller: Caller, some: Sequence[Put]
) -> list[Kept]:
    registry = await coverage.refresh(server, connection, after=math.inf)
    type_ids = server.definitions.type_ids
    places = [(type_ids[one.type], one.id) for one in some]
    present = await store.lock(connection, places, "NO KEY UPDATE")
    steps: list[Step] = []
    for index, (one, place) in enumerate(zip(some, places, strict=True)):
        step = Step(index, await _entry(server, one), bundle=True)
        step.target, step.id = Target(one.type, one.id, None, ()), one.id
        step.present = present.get(place)
        if one.fresh and step.present is not None and not step.present.deleted:
            raise changed_meanwhile()
        with step.refusals():
            if step.present is not None:
                refuse_change(one.type, "PUT")
            step.labels = await labelling.given(server, one.type, one.data)
            step.write = write(server, _draft(server, step), one.id, Method.PUT, step.present)
        steps.append(step)
    writes = sorted((s.write for s in steps if s.write), key=lambda one: (one.type_id, one.id))
    await keep(server, connection, writes, registry.version, caller=caller)
    await search_parameter.follow(server, connection, steps)
    return [_kept(one) for one in steps]


async def _entry(server: Server, one: Put) -> Entry:
    entry = Entry("PUT", f"{one.type}/{one.id}", one.data, one.raw)
    return await binary.set_aside(server, entry)


def _draft(server: Server, step: Step) -> Draft:
    entry, type_name = step.entry, step.target.type
    data = entry.resource or {}
    references = literal_references(server, type_name, data)
    raw = entry.raw or b""
    return Draft(type_name, data, raw, references, blob=entry.blob, labels=step.labels)


def _kept(step: Step) -> Kept:
    if step.write is not None:
        return Kept(step.write.key, step.write.version)
    assert step.present is not None
    return Kept(step.present.key, step.present.version)
