"""Search parameters defined, changed and taken away while the server runs.

What a write of a SearchParameter means for searching is stored in its transaction: which
versions of the parameter are to be indexed, which go, and the job that sees to it.

https://hl7.org/fhir/R4/searchparameter.html
"""

import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from fhir_server.database import Connection
from fhir_server.errors import Unavailable
from fhir_server.interactions.reindex import JOB
from fhir_server.interactions.step import Step
from fhir_server.jobs import enqueue
from fhir_server.search import custom
from fhir_server.search.parameter import Parameter, parameter_id
from fhir_server.server import Server
from fhir_server.store import coverage
from fhir_server.store.coverage import DROPPING, Coverage

TYPE = "SearchParameter"

KNOWN_SECONDS = 1.0
"""So old may be what a search goes by; a write goes by what is in force."""


async def current(server: Server) -> None:
    """Bring what this process knows of search parameters up to date, once a second."""
    held = server.in_force
    if time.monotonic() - held.checked < KNOWN_SECONDS:
        return
    held.checked = time.monotonic()  # the others need not ask at the same time
    with suppress(Unavailable):  # said by whatever needs the database
        async with server.database.connection() as connection:
            await coverage.refresh(server, connection, after=0)


@dataclass(frozen=True, slots=True)
class Written:
    """A version of a SearchParameter: its key, number and content, None for a deletion."""

    key: int
    version: int
    data: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a version of a SearchParameter makes of the coverages of the earlier ones.

    `kept` (id and definition) index as before, `revived` are searchable again,
    `retired` no longer, `dropped` are not even written, and `new` ones are to be indexed.
    """

    new: list[Parameter] = field(default_factory=list)
    kept: list[tuple[int, Parameter]] = field(default_factory=list)
    revived: list[int] = field(default_factory=list)
    retired: list[int] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing changes."""
        return not (self.new or self.kept or self.revived or self.retired or self.dropped)


def plan(known: Sequence[Coverage], wanted: Iterable[Parameter]) -> Plan:
    """Return how the coverages of a SearchParameter come to what is wanted, type by type.

    One that indexes the same is kept. A searchable one stays in force until what
    replaces it is complete.
    """
    made = Plan()
    asked = {parameter.base: parameter for parameter in wanted}
    alive = [one for one in known if one.state != DROPPING]
    for base in sorted({one.definition.base for one in alive} | asked.keys()):
        own = [one for one in alive if one.definition.base == base]
        _plan_type(made, own, asked.get(base))
    return made


_PREFERRED = ("complete", "retired", "indexing", "pending", "failed")


def _plan_type(made: Plan, own: Sequence[Coverage], wanted: Parameter | None) -> None:
    alike = [one for one in own if wanted is not None and _same_index(one.definition, wanted)]
    same = min(alike, key=lambda one: _PREFERRED.index(one.state), default=None)
    searchable = same is not None and same.state in ("complete", "retired")
    for one in own:
        if one is same and wanted is not None:
            definition = replace(wanted, id=one.definition.id)
            if one.state == "retired":
                made.revived.append(one.id)
            if one.definition != definition or one.state == "retired":
                made.kept.append((one.id, definition))
        elif one.state == "complete" and (wanted is None or searchable):
            made.retired.append(one.id)
        elif one.state not in ("complete", "retired"):
            made.dropped.append(one.id)
    if wanted is not None and same is None:
        made.new.append(wanted)


def _same_index(one: Parameter, other: Parameter) -> bool:
    """Return whether both have the same index rows, save for the id in them."""
    return _index(one) == _index(other)


def _index(one: Parameter) -> tuple[object, ...]:
    return one.type, one.expression, [(part.type, part.expression) for part in one.component]


async def follow(server: Server, connection: Connection, steps: Iterable[Step]) -> None:
    """Store what writes of SearchParameters mean, in the transaction that has stored them.

    Unprocessable names the element because of which one cannot be honoured. Composites
    come last, as their components may be among the others.
    """
    for one in sorted((s for s in steps if s.target.type == TYPE and s.write), key=_rank):
        assert one.write is not None
        data = None if one.write.text is None else one.entry.resource
        with one.refusals():
            await _follow(server, connection, Written(one.write.key, one.write.version, data))
        # Who has just defined a parameter here must not be told that there is none.
        server.in_force.doubt()


def _rank(one: Step) -> int:
    data = one.entry.resource
    if one.method == "DELETE" or data is None:
        return 0
    return 2 if data.get("component") else 1


async def _follow(server: Server, connection: Connection, written: Written) -> None:
    await coverage.lock(connection)
    found = await coverage.covered(connection)
    others = [one for one in found if one.parameter != written.key]
    own = [one for one in found if one.parameter == written.key]
    registry = coverage.registry(server, others)
    wanted = custom.parameters(registry, written.data) if written.data else ()
    planned = plan(own, wanted)
    if planned.empty:
        return
    taken = {p.id for row in registry.official.by_type.values() for p in row.values()}
    taken.update(one.definition.id for one in found)
    type_ids = server.definitions.type_ids
    new = [(type_ids[one.base], _numbered(one, written, taken)) for one in planned.new]
    await coverage.add(connection, written.key, written.version, new)
    for id_, definition in planned.kept:
        await coverage.redefine(connection, id_, written.version, definition)
    await coverage.move(connection, planned.revived, "complete")
    await coverage.move(connection, planned.retired, "retired")
    await coverage.move(connection, planned.dropped, DROPPING)
    await coverage.changed(connection)
    await enqueue(connection, [JOB])


def _numbered(parameter: Parameter, written: Written, taken: set[int]) -> Parameter:
    """Return the parameter with an id that no other has, or had."""
    salt = f"{parameter.code}#{written.key}.{written.version}"
    found = parameter_id(parameter.base, salt)
    while found in taken:
        salt += "+"
        found = parameter_id(parameter.base, salt)
    taken.add(found)
    return replace(parameter, id=found)
