"""The patients whom records of the audit concern.

https://hl7.org/fhir/R4/auditevent-definitions.html#AuditEvent.entity.what
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final, TypeAlias, TypeVar

from fhir_server.audit.record import Record
from fhir_server.database import Connection
from fhir_server.server import Server

Place: TypeAlias = tuple[str, str]
"""Type and id of a resource."""

T = TypeVar("T")

# Bodies at a time, as pages of searches hold many.
_AT_ONCE: Final = 500

# What was deleted since was shown as it was before.
_KEYS: Final = """
SELECT r.key, r.type_id, r.id, b.json FROM resource r
     CROSS JOIN LATERAL (
         SELECT json FROM body
         WHERE body.key = r.key AND json <> '' ORDER BY body.version DESC LIMIT 1
     ) AS b
WHERE r.key = ANY(%s::bigint[])
"""
# Of a deletion, what was deleted; of version 0, the present one.
_PLACES: Final = """
SELECT t.version, r.type_id, r.id, b.json FROM unnest(%s::smallint[], %s::text[], %s::int[])
         AS t(type_id, id, version)
     JOIN resource r USING (type_id, id)
     CROSS JOIN LATERAL (
         SELECT json FROM body
         WHERE body.key = r.key AND json <> ''
           AND body.version <= CASE t.version WHEN 0 THEN r.version ELSE t.version END
         ORDER BY body.version DESC LIMIT 1
     ) AS b
"""


@dataclass(frozen=True, slots=True)
class Concerned:
    """Patients (ids) by the keys, and by the places (type, id, version), of resources."""

    keys: dict[int, tuple[Place, list[str]]] = field(default_factory=dict)
    places: dict[tuple[str, str, int], list[str]] = field(default_factory=dict)

    def by(self, record: Record) -> dict[Place, list[str]]:
        """Return the patients of each resource that the record names and that was ever there."""
        found = [self.keys[key] for key in record.keys if key in self.keys]
        found += [(one[:2], self.places[one]) for one in _named(record) if one in self.places]
        made: dict[Place, list[str]] = {}
        for place, patients in found:
            known = made.setdefault(place, [])
            known += [one for one in patients if one not in known]
        return made


async def concerned(server: Server, connection: Connection, records: Sequence[Record]) -> Concerned:
    """Return the patients of all that the records name."""
    names, ids = server.definitions.type_names, server.definitions.type_ids
    found = Concerned()
    for keys in _pieces(key for one in records for key in one.keys):
        for key, type_id, id_, text in await _rows(connection, _KEYS, (keys,)):
            place = (names[type_id], id_)
            found.keys[key] = (place, patients_of(server.bases, *place, text))
    named = (place for one in records for place in _named(one) if place[0] in ids)
    for places in _pieces(named):
        columns = ([ids[p[0]] for p in places], [p[1] for p in places], [p[2] for p in places])
        for version, type_id, id_, text in await _rows(connection, _PLACES, columns):
            place = (names[type_id], id_)
            found.places[*place, version] = patients_of(server.bases, *place, text)
    return found


async def _rows(
    connection: Connection, sql: str, values: Sequence[object]
) -> list[tuple[Any, ...]]:
    return await (await connection.execute(sql, values)).fetchall()


def _named(record: Record) -> Iterator[tuple[str, str, int]]:
    yield from record.places
    yield from (one[1:] for one in record.writes)


def _pieces(values: Iterable[T]) -> Iterator[list[T]]:
    """Yield the values, each once, in pieces."""
    rest = iter(dict.fromkeys(values))
    while piece := list(islice(rest, _AT_ONCE)):
        yield piece


def patients_of(bases: Iterable[str], type_name: str, id_: str, text: str) -> list[str]:
    """Return the ids of the patients whom a resource is, or refers to, in their order."""
    if type_name == "Patient":
        return [id_]
    local = "|".join(re.escape(f"{base}/") for base in bases)
    pattern = rf'"reference":"(?:{local})?Patient\\?/([A-Za-z0-9\-.]{{1,64}})[/"\\]'
    return list(dict.fromkeys(re.findall(pattern, text)))
