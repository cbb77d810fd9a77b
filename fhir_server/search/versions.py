"""References to versions that a search went through, as if they led to what is current.

https://hl7.org/fhir/R4/search.html#chaining
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

from sqlalchemy import ColumnElement, exists, func, or_, select

from fhir_server.search.compile import Statement, bound
from fhir_server.search.condition import Both, Condition, Either, Linked, Not, Referred
from fhir_server.search.query import Query
from fhir_server.search.shape import Shape, array, wall_shape
from fhir_server.search.sql import BIGINTS, Binds, conjunction, render, rows


class Hop(NamedTuple):
    """A reference by one of `params`, gone along or against."""

    way: Literal["along", "against"]
    params: tuple[int, ...]
    wall: Condition | None = None


Path: TypeAlias = tuple[Hop, ...]


def outdated(query: Query, keys: Sequence[int]) -> Statement | None:
    """Return the statement whether the search went from `keys` by a reference to an old version.

    None where the search follows no reference. A reference to the version that is
    current says the same as one without.
    """
    paths = list(dict.fromkeys(p for one in query.conditions for p in _paths(one, ())))
    if not paths or not keys:
        return None
    values: list[Any] = []
    shape: list[Shape] = []
    for path in paths:
        values.append(array(keys))
        hops = []
        for hop in path:
            values.append(array(hop.params))
            hops.append((hop.way, wall_shape(hop.wall, values)))
        shape.append(tuple(hops))
    return bound(_outdated, tuple(shape), values, kept=True)


def _paths(condition: Condition, before: Path) -> Iterator[Path]:
    """Yield each way that a condition follows references, with each of its beginnings."""
    match condition:
        case Linked(params, _, inner, wall):
            path = (*before, Hop("along", params, wall))
            yield path
            yield from _paths(inner, path)
        case Referred(params, _, inner, wall):
            path = (*before, Hop("against", params, wall))
            yield path
            yield from _paths(inner, path)
        case Not(inner):
            yield from _paths(inner, before)
        case Either(parts) | Both(parts):
            for part in parts:
                yield from _paths(part, before)


@lru_cache(maxsize=1024)
def _outdated(shape: Shape) -> tuple[str, tuple[int, ...]]:
    binds = Binds(planned_once=True)
    return render(select(or_(*(_path(hops, binds) for hops in shape))), binds)


def _path(hops: Sequence[tuple[str, Shape]], binds: Binds) -> ColumnElement[bool]:
    """Return whether the last of the hops is by a reference to another than the present version."""
    at: ColumnElement[Any] | None = None
    where: list[ColumnElement[bool]] = []
    keys = binds.take(BIGINTS)
    last = len(hops) - 1
    for number, (way, wall) in enumerate(hops):
        edge, target = rows("edge", f"e{number}"), rows("resource", f"r{number}")
        start, end = edge.c.source_key, target.c.key
        if way == "against":
            start, end = end, start
        where += [
            start == (func.any(keys) if at is None else at),
            edge.c.param == func.any(binds.take(BIGINTS)),
            edge.c.target_type == target.c.type_id,
            edge.c.target_id == target.c.id,
        ]
        if wall:
            there = rows("terms", f"t{number}")
            where += [there.c.key == end, *conjunction(wall, binds, there)]
        if number == last:
            where.append(edge.c.target_version != target.c.version)
        at = end
    return exists().where(*where)
