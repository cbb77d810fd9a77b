"""The order of a page as SQL.

The first sort key joins the one row by which a resource sorts, so that the
planner may walk that index in order and stop early. Further keys are looked up
for each row, and so is the first where the result is known to be small.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Text,
    and_,
    cast,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from fhir_server.search.shape import Shape
from fhir_server.search.sql import BIGINTS, TERMS, Binds, Clause, Columns, rows

Value: TypeAlias = ColumnElement[Any]
Params: TypeAlias = Any
"""One parameter, or ANY of an array of them."""


@dataclass(slots=True)
class Walk:
    """What the sort adds to a statement.

    `values` are the sort values, `descending` and `kinds` go with them; `row` is
    the joined row of the first key. The key of the resource breaks ties; `last`
    is whether it descends, as the first sort key does.
    """

    source: Any
    where: list[Clause]
    values: list[Value]
    descending: list[bool]
    nullable: list[bool]
    key: Value
    row: Columns = None
    last: bool = False

    def add(self, value: Value, *, descending: bool, nullable: bool) -> None:
        """Add a further sort key."""
        self.values.append(value)
        self.descending.append(descending)
        self.nullable.append(nullable)

    @property
    def order(self) -> list[Value]:
        """Return the ORDER BY of the page."""
        return _order([*self.values, self.key], self.directions, [*self.nullable, False])

    @property
    def directions(self) -> list[bool]:
        """Return whether each sort value, and then the key, descends."""
        return [*self.descending, self.last]

    def outer_order(self, page: Columns) -> list[Value]:
        """Return the same order over the columns of the page."""
        values = [page.c[f"s{n}"] for n in range(len(self.values))]
        return _order([*values, page.c.key], self.directions, [*self.nullable, False])

    def after(self, nulls: tuple[bool, ...], binds: Binds) -> Clause:
        """Return the condition of the rows after a position; `nulls`: what it has no value of."""
        columns = [*self.values, self.key]
        places = [
            None if null else binds.take(column.type)
            for column, null in zip(columns, nulls, strict=True)
        ]
        directions = self.directions
        if not any(self.nullable) and len(set(directions)) == 1:
            left, right = tuple_(*columns), tuple_(*places)
            return left < right if directions[0] else left > right
        return _after(columns, places, directions, [*self.nullable, False])


def _order(columns: list[Value], directions: list[bool], nullable: list[bool]) -> list[Value]:
    ordered: list[Value] = []
    for column, descending, null in zip(columns, directions, nullable, strict=True):
        one = column.desc() if descending else column.asc()
        ordered.append(one.nulls_last() if null else one)
    return ordered


def _after(
    columns: list[Value], places: list[Value | None], directions: list[bool], nullable: list[bool]
) -> Clause:
    """Return the lexicographic comparison, with missing values last."""
    column, place = columns[0], places[0]
    if place is None:
        equal: Clause = column.is_(None)
        beyond: Clause = false()
    else:
        equal = column == place
        beyond = column < place if directions[0] else column > place
        if nullable[0]:
            beyond = or_(beyond, column.is_(None))
    if len(columns) == 1:
        return beyond
    return or_(beyond, and_(equal, _after(columns[1:], places[1:], directions[1:], nullable[1:])))


def walk_valued(sort: Shape, binds: Binds) -> Walk:
    """Return the walk of the resources that have a value of the first key."""
    first, *others = sort
    return _with_further(_first(first, binds), others, binds)


def walk_missing(sort: Shape, binds: Binds) -> Walk:
    """Return the walk of the resources that have no value of the first key."""
    first, *others = sort
    return _with_further(_without(first, binds), others, binds)


def walk_together(sort: Shape, binds: Binds) -> Walk:
    """Return the walk of all resources, the first key looked up like the others."""
    whole = Walk(TERMS, [], [], [], [], TERMS.c.key, last=sort[0][-1])
    return _with_further(whole, sort, binds)


def _with_further(found: Walk, shapes: Sequence[Shape], binds: Binds) -> Walk:
    for shape in shapes:
        _further(found, shape, binds)
    return found


def _first(shape: Shape, binds: Binds) -> Walk:
    match shape:
        case ("row", table, column, one, single, descending):
            row = rows(table, "s")
            params = _params(binds, one=one)
            where = [row.c.param == params]
            if not single:
                where.append(~_exceeded(row, table, column, params, descending=descending))
            return _joined(row, row.c[column], where, descending=descending)
        case ("code", width, descending):
            row = rows("idx_code", "s")
            value = _code(row, width, binds, descending=descending)
            return _joined(row, value, [value.is_not(None)], descending=descending)
        case ("column", "id", descending):
            row = rows("resource", "s")
            return _joined(row, row.c.id, [], descending=descending)
        case ("column", "key", descending):
            return Walk(TERMS, [], [], [], [], TERMS.c.key, last=descending)
        case ("column", name, descending):
            column = TERMS.c[name]
            return Walk(TERMS, [], [column], [descending], [False], TERMS.c.key, last=descending)
    raise AssertionError(shape)


def _joined(row: Columns, value: Value, where: list[Clause], *, descending: bool) -> Walk:
    source = TERMS.join(row, row.c.key == TERMS.c.key)
    return Walk(source, where, [value], [descending], [False], row.c.key, row, descending)


def _params(binds: Binds, *, one: bool) -> Params:
    return binds.take(BigInteger()) if one else func.any(binds.take(BIGINTS))


def _exceeded(
    row: Columns,
    table: str,
    column: str,
    params: Params,
    *,
    descending: bool,
) -> Clause:
    """Return whether a resource has a row further ahead: it sorts by its foremost one.

    The physical place decides between rows of equal value.
    """
    other = rows(table, "o")
    ahead = tuple_(other.c[column], literal_column("o.ctid"))
    own = tuple_(row.c[column], literal_column("s.ctid"))
    return exists().where(
        other.c.key == row.c.key,
        other.c.param == params,
        ahead > own if descending else ahead < own,
    )


def _code(row: Columns, width: int, binds: Binds, *, descending: bool) -> Value:
    """Return the least or greatest code under some of `width` parameters."""
    codes = [_code_under(row, binds.take(Text()), descending=descending) for _ in range(width)]
    among = func.greatest if descending else func.least
    return (codes[0] if width == 1 else among(*codes)).collate("C")


def _code_under(row: Columns, param: Value, *, descending: bool) -> Value:
    least: Value = row.c.least.op("->>", return_type=Text())(param)
    if not descending:
        return least
    return func.coalesce(row.c.greatest.op("->>", return_type=Text())(param), least)


def _without(shape: Shape, binds: Binds) -> Walk:
    """Return the walk of the resources without a value of this key."""
    match shape:
        case ("row", table, _, one, _, descending):
            row = rows(table, "s")
            valued = exists().where(
                row.c.key == TERMS.c.key, row.c.param == _params(binds, one=one)
            )
        case ("code", width, descending):
            row = rows("idx_code", "s")
            value = _code(row, width, binds, descending=descending)
            valued = exists().where(row.c.key == TERMS.c.key, value.is_not(None))
    return Walk(TERMS, [~valued], [], [], [], TERMS.c.key, last=descending)


def _further(found: Walk, shape: Shape, binds: Binds) -> None:
    """Add a key that is looked up for each row; missing values come last."""
    name = f"f{len(found.values)}"
    match shape:
        case ("row", table, column, one, _, descending):
            row = rows(table)
            extreme = func.max if descending else func.min
            looked_up = select(extreme(row.c[column]).label("v")).where(
                row.c.key == TERMS.c.key, row.c.param == _params(binds, one=one)
            )
        case ("code", width, descending):
            row = rows("idx_code")
            value = _code(row, width, binds, descending=descending)
            looked_up = select(value.label("v")).where(row.c.key == TERMS.c.key)
        case ("score", descending):
            looked_up = _score(binds)
        case ("column", "id", descending):
            row = rows("resource")
            looked_up = select(row.c.id.label("v")).where(row.c.key == TERMS.c.key)
        case ("column", column, descending):
            found.add(TERMS.c[column], descending=descending, nullable=False)
            return
    inner = looked_up.lateral(name)
    found.source = found.source.outerjoin(inner, true())
    found.add(inner.c.v, descending=descending, nullable=True)


def _score(binds: Binds) -> Select[Any]:
    """Return how well the words match, in millionths, so that a page link holds it exactly."""
    row = rows("idx_words")
    rank = func.ts_rank(row.c.words, binds.take(TSQUERY())) * literal_column("1000000")
    best = func.max(cast(rank, BigInteger)).label("v")
    return select(best).where(row.c.key == TERMS.c.key, row.c.param == literal_column("0"))
