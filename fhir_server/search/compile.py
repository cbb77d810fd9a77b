"""Queries compiled to SQL.

SQLAlchemy composes the text once for each shape; later searches of the same
shape only bind their values.

https://hl7.org/fhir/R4/search.html
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    case,
    func,
    literal_column,
    null,
    select,
)

from fhir_server import tables
from fhir_server.search.condition import (
    Condition,
    Row,
    implies_type,
    is_met_by_few,
)
from fhir_server.search.each import among_few, by_rights, is_plain, planned_once, walked
from fhir_server.search.guard import require_guard
from fhir_server.search.query import ColumnKey, Query, RowKey, ScoreKey
from fhir_server.search.shape import (
    Shape,
    array,
    conditions_shape,
    groups_shape,
    sort_shape,
)
from fhir_server.search.sql import (
    TERMS,
    Binds,
    Columns,
    conjunction,
    render,
    stored_as,
    tests,
    unchanged,
)
from fhir_server.search.walk import Walk, walk_missing, walk_together, walk_valued

_BODY = tables.body.alias("b")

Walls: TypeAlias = Callable[[Sequence[Condition], Condition | None], Sequence[Condition]]
"""How a query's conditions and its rights are put together for a statement (each.py)."""

Build: TypeAlias = Callable[[Shape], tuple[str, tuple[int, ...]]]

TOGETHER, VALUED, MISSING = "together", "valued", "missing"
"""Parts of a result: all of it, the resources with a first sort value, those without one."""


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with places `$1`, `$2`..., and the values that go there.

    `kept`: one plan is good for all values, so that it may be made once.
    """

    sql: str
    values: tuple[Any, ...]
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page ended: the last row's sort values (None: it had none) and key.

    `snapshot` is what the first page saw; under a sort whose values can change,
    later pages show only what has not been changed since, so that nothing is
    shown twice. Without `values` only that counts.
    """

    values: tuple[Any, ...]
    key: int
    snapshot: str


def mutable(query: Query) -> bool:
    """Return whether the sort has values that a write can change."""
    return any(not isinstance(k, ColumnKey) or k.column == "last_updated" for k in query.sort)


def phases(query: Query, position: Position | None) -> tuple[str, ...]:
    """Return the parts of the result in order, each a statement of its own.

    Where few resources match, all are sorted at once; else those with a first sort
    value come before those without, so that either can walk an index.
    """
    if isinstance(query.sort[0], ColumnKey) or _merge(query, VALUED)[0]:
        return (VALUED,)
    if isinstance(query.sort[0], ScoreKey) or any(map(is_met_by_few, query.asked)):
        return (TOGETHER,)
    if position is not None and position.values and position.values[0] is None:
        return (MISSING,)
    return (VALUED, MISSING)


def page(
    query: Query, position: Position | None, phase: str, limit: int, longest: int
) -> Statement:
    """Return the statement of up to `limit` rows of `phase` after `position`.

    Columns: key, version, last_updated, body, snapshot, and the sort values that
    rows of this phase can have. The body is NULL where it has more than `longest` bytes, and
    empty where the second wall keeps it back.
    """
    values: list[Any] = []
    types = types_shape(query, values, walks=_walks_by_time(query))
    shape = _sorted_shape(query, position, phase, values, walked)
    values += [limit, longest]
    return bound(_page, (query.guard == "walled", types, *shape), values)


def gathered(
    query: Query, position: Position | None, most: int, limit: int, longest: int
) -> Statement:
    """Return the statement that gathers up to `most` matches and sorts them for a page.

    Columns: how many were gathered, then those of `page`. The rows are the page only where
    all matches were gathered.
    """
    values: list[Any] = []
    kept = is_planned_once(query)
    shape = _gathering_shape(query, position, values, kept=kept)
    values += [most, limit, longest]
    return bound(_gathered, (True, *shape), values, kept=kept)


def ordered(query: Query, position: Position | None, most: int, limit: int) -> Statement:
    """Return the same of what the query alone asks for, without bodies.

    Of these is still to be asked which may be seen (sieve.py).
    """
    values: list[Any] = []
    asked = replace(query, top=None)
    shape = _gathering_shape(asked, position, values, kept=False)
    values += [most, limit]
    return bound(_gathered, (False, *shape), values)


def _gathering_shape(
    query: Query, position: Position | None, values: list[Any], *, kept: bool
) -> tuple[Shape, ...]:
    phase = _gathering(query, kept=kept)
    types = types_shape(query, values)
    shape = _sorted_shape(query, position, phase, values, planned_once if kept else among_few)
    return (kept, query.guard == "walled", types, *shape)


def put_off(query: Query) -> bool:
    """Return whether rights are looked at once matches are sorted, from the first one on.

    They are where many may match: to look at each would take longest of all, and how many
    match is not told anyway (docs/decisions/0046). Not where few can, by the query or by rights.
    """
    return query.top is not None and not any(map(is_met_by_few, query.asked))


def _gathering(query: Query, *, kept: bool) -> str:
    """Return the part in which all of the result is found by one statement."""
    if kept:
        # Not by an index in the order of the page: whether that is good, values decide.
        return VALUED if isinstance(query.sort[0], ColumnKey) else TOGETHER
    parts = phases(query, None)
    return parts[0] if len(parts) == 1 else TOGETHER


def is_planned_once(query: Query) -> bool:
    """Return whether one plan finds the matches for all values: few, each looked at for the rest.

    What leads to them are terms, by their one index, and keys.
    """
    few, plain = by_rights(query.top)
    few = few or any(map(is_met_by_few, query.conditions))
    return few and plain and all(map(is_plain, query.conditions))


def _sorted_shape(
    query: Query, position: Position | None, phase: str, values: list[Any], walls: Walls
) -> tuple[Any, ...]:
    keys = sort_shape(query.sort, values)
    merged, rest = _merge(query, phase)
    on = tuple(groups_shape(row.groups, values) for row in merged)
    conditions = conditions_shape(_asked(query, rest, walls), values)
    after = _after_shape(query, position, phase, values)
    return keys, phase, on, conditions, after


def _asked(query: Query, conditions: Sequence[Condition], walls: Walls) -> Sequence[Condition]:
    # An open query has no rights; how it is put together matters where it is planned once.
    asks = query.guard == "walled" or walls is planned_once
    return walls(conditions, query.top) if asks else conditions


def count(query: Query, limit: int | None) -> Statement:
    """Return the statement that counts the matches, up to `limit` if there is one."""
    values: list[Any] = []
    types = types_shape(query, values)
    kept = is_planned_once(query)
    walls = planned_once if kept else among_few
    conditions = conditions_shape(_asked(query, query.conditions, walls), values)
    if limit is not None:
        values.append(limit)
    return bound(_count, (kept, types, conditions, limit is not None), values, kept=kept)


def ids(query: Query, limit: int) -> Statement:
    """Return the statement of the type ids and ids of up to `limit` matches."""
    values: list[Any] = []
    types = types_shape(query, values)
    kept = is_planned_once(query)
    walls = planned_once if kept else among_few
    conditions = conditions_shape(_asked(query, query.conditions, walls), values)
    values.append(limit)
    return bound(_ids, (kept, types, conditions), values, kept=kept)


def types_shape(query: Query, values: list[Any], *, walks: bool = False) -> Shape:
    """Return whether the type is not tested (0), or to be one (1), or one of several (2).

    It is not where the conditions imply it, unless the statement may walk an index that
    begins with the type: all types' resources in order would be far more. Here begins each
    statement of a query, so that here is seen that rights are in it.
    """
    require_guard(query)
    implied = any(implies_type(one) for one in query.asked)
    count = 0 if implied and not walks else min(len(query.type_ids), 2)
    if count:
        values.append(query.type_ids[0] if count == 1 else array(query.type_ids))
    return (count,)


def _walks_by_time(query: Query) -> bool:
    """Return whether a page may walk the resources of a type by creation or change."""
    first = query.sort[0]
    return isinstance(first, ColumnKey) and first.column in {"key", "last_updated"}


def _merge(query: Query, phase: str) -> tuple[list[Row], list[Condition]]:
    """Return the conditions that can be tested on the row that is sorted by, and the others."""
    first = query.sort[0]
    if phase != VALUED or not isinstance(first, RowKey) or not first.single:
        return [], list(query.conditions)
    merged: list[Row] = []
    rest: list[Condition] = []
    for one in query.conditions:
        if isinstance(one, Row) and one.table == first.table and (one.param,) == first.params:
            merged.append(one)
        else:
            rest.append(one)
    return merged, rest


def _after_shape(query: Query, position: Position | None, phase: str, values: list[Any]) -> Shape:
    """Return which sort values of the position are missing; () at the start of a phase."""
    if position is None:
        return ((), False)
    snapshot = mutable(query)
    started = phase == TOGETHER or isinstance(query.sort[0], ColumnKey)
    if not started and position.values:
        started = (position.values[0] is None) == (phase == MISSING)
    nulls: tuple[bool, ...] = ()
    if started:
        kept = position.values[1:] if phase == MISSING else position.values
        nulls = (*(value is None for value in kept), False)
        values.extend(value for value in (*kept, position.key) if value is not None)
    if snapshot:
        values.append(position.snapshot)
    return (nulls, snapshot)


def bound(build: Build, shape: Shape, values: list[Any], *, kept: bool = False) -> Statement:
    """Return the text for `shape`, made once, with its values in the order of their places."""
    sql, order = build(shape)
    return Statement(sql, tuple(values[place] for place in order), kept)


_WALKS: Mapping[str, Callable[[Shape, Binds], Walk]] = {
    TOGETHER: walk_together,
    VALUED: walk_valued,
    MISSING: walk_missing,
}


@lru_cache(maxsize=4096)
def _page(shape: Shape) -> tuple[str, tuple[int, ...]]:
    binds = Binds()
    steps, found = _sorted(shape, binds)
    cut = found.order_by(*steps.order).limit(binds.take(BigInteger())).cte("page")
    return render(_with_bodies(cut, steps, binds.take(BigInteger()), walled=shape[0]), binds)


@lru_cache(maxsize=4096)
def _gathered(shape: Shape) -> tuple[str, tuple[int, ...]]:
    bodies, kept, *rest = shape
    binds = Binds(planned_once=kept)
    steps, found = _sorted(tuple(rest), binds)
    # Written as one with the page, PostgreSQL might walk an index in the hope of an early end.
    whole = found.limit(binds.take(BigInteger())).cte("found").prefix_with("MATERIALIZED")
    number = select(func.count()).select_from(whole).scalar_subquery()
    sorted_ = select(whole).order_by(*steps.outer_order(whole))
    cut = sorted_.limit(binds.take(BigInteger())).cte("page")
    if not bodies:
        return render(_without_bodies(cut, steps, number), binds)
    longest = binds.take(BigInteger())
    return render(_with_bodies(cut, steps, longest, number, walled=rest[0]), binds)


def _sorted(shape: Shape, binds: Binds) -> tuple[Walk, Select[Any]]:
    """Return the matches after the position, with their sort values but in no order yet."""
    _, types, sort, phase, on, conditions, (nulls, snapshot) = shape
    where = [*stored_as(types, binds)]
    steps = _WALKS[phase](sort, binds)
    where += steps.where
    where += [tests(groups, steps.row, binds) for groups in on]
    where += conjunction(conditions, binds)
    if nulls:
        where.append(steps.after(nulls, binds))
    if snapshot:
        where.append(unchanged(binds))
    columns = (TERMS.c.key, TERMS.c.version, TERMS.c.last_updated)
    values = (value.label(f"s{n}") for n, value in enumerate(steps.values))
    return steps, select(*columns, *values).select_from(steps.source).where(*where)


def _without_bodies(found: CTE, steps: Walk, number: ColumnElement[int]) -> Select[Any]:
    """Return how many were gathered, and the rows in their order, with the place of a text."""
    values = (found.c[f"s{n}"] for n in range(len(steps.values)))
    whole = (found.c.key, found.c.version, found.c.last_updated, null(), _snapshot(), *values)
    return select(number, *whole).order_by(*steps.outer_order(found))


def _snapshot() -> ColumnElement[Any]:
    return select(func.pg_current_snapshot().cast(Text)).scalar_subquery()


def shown_text(
    body: Columns, longest: ColumnElement[int], *, walled: bool
) -> ColumnElement[bytes | None]:
    """Return the text of a body, NULL of a long one, whose length is known without fetching it.

    Of who is `walled` it is empty where it is kept back.
    """
    text = func.convert_to(body.c.json, literal_column("'UTF8'"))
    shown = case((func.octet_length(body.c.json) <= longest, text))
    if walled:
        shown = case((body.c.key.is_(None), literal_column("''::bytea")), else_=shown)
    return shown


def _with_bodies(
    found: CTE,
    steps: Walk,
    longest: ColumnElement[int],
    *before: ColumnElement[Any],
    walled: bool,
) -> Select[Any]:
    """Return the page with each row's text, in its order; of who is `walled` all rows stay."""
    shown = shown_text(_BODY, longest, walled=walled)
    return (
        select(
            *before,
            found.c.key,
            found.c.version,
            found.c.last_updated,
            shown,
            _snapshot(),
            *(found.c[f"s{n}"] for n in range(len(steps.values))),
        )
        .join_from(
            found,
            _BODY,
            (_BODY.c.key == found.c.key) & (_BODY.c.version == found.c.version),
            isouter=walled,
        )
        .order_by(*steps.outer_order(found))
    )


@lru_cache(maxsize=4096)
def _count(shape: Shape) -> tuple[str, tuple[int, ...]]:
    kept, types, conditions, capped = shape
    binds = Binds(planned_once=kept)
    where = [*stored_as(types, binds), *conjunction(conditions, binds)]
    found = select(TERMS.c.key).where(*where)
    if capped:
        found = found.limit(binds.take(BigInteger()))
    return render(select(func.count()).select_from(found.subquery()), binds)


@lru_cache(maxsize=4096)
def _ids(shape: Shape) -> tuple[str, tuple[int, ...]]:
    kept, types, conditions = shape
    binds = Binds(planned_once=kept)
    where = [*stored_as(types, binds), *conjunction(conditions, binds)]
    resource = tables.resource.alias("r")
    found = select(TERMS.c.key).where(*where).limit(binds.take(BigInteger())).subquery()
    joined = select(resource.c.type_id, resource.c.id).join_from(
        found, resource, resource.c.key == found.c.key
    )
    return render(joined, binds)
