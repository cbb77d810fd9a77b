"""References followed from a page: includes as SQL.

https://hl7.org/fhir/R4/search.html#include
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    SmallInteger,
    Text,
    case,
    cast,
    column,
    exists,
    func,
    literal_column,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on
from sqlalchemy.dialects.postgresql import array as elements

from fhir_server.search.compile import Statement, bound
from fhir_server.search.lookup import is_there
from fhir_server.search.query import Include
from fhir_server.search.shape import Shape, array, wall_shape
from fhir_server.search.sql import BIGINTS, Binds, Clause, Columns, conjunction, render, rows
from fhir_server.search.string import INDEXED

_EMPTY = literal_column("''", Text())

Wall: TypeAlias = Callable[[Columns], list[Clause]]
"""What a resource at the other end of a reference must meet to be there for who asks."""


def follow(
    includes: Sequence[Include],
    sources: Sequence[int],
    seen: Sequence[int],
    limit: int,
    *,
    after: int = 0,
    most_bytes: int | None = None,
) -> Statement:
    """Return the statement of what `includes` add to the resources with the keys `sources`.

    Columns: key, version, last_updated, body, which is NULL in rows before which
    `most_bytes` of bodies have been reached; without `most_bytes` the key alone. Up to
    `limit` rows in order of creation, behind the key `after`, without the keys
    `seen`, deleted resources and such as are not here.
    """
    values: list[Any] = []
    shape = tuple(one for include in includes for one in _ways(include, sources, values))
    values += [array(seen), after, limit]
    if most_bytes is not None:
        values.append(most_bytes)
    walled = any(include.wall is not None for include in includes)
    return bound(_follow, (most_bytes is not None, walled, *shape), values, kept=True)


def _ways(include: Include, sources: Sequence[int], values: list[Any]) -> Iterator[Shape]:
    """Yield the shapes of the ways that an include goes: by ids, and by canonical URLs."""
    for way in ("id", "url") if include.canonicals else ("id",):
        values.append(array(sources))
        if include.params is not None:
            values.append(array(include.params))
        targeted = way == "id" and include.target is not None
        if targeted:
            values.append(include.target)
        if way == "url":
            values += [array(numbers) for numbers in zip(*include.canonicals, strict=True)]
        wall = wall_shape(include.wall, values)
        yield (way, include.reverse, include.params is not None, targeted, wall)


@lru_cache(maxsize=1024)
def _follow(shape: Shape) -> tuple[str, tuple[int, ...]]:
    bodies, walled, *ways = shape
    binds = Binds(planned_once=True)
    found = union_all(*(_way(one, binds) for one in ways)).subquery("found")
    chosen = (
        select(found.c.key, func.max(found.c.version).label("version"))
        .where(found.c.key != func.all(binds.take(BIGINTS)))
        .where(found.c.key > binds.take(BigInteger()))
        .group_by(found.c.key)
        .order_by(found.c.key)
        .limit(binds.take(BigInteger()))
    )
    if not bodies:
        return render(chosen, binds)
    return render(_with_bodies(chosen, binds.take(BigInteger()), walled=walled), binds)


def _with_bodies(keys: Select[Any], most_bytes: ColumnElement[int], *, walled: bool) -> Select[Any]:
    """Return the texts; of who is `walled`, a row stays whose text is kept back, and is empty."""
    chosen, body = keys.cte("chosen"), rows("body", "b")
    length = func.octet_length(body.c.json)
    before = func.sum(length).over(order_by=chosen.c.key, rows=(None, 0)) - length
    text = func.convert_to(body.c.json, literal_column("'UTF8'"))
    shown = case((before < most_bytes, text))
    if walled:
        length = func.coalesce(length, literal_column("0"))
        before = func.sum(length).over(order_by=chosen.c.key, rows=(None, 0)) - length
        kept_back = body.c.key.is_(None)
        shown = case((kept_back, literal_column("''::bytea")), (before < most_bytes, text))
    return (
        select(chosen.c.key, chosen.c.version, body.c.last_updated, shown)
        .join_from(
            chosen,
            body,
            (body.c.key == chosen.c.key) & (body.c.version == chosen.c.version),
            isouter=walled,
        )
        .order_by(chosen.c.key)
    )


def _way(shape: Shape, binds: Binds) -> Select[Any]:
    """Return key and version of what lies at the other end of the references."""
    way, reverse, named, targeted, wall = shape
    edge = rows("edge", "e")
    sources = func.any(binds.take(BIGINTS))
    # Parameter 0 holds the references that no search parameter is on.
    where = [
        edge.c.param == func.any(binds.take(BIGINTS))
        if named
        else edge.c.param != literal_column("0")
    ]
    if targeted:
        where.append(edge.c.target_type == binds.take(SmallInteger()))

    def walled(there: Columns) -> list[Clause]:
        if not wall:
            return []
        found = rows("terms")
        return [is_there(found.c.key == there.c.key, *conjunction(wall, binds, found))]

    if way == "url":
        follow_urls = _referring_by_url if reverse else _referred_by_url
        return follow_urls(edge, sources, where, walled, binds)
    if reverse:
        return _referring(edge, sources, where, walled)
    return _referred(edge, sources, where, walled, old=not wall)


def _referring(
    edge: Columns,
    sources: Any,  # noqa: ANN401  (= ANY)
    where: list[Any],
    wall: Wall,
) -> Select[Any]:
    here, there = rows("resource", "h"), rows("resource", "r")
    return (
        select(there.c.key, there.c.version)
        .select_from(
            here.join(edge, _points(edge, here)).join(there, there.c.key == edge.c.source_key)
        )
        .where(here.c.key == sources, *where, *wall(there))
    )


def _referred(
    edge: Columns,
    sources: Any,  # noqa: ANN401  (= ANY)
    where: list[Any],
    wall: Wall,
    *,
    old: bool,
) -> Select[Any]:
    """Return what is referred to; `old`: also versions that are not the present one.

    Whether those may be seen, their index rows would tell, which are gone.
    """
    there, past = rows("resource", "r"), rows("body", "o")
    version = func.coalesce(edge.c.target_version, there.c.version).label("version")
    # A version that never was, or was a deletion, is absent.
    kept = exists().where(
        past.c.key == there.c.key, past.c.version == edge.c.target_version, past.c.json != _EMPTY
    )
    if not old:
        kept = edge.c.target_version == there.c.version
    return (
        select(there.c.key, version)
        .select_from(edge.join(there, _points(edge, there)))
        .where(edge.c.source_key == sources, ~there.c.deleted, *where)
        .where(edge.c.target_version.is_(None) | kept, *wall(there))
    )


def _points(edge: Columns, resource: Columns) -> Any:  # noqa: ANN401  (a join condition)
    return (edge.c.target_type == resource.c.type_id) & (edge.c.target_id == resource.c.id)


# An edge of type 0 holds a canonical: `url`, or `url|version` for that version only.
_CANONICAL = literal_column("0", SmallInteger())
_BAR = literal_column("'|'", Text())


def _referred_by_url(
    edge: Columns,
    sources: Any,  # noqa: ANN401  (= ANY)
    where: list[Any],
    wall: Wall,
    binds: Binds,
) -> Select[Any]:
    """Return what canonicals lead to: one resource each, the latest written where several fit."""
    canonical, url, code, there = _published(binds)
    asked = func.split_part(edge.c.target_id, _BAR, literal_column("1"))
    version = func.split_part(edge.c.target_id, _BAR, literal_column("2"))
    fits = (edge.c.target_id == asked) | (_version(code, canonical) == version)
    whole = case((func.length(asked) > literal_column(str(INDEXED)), asked), else_=_EMPTY)
    head = func.left(asked, literal_column(str(INDEXED)))
    found = (
        select(there.c.key, there.c.version)
        .select_from(
            edge.join(canonical, true())
            .join(url, (url.c.param == canonical.c.url) & (url.c.value == head))
            .join(there, there.c.key == url.c.key)
            .outerjoin(code, code.c.key == url.c.key)
        )
        .where(edge.c.source_key == sources, edge.c.target_type == _CANONICAL, *where)
        .where(url.c.whole == whole, fits, *wall(there))
        .ext(distinct_on(edge.c.target_id))
        .order_by(edge.c.target_id, there.c.last_updated.desc(), there.c.key.desc())
        .subquery()
    )
    return select(found.c.key, found.c.version)


def _referring_by_url(
    edge: Columns,
    sources: Any,  # noqa: ANN401  (= ANY)
    where: list[Any],
    wall: Wall,
    binds: Binds,
) -> Select[Any]:
    """Return what refers to the URLs, or to the URLs with the versions, of the sources."""
    canonical, url, code, there = _published(binds)
    whole = case((url.c.whole == _EMPTY, url.c.value), else_=url.c.whole)
    versioned = whole.concat(_BAR).concat(func.coalesce(_version(code, canonical), _EMPTY))
    either = func.any(elements([whole, versioned]))
    return (
        select(there.c.key, there.c.version)
        .select_from(
            url.join(canonical, url.c.param == canonical.c.url)
            .outerjoin(code, code.c.key == url.c.key)
            .join(edge, edge.c.target_id == either)
            .join(there, there.c.key == edge.c.source_key)
        )
        .where(url.c.key == sources, edge.c.target_type == _CANONICAL, *where, *wall(there))
    )


def _published(binds: Binds) -> tuple[Columns, Columns, Columns, Columns]:
    """Return the types that have canonical URLs, their URLs, their versions and themselves."""
    columns = [column(name, BigInteger()) for name in ("url", "version")]
    places = [binds.take(ARRAY(BigInteger)) for _ in columns]
    canonical = func.unnest(*places).table_valued(*columns).render_derived()
    return canonical, rows("idx_string", "u"), rows("idx_code", "v"), rows("resource", "r")


def _version(code: Columns, canonical: Columns) -> ColumnElement[Any]:
    """Return the business version; where a resource has one, it is its least sort value."""
    return func.jsonb_extract_path_text(code.c.least, cast(canonical.c.version, Text))
