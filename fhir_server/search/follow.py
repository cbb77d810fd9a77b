"""References followed from a page: includes as SQL.

https://hl7.org/fhir/R4/search.html#include
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Select, SmallInteger, func, literal_column, select, union_all

from fhir_server.search.compile import Statement, bound
from fhir_server.search.query import Include
from fhir_server.search.shape import Shape, array
from fhir_server.search.sql import BIGINTS, Binds, Columns, render, rows


def follow(
    includes: Sequence[Include], sources: Sequence[int], seen: Sequence[int], limit: int
) -> Statement:
    """Return the statement of what `includes` add to the resources with the keys `sources`.

    Columns: key, version, last_updated, body. Up to `limit` rows, in order of
    creation, without the keys `seen`, deleted resources and such as are not here.
    """
    values: list[Any] = []
    shape = tuple(_include_shape(one, sources, values) for one in includes)
    values += [array(seen), limit]
    return bound(_follow, shape, values)


def _include_shape(include: Include, sources: Sequence[int], values: list[Any]) -> Shape:
    values.append(array(sources))
    if include.params is not None:
        values.append(array(include.params))
    if include.target is not None:
        values.append(include.target)
    return (include.reverse, include.params is not None, include.target is not None)


@lru_cache(maxsize=1024)
def _follow(shape: Shape) -> tuple[str, tuple[int, ...]]:
    binds = Binds()
    found = union_all(*(_referring(one, binds) for one in shape)).subquery("found")
    body = rows("body", "b")
    chosen = (
        select(found.c.key, func.max(found.c.version).label("version"))
        .where(found.c.key != func.all(binds.take(BIGINTS)))
        .group_by(found.c.key)
        .order_by(found.c.key)
        .limit(binds.take(BigInteger()))
        .cte("chosen")
    )
    text = func.convert_to(body.c.json, literal_column("'UTF8'"))
    statement = (
        select(chosen.c.key, chosen.c.version, body.c.last_updated, text)
        .join_from(
            chosen, body, (body.c.key == chosen.c.key) & (body.c.version == chosen.c.version)
        )
        .order_by(chosen.c.key)
    )
    return render(statement, binds)


def _referring(shape: Shape, binds: Binds) -> Select[Any]:
    """Return key and version of what lies at the other end of the references."""
    reverse, named, targeted = shape
    edge, here, there = rows("edge", "e"), rows("resource", "h"), rows("resource", "r")
    sources = func.any(binds.take(BIGINTS))
    # Parameter 0 holds the references that no search parameter is on.
    where = [
        edge.c.param == func.any(binds.take(BIGINTS))
        if named
        else edge.c.param != literal_column("0")
    ]
    if targeted:
        where.append(edge.c.target_type == binds.take(SmallInteger()))
    if reverse:
        return (
            select(there.c.key, there.c.version)
            .select_from(
                here.join(edge, _points(edge, here)).join(there, there.c.key == edge.c.source_key)
            )
            .where(here.c.key == sources, *where)
        )
    version = func.coalesce(edge.c.target_version, there.c.version).label("version")
    return (
        select(there.c.key, version)
        .select_from(edge.join(there, _points(edge, there)))
        .where(edge.c.source_key == sources, ~there.c.deleted, *where)
    )


def _points(edge: Columns, resource: Columns) -> Any:  # noqa: ANN401  (a join condition)
    return (edge.c.target_type == resource.c.type_id) & (edge.c.target_id == resource.c.id)
