"""Index rows of some parameters, taken into those that a resource has, or out of them.

The rows of all parameters of a resource lie together in its terms and its sort values;
what is written here leaves those of the other parameters as they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from fhir_server.search.rows import Coding, Edge, IndexRows

SORT_TABLE = "idx_code"
"""One row a resource: the least and the greatest value of each parameter, as JSON."""

_EMPTY = IndexRows((), (), {})


@dataclass(frozen=True, slots=True)
class Present:
    """What a resource has: its terms, and its sort values by parameter id."""

    terms: Sequence[int]
    least: Mapping[str, str] = field(default_factory=dict)
    greatest: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Delta:
    """Rows to be there afterwards, and rows to be gone."""

    added: IndexRows = _EMPTY
    removed: IndexRows = _EMPTY

    @property
    def empty(self) -> bool:
        """Whether the resource has no value for any of the parameters."""
        return not any((one.terms, one.edges, one.ranges) != ((), (), {}) for one in self.both)

    @property
    def both(self) -> tuple[IndexRows, IndexRows]:
        """Return what is added and what is removed."""
        return self.added, self.removed

    @property
    def scopes(self) -> set[int]:
        """Return the parameter ids, and scopes of parts, whose rows are touched."""
        found = {edge.param for one in self.both for edge in one.edges}
        for one in self.both:
            for table, rows in one.ranges.items():
                if table != SORT_TABLE:
                    found.update(row[0] for row in rows)
        return found

    @property
    def sorts(self) -> bool:
        """Whether sort values are touched."""
        return any(SORT_TABLE in one.ranges for one in self.both)


def union(rows: Iterable[IndexRows]) -> IndexRows:
    """Return the rows of several parameters of one resource as one."""
    terms: set[int] = set()
    edges: list[Edge] = []
    ranges: dict[str, list[tuple[object, ...]]] = {}
    least: dict[str, str] = {}
    greatest: dict[str, str] = {}
    codings: set[Coding] = set()
    for one in rows:
        codings.update(one.codings)
        terms.update(one.terms)
        edges += one.edges
        for table, found in one.ranges.items():
            if table == SORT_TABLE:
                low, high = _sort_values(one)
                least |= low
                greatest |= high
            else:
                ranges.setdefault(table, []).extend(found)
    return IndexRows(
        tuple(sorted(terms)),
        tuple(edges),
        ranges | _sort_row(least, greatest),
        codings=tuple(sorted(codings)),
    )


def applied(present: Present, delta: Delta, *, sorts: bool) -> IndexRows | None:
    """Return the rows to write: terms whole, with `sorts` the sort values too, else the added.

    None when the resource has them all and none to lose, as one that was written
    since the parameters are known.
    """
    has, added, removed = set(present.terms), set(delta.added.terms), set(delta.removed.terms)
    if added and added <= has and delta.removed == _EMPTY:
        return None
    ranges = {name: rows for name, rows in delta.added.ranges.items() if name != SORT_TABLE}
    if sorts:
        least, greatest = dict(present.least), dict(present.greatest)
        for gone in _sort_values(delta.removed)[0]:
            least.pop(gone, None)
            greatest.pop(gone, None)
        low, high = _sort_values(delta.added)
        ranges |= _sort_row(least | low, greatest | high)
    return IndexRows(
        tuple(sorted((has - removed) | added)),
        delta.added.edges,
        ranges,
        codings=delta.added.codings,
    )


def _sort_values(rows: IndexRows) -> tuple[dict[str, str], dict[str, str]]:
    for low, high in rows.ranges.get(SORT_TABLE, ()):
        return msgspec.json.decode(low), msgspec.json.decode(high)
    return {}, {}


def _sort_row(
    least: Mapping[str, str], greatest: Mapping[str, str]
) -> dict[str, list[tuple[object, ...]]]:
    if not least:
        return {}
    return {SORT_TABLE: [(_json(least), _json(greatest))]}


def _json(values: Mapping[str, str]) -> str:
    return msgspec.json.encode(values, order="sorted").decode()
