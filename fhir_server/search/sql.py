"""Conditions as SQL expressions.

Each function walks a shape (shape.py) and takes the places of values in the
same order in which their values were gathered.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Select,
    SmallInteger,
    Text,
    and_,
    bindparam,
    cast,
    exists,
    false,
    func,
    not_,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.types import TypeEngine, UserDefinedType

from fhir_server import tables
from fhir_server.search.shape import Shape

Clause = ColumnElement[bool]
Columns = Any
"""A table, alias or CTE; its columns are named at run time."""

TERMS = tables.terms.alias("t")
BIGINTS = ARRAY(BigInteger)

_DIALECT = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


class PgSnapshot(UserDefinedType[Any]):
    """PostgreSQL's description of which transactions a snapshot sees."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:  # noqa: ANN401  (SQLAlchemy's signature)
        """Return the type's name."""
        return "pg_snapshot"


class Binds:
    """The places of values, numbered in the order in which they are taken."""

    def __init__(self) -> None:
        self.count = 0

    def take(self, kind: TypeEngine[Any]) -> ColumnElement[Any]:
        """Return the next place, cast so that the planner never guesses its type."""
        place: BindParameter[Any] = bindparam(f"p{self.count}", type_=kind)
        self.count += 1
        # A cast names no collation; the column that is compared has its own.
        return cast(place, Text() if isinstance(kind, Text) else kind)


def render(statement: Select[Any], binds: Binds) -> tuple[str, tuple[int, ...]]:
    """Return SQL text with `$n` places, and which taken value each `$n` is."""
    compiled = statement.compile(dialect=_DIALECT)
    order = tuple(int(name[1:]) for name in compiled.positiontup or ())
    assert sorted(set(order)) == list(range(binds.count))
    return str(compiled), order


def rows(table: str, name: str | None = None) -> Columns:
    """Return a table under a name of its own."""
    return tables.metadata.tables[table].alias(name)


def types_clause(shape: Shape, binds: Binds) -> Clause:
    """Return the condition on the resource type; none where all are searched."""
    (count,) = shape
    if not count:
        return true()
    if count == 1:
        return TERMS.c.type_id == binds.take(SmallInteger())
    return TERMS.c.type_id == func.any(binds.take(ARRAY(SmallInteger)))


def conjunction(shape: Shape, binds: Binds, keys: Columns = TERMS) -> list[Clause]:
    """Return the conditions of a conjunction on the resource `keys.key`."""
    return [clause(one, binds, keys) for one in shape]


def clause(shape: Shape, binds: Binds, keys: Columns = TERMS) -> Clause:
    """Return one condition on the resource `keys.key`."""
    match shape:
        case ("not", inner):
            return not_(clause(inner, binds, keys))
        case ("both", *inner):
            return and_(*(clause(one, binds, keys) for one in inner))
        case ("either", *inner):
            return _either(inner, binds, keys)
        case ("linked", *inner):
            return _linked(tuple(inner), binds, keys)
        case ("referred", *inner):
            return _referred(tuple(inner), binds, keys)
        case _:
            return _leaf(shape, binds, keys)


def _leaf(shape: Shape, binds: Binds, keys: Columns) -> Clause:
    match shape:
        case ("all",):
            return _compared(keys.c.terms, "@>", binds)
        case ("any",):
            return _compared(keys.c.terms, "&&", binds)
        case ("ids",):
            named: Clause = keys.c.key.in_(_ids(binds))
            return named
        case ("updated", groups):
            return tests(groups, keys, binds)
        case ("row", table, groups):
            return _row(table, groups, binds, keys)
    raise AssertionError(shape)


def _compared(column: ColumnElement[Any], operator: str, binds: Binds) -> Clause:
    return column.bool_op(operator)(binds.take(BIGINTS))


def _linked(shape: Shape, binds: Binds, keys: Columns) -> Clause:
    """Return whether a reference of the resource leads to one that matches."""
    edge, there, found = rows("edge"), rows("resource"), rows("terms")
    return exists().where(
        edge.c.source_key == keys.c.key,
        there.c.type_id == edge.c.target_type,
        there.c.id == edge.c.target_id,
        found.c.key == there.c.key,
        *_followed(shape, binds, edge, found),
    )


def _referred(shape: Shape, binds: Binds, keys: Columns) -> Clause:
    """Return whether one that matches has a reference that leads to the resource."""
    edge, here, found = rows("edge"), rows("resource"), rows("terms")
    return exists().where(
        here.c.key == keys.c.key,
        edge.c.target_type == here.c.type_id,
        edge.c.target_id == here.c.id,
        found.c.key == edge.c.source_key,
        *_followed(shape, binds, edge, found),
    )


def _followed(shape: Shape, binds: Binds, edge: Columns, found: Columns) -> Iterator[Clause]:
    """Yield the parameter of the reference and what holds at its other end."""
    one, implied, inner = shape
    yield edge.c.param == (binds.take(BigInteger()) if one else func.any(binds.take(BIGINTS)))
    if not implied:
        yield found.c.type_id == binds.take(SmallInteger())
    yield from conjunction(inner, binds, found)


def _row(table: str, groups: Shape, binds: Binds, keys: Columns) -> Clause:
    row = rows(table)
    inner = [row.c.param == binds.take(BigInteger()), tests(groups, row, binds)]
    return exists().where(row.c.key == keys.c.key, *inner)


def tests(groups: Shape, row: Columns, binds: Binds) -> Clause:
    """Return the tests of a row: every group passes, by at least one of its tests."""
    passed = [or_(*(_test(name, op, row, binds) for name, op in group)) for group in groups]
    return and_(true(), *passed)


def _test(name: str, comparison: str, row: Columns, binds: Binds) -> Clause:
    column: ColumnElement[Any] = row.c[name]
    place = binds.take(column.type)
    if comparison == "like":
        return column.like(place)
    return column.bool_op(comparison)(place)


def _ids(binds: Binds) -> Select[Any]:
    resource = tables.resource.alias()
    return select(resource.c.key).where(
        resource.c.type_id == func.any(binds.take(ARRAY(SmallInteger))),
        resource.c.id == func.any(binds.take(ARRAY(Text))),
    )


def _either(shapes: list[Shape], binds: Binds, keys: Columns) -> Clause:
    """Return a union: of keys where each side finds its own, else a plain OR.

    Looked up as a union each side can use its index; as an OR each resource would
    be tested.
    """
    if not shapes:
        return false()
    if any(one[0] not in ("any", "row") for one in shapes):
        return or_(*(clause(one, binds, keys) for one in shapes))
    found = [_keys(one, binds) for one in shapes]
    among: Clause = keys.c.key.in_(found[0] if len(found) == 1 else union_all(*found))
    return among


def _keys(shape: Shape, binds: Binds) -> Select[Any]:
    """Return the keys of the resources that have some term, or a row that passes."""
    if shape[0] == "any":
        found = tables.terms.alias()
        return select(found.c.key).where(found.c.terms.overlap(binds.take(BIGINTS)))
    _, table, groups = shape
    row = rows(table)
    return select(row.c.key).where(
        row.c.param == binds.take(BigInteger()), tests(groups, row, binds)
    )


def unchanged(binds: Binds) -> Clause:
    """Return the condition that no write after the snapshot has touched the resource."""
    resource = tables.resource.alias()
    return exists().where(
        resource.c.key == TERMS.c.key,
        func.pg_visible_in_snapshot(resource.c.feed_xid, binds.take(PgSnapshot())),
    )
