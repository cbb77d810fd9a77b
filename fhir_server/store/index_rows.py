"""Index rows as arrays, and the SQL that puts them into their tables.

https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from operator import itemgetter
from secrets import randbits
from typing import Any, TypeAlias

from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from fhir_server import tables
from fhir_server.search.rows import CONTAINER, Edge, IndexRows
from fhir_server.store.arrays import array, arrays

TABLES = tuple(sorted(name for name in tables.metadata.tables if name.startswith("idx_")))
"""The tables of values that are compared: all index rows but terms and edges."""

SCOPED = frozenset(name for name in TABLES if "param" in tables.metadata.tables[name].columns)
"""Those of them whose rows name their parameter."""

_DIALECT: Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]

EDGES = """INSERT INTO edge (source_key, param, target_type, target_id, target_version)
    SELECT e.* FROM unnest(%s::bigint[], %s::int[], %s::smallint[], %s::text[], %s::int[])
        AS e(source_key, param, target_type, target_id, target_version)
    WHERE EXISTS (SELECT FROM w)"""
"""Inserts edges unless `w`, of the same statement, is empty."""


CONTAINED = """,
contained AS MATERIALIZED (
    SELECT c.key, c.type_id, c.terms::bigint[] AS terms, w.version, w.at, w.feed
    FROM unnest(%s::bigint[], %s::bigint[], %s::smallint[], %s::text[])
             AS c(key, container, type_id, terms)
         JOIN w ON w.key = c.container
),
contained_new AS (
    INSERT INTO resource
        (key, type_id, id, version, last_updated, deleted, content_hash, feed_xid, security)
    SELECT key, type_id, '#' || key, version, at, false, '', feed, NULL FROM contained
),
contained_terms_new AS (
    INSERT INTO terms (key, type_id, version, last_updated, terms)
    SELECT key, type_id, version, at, terms FROM contained
)"""
"""Adds contained resources to what `w` (key, version, at, feed) of the statement writes."""

CONTAINED_GONE = """
    SELECT substr(e.target_id, 2)::bigint FROM w JOIN edge e ON e.source_key = w.key
    WHERE e.target_type < 0"""
"""The keys of the resources that those of `w` contain."""

# Rows come in the order of the index that is searched, so that neighbours find its pages at
# hand: 5 to 8 % of the statement's time where it has 16 messages (docs/decisions/0067).
_ORDERED = frozenset(("idx_date", "idx_number", "idx_quantity", "idx_string"))
_BY_VALUE = itemgetter(1, 2)
_BY_TARGET = itemgetter(2, 3, 1)

_UNNAMED = 0
_KEY_BITS = 62

Indexed: TypeAlias = Sequence[tuple[int, IndexRows]]
"""Keys of resources and their rows."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Resources, and in `flat` also those that they contain, each with rows of its own.

    A contained resource has a negative key, a negative type and the id `#key`, to which
    edges of its container lead; `contained` has (key, container, type, terms).
    """

    whole: Indexed
    flat: Indexed
    contained: Sequence[tuple[int, int, int, str]]

    @property
    def used(self) -> tuple[str, ...]:
        """Return the tables of which there are rows."""
        return tuple(sorted({name for _, index in self.flat for name in index.ranges}))

    @property
    def columns(self) -> list[str]:
        """Return the arrays for terms (key, terms), `EDGES`, perhaps `CONTAINED`, and `insert`s."""
        found = arrays([(key, array(index.terms)) for key, index in self.whole], 2)
        edges = [(key, *edge) for key, index in self.flat for edge in index.edges]
        edges.sort(key=_BY_TARGET)
        found += arrays(edges, 5)
        found += arrays(self.contained, 4) if self.contained else []
        for name in self.used:
            rows = [(key, *row) for key, index in self.flat for row in index.ranges.get(name, ())]
            if name in _ORDERED:
                rows.sort(key=_BY_VALUE)
            found += arrays(rows, len(tables.metadata.tables[name].columns))
        return found


def spread(indexed: Indexed) -> Spread:
    """Return the rows of resources and of those inside them, which get keys of their own."""
    if not any(index.contained for _, index in indexed):
        return Spread(indexed, indexed, ())
    flat: list[tuple[int, IndexRows]] = []
    contained: list[tuple[int, int, int, str]] = []
    for key, index in indexed:
        keys = [-1 - randbits(_KEY_BITS) for _ in index.contained]
        edges: dict[int, list[Edge]] = {}
        for own, one in zip(keys, index.contained, strict=True):
            contained.append((own, key, -one.type_id, array(one.rows.terms)))
            for source, param in {(CONTAINER, _UNNAMED), *one.links}:
                edges.setdefault(source, []).append(Edge(param, -one.type_id, f"#{own}", None))
        flat.append((key, replace(index, edges=(*index.edges, *edges.get(CONTAINER, ())))))
        for place, (own, one) in enumerate(zip(keys, index.contained, strict=True)):
            inner = (*one.rows.edges, *edges.get(place, ()))
            flat.append((own, replace(one.rows, edges=inner)))
    return Spread(indexed, flat, contained)


@cache
def insert(name: str) -> str:
    """Return the text that inserts rows into a table unless `w` is empty."""
    declared = tables.metadata.tables[name].columns
    names = ", ".join(f'"{column.name}"' for column in declared)
    given = ", ".join(f"%s::{_type_name(column.type)}[]" for column in declared)
    return (
        f"INSERT INTO {name} ({names}) "
        f"SELECT i.* FROM unnest({given}) AS i WHERE EXISTS (SELECT FROM w)"
    )


def _type_name(kind: TypeEngine[Any]) -> str:
    return str(kind.compile(_DIALECT)).partition(" COLLATE")[0]
