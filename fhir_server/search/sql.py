"""Conditions as SQL expressions.

Each function walks a shape (shape.py) and takes the places of values in the
same order in which their values were gathered.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    ColumnElement,
    Select,
    SmallInteger,
    Text,
    and_,
    bindparam,
    case,
    cast,
    column,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.types import TypeEngine, UserDefinedType

from fhir_server import tables
from fhir_server.search.consents import withheld, withholds
from fhir_server.search.hierarchy import within
from fhir_server.search.lookup import is_there, of_source
from fhir_server.search.relationship import cared_for, is_related, related
from fhir_server.search.shape import Shape
from fhir_server.search.sphere import positions

Clause = ColumnElement[bool]
Columns = Any
"""A table, alias or CTE; its columns are named at run time."""

TERMS = tables.terms.alias("t")
BIGINTS = ARRAY(BigInteger)

# SQLAlchemy's own constants would swallow what they are joined with, and the places in it.
_TRUE = literal_column("true", Boolean())
_FALSE = literal_column("false", Boolean())

_DIALECT = PGDialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


class PgSnapshot(UserDefinedType[Any]):
    """PostgreSQL's description of which transactions a snapshot sees."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:  # noqa: ANN401  (SQLAlchemy's signature)
        """Return the type's name."""
        return "pg_snapshot"


class Binds:
    """The places of values, numbered in the order in which they are taken.

    `planned_once` is whether the plan of the statement is kept. Then what is looked at for each
    resource is written out in it, which is quicker to do and slower to plan than a function.
    """

    def __init__(self, *, planned_once: bool = False) -> None:
        self.count = 0
        self.planned_once = planned_once

    def take(self, kind: TypeEngine[Any]) -> ColumnElement[Any]:
        """Return the next place, cast so that the planner never guesses its type."""
        place: BindParameter[Any] = bindparam(f"p{self.count}", type_=kind)
        self.count += 1
        return cast(place, _plain(kind))


def render(statement: Select[Any], binds: Binds) -> tuple[str, tuple[int, ...]]:
    """Return SQL text with `$n` places, and which taken value each `$n` is."""
    compiled = statement.compile(dialect=_DIALECT)
    order = tuple(int(name[1:]) for name in compiled.positiontup or ())
    assert sorted(set(order)) == list(range(binds.count))
    return str(compiled), order


def rows(table: str, name: str | None = None) -> Columns:
    """Return a table under a name of its own."""
    return tables.metadata.tables[table].alias(name)


def stored_as(types: Shape, binds: Binds) -> list[Clause]:
    """Return the conditions that a resource is stored, and of one of the types if they are asked.

    Where a plan is made once no index can begin with them, as the planner would like to who
    sees a table that is empty yet.
    """
    nothing: ColumnElement[int] = literal_column("0", BigInteger())
    key: ColumnElement[int] = TERMS.c.key + nothing if binds.planned_once else TERMS.c.key
    type_id = TERMS.c.type_id + nothing if binds.planned_once else TERMS.c.type_id
    found = [stored(key)]
    (count,) = types
    if count == 1:
        found.append(type_id == binds.take(SmallInteger()))
    elif count:
        found.append(type_id == func.any(binds.take(ARRAY(SmallInteger))))
    return found


def conjunction(shape: Shape, binds: Binds, keys: Columns = TERMS) -> list[Clause]:
    """Return the conditions of a conjunction on the resource `keys.key`."""
    return [clause(one, binds, keys) for one in shape]


def clause(shape: Shape, binds: Binds, keys: Columns = TERMS) -> Clause:
    """Return one condition on the resource `keys.key`."""
    match shape:
        case ("not", inner):
            return not_(clause(inner, binds, keys))
        case ("both", *inner):
            return and_(_TRUE, *(clause(one, binds, keys) for one in inner))
        case ("either", *inner):
            return _either(inner, binds, keys)
        case ("each", inner):
            return _each(inner, binds, keys)
        case ("looked", inner):
            # The planner neither looks into a CASE nor changes the order of what is in it.
            return case((and_(_TRUE, *conjunction(inner, binds, keys)), _TRUE), else_=_FALSE)
        case _:
            return _leaf(shape, binds, keys)


def _leaf(shape: Shape, binds: Binds, keys: Columns) -> Clause:
    match shape:
        case ("all",):
            return _compared(keys.c.terms, "@>", binds)
        case ("any",):
            return _compared(keys.c.terms, "&&", binds)
        case ("among",):
            return _one_among(keys.c.terms, binds)
        case ("updated", _) | ("aged",) | ("keys",) | ("typed",):
            return _of_column(shape, binds, keys)
        case ("withheld", *_):
            return withheld(shape, binds.take, keys.c.key)
        case _:
            return _among([_keys(shape, binds)], keys)


def _of_column(shape: Shape, binds: Binds, keys: Columns) -> Clause:
    found: Clause
    match shape:
        case ("updated", groups):
            return tests(groups, keys, binds)
        case ("aged",):
            microseconds = binds.take(BigInteger()) * literal_column("interval '1 microsecond'")
            found = keys.c.last_updated <= func.now() - microseconds
        case ("keys",):
            found = keys.c.key == func.any(binds.take(BIGINTS))
        case _:
            found = keys.c.type_id == func.any(binds.take(ARRAY(SmallInteger)))
    return found


def _compared(column: ColumnElement[Any], operator: str, binds: Binds) -> Clause:
    return column.bool_op(operator)(binds.take(BIGINTS))


def _one_among(terms: ColumnElement[Any], binds: Binds) -> Clause:
    """Return whether one of a resource's terms is among very many.

    They are hashed once for the statement; `&&` would compare each with each.
    """
    own = func.unnest(terms).table_valued(column("term", BigInteger)).render_derived()
    return exists().where(own.c.term == func.any(binds.take(BIGINTS)))


def _linked(shape: Shape, binds: Binds) -> Select[Any]:
    """Return the keys of resources with a reference that leads to one that matches."""
    edge, there = rows("edge"), rows("resource")
    return select(edge.c.source_key.label("key")).where(
        there.c.type_id == edge.c.target_type,
        there.c.id == edge.c.target_id,
        *_followed(shape, binds, edge, there.c.key),
    )


def _referred(shape: Shape, binds: Binds) -> Select[Any]:
    """Return the keys of resources to which a reference of one that matches leads."""
    edge, here = rows("edge"), rows("resource")
    return select(here.c.key).where(
        edge.c.target_type == here.c.type_id,
        edge.c.target_id == here.c.id,
        stored(edge.c.source_key),
        *_followed(shape, binds, edge, edge.c.source_key),
    )


def _followed(
    shape: Shape, binds: Binds, edge: Columns, end: ColumnElement[int]
) -> Iterator[Clause]:
    """Yield the parameter of the reference and what holds at its other end.

    The terms are joined only where they are looked at: the planner tries all orders
    of up to 8 tables, and two chains with a sort should stay within that.
    """
    one, implied, inner, wall = shape
    yield edge.c.param == (binds.take(BigInteger()) if one else func.any(binds.take(BIGINTS)))
    found: Columns = _Keyed(_Key(end))
    aside = implied and not any(map(_looks_at_terms, inner))
    if not aside:
        found = rows("terms")
        yield found.c.key == end
    if not implied:
        yield found.c.type_id == func.any(binds.take(ARRAY(SmallInteger)))
    yield from conjunction(inner, binds, found)
    if wall:
        through = _aside(wall, end, binds) if aside else and_(*conjunction(wall, binds, found))
        # What is contained is there with its container, from which the reference comes.
        yield or_(found.c.key < literal_column("0"), through)


def _aside(wall: Shape, key: ColumnElement[int], binds: Binds) -> Clause:
    """Return the rights to a resource as a query of their own.

    Joined for them alone, its terms might be looked at for each that refers to it.
    """
    own = rows("terms")
    return is_there(own.c.key == key, *conjunction(wall, binds, own))


def stored(key: ColumnElement[int]) -> Clause:
    """Return the condition that a key is of a stored resource, not of one contained in it."""
    return key > literal_column("0")


class _Key(NamedTuple):
    key: ColumnElement[int]


class _Keyed(NamedTuple):
    """What conditions ask of a table when they need no more than its key."""

    c: _Key


def _looks_at_terms(shape: Shape) -> bool:
    match shape:
        case ("all",) | ("any",) | ("among",) | ("updated", _) | ("typed",) | ("aged",):
            return True
        case ("not", inner):
            return _looks_at_terms(inner)
        case ("both", *inner) | ("looked", inner):
            return any(_looks_at_terms(one) for one in inner)
        case ("either", *inner):
            return not _is_union(inner) and any(_looks_at_terms(one) for one in inner)
        case _:
            return False


def tests(groups: Shape, row: Columns, binds: Binds) -> Clause:
    """Return the tests of a row: every group passes, by at least one of its tests."""
    passed = [or_(*(_test(name, op, row, binds) for name, op in group)) for group in groups]
    return and_(true(), *passed)


def _test(name: str, comparison: str, row: Columns, binds: Binds) -> Clause:
    return _comparison(row.c[name], comparison, binds.take(row.c[name].type))


def _comparison(left: ColumnElement[Any], operator: str, right: ColumnElement[Any]) -> Clause:
    return left.like(right) if operator == "like" else left.bool_op(operator)(right)


def _plain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type without a collation, which a cast cannot name."""
    return Text() if isinstance(kind, Text) else kind


def _ids(binds: Binds) -> Select[Any]:
    resource = rows("resource")
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
        return _FALSE
    if not _is_union(shapes):
        return or_(*(clause(one, binds, keys) for one in shapes))
    return _among([_keys(one, binds) for one in shapes], keys)


def _among(found: Sequence[Select[Any]], keys: Columns) -> Clause:
    clause: Clause = keys.c.key.in_(found[0] if len(found) == 1 else union_all(*found))
    return clause


def _each(shape: Shape, binds: Binds, keys: Columns) -> Clause:
    """Return the condition as a query for each resource, which the planner does not join."""
    match shape:
        case ("caring", own) if binds.planned_once:
            return is_related(binds.take, keys.c.key, own=own)
        case ("caring", own):
            return cared_for(binds.take, keys.c.key, own=own)
        case ("withheld", *_) if binds.planned_once:
            return withheld(shape, binds.take, keys.c.key, among_few=True)
        case ("withheld", *_):
            return withholds(shape, binds.take, keys.c.key)
        case ("sharing", inner):
            return _shares(inner, binds, keys)
    found = _keys(shape, binds).subquery()
    return is_there(found.c.key == keys.c.key)


def _sharing(shape: Shape, binds: Binds) -> Select[Any]:
    """Return the keys of the resources of patients of whom there is another that matches.

    Those patients are gathered once for the statement.
    """
    edge, other = rows("edge"), rows("edge")
    param, patient, where = _of_patients(edge, other, shape, binds)
    ids = func.array(select(other.c.target_id).where(*where).scalar_subquery())
    return select(edge.c.source_key.label("key")).where(
        param, edge.c.target_type == patient, edge.c.target_id == func.any(ids)
    )


def _shares(shape: Shape, binds: Binds, keys: Columns) -> Clause:
    """Return the same as a query for each resource."""
    edge, other = rows("edge"), rows("edge")
    param, patient, where = _of_patients(edge, other, shape, binds)
    own = of_source(edge, keys.c.key, param, patient)
    return is_there(*own, other.c.target_id == edge.c.target_id, *where)


def _of_patients(
    edge: Columns, other: Columns, shape: Shape, binds: Binds
) -> tuple[Clause, ColumnElement[int], list[Clause]]:
    """Return by what `edge` refers to a patient, that type, and what holds for the `other`."""
    param = edge.c.param == func.any(binds.take(BIGINTS))
    patient, there = binds.take(SmallInteger()), rows("terms")
    where = [
        other.c.param == func.any(binds.take(BIGINTS)),
        other.c.target_type == patient,
        stored(other.c.source_key),
        there.c.key == other.c.source_key,
        *conjunction(shape, binds, there),
    ]
    return param, patient, where


def _is_union(shapes: Sequence[Shape]) -> bool:
    """Return whether each side of a union can find its own keys."""
    return all(one[0] in _FINDERS for one in shapes)


_FINDERS = frozenset(
    (
        "any",
        "row",
        "rows",
        "ids",
        "linked",
        "referred",
        "words",
        "near",
        "within",
        "caring",
        "sharing",
    )
)


def _keys(shape: Shape, binds: Binds) -> Select[Any]:
    """Return the keys of the resources that meet a condition which an index answers."""
    match shape:
        case ("any",):
            found = rows("terms")
            return select(found.c.key).where(_compared(found.c.terms, "&&", binds))
        case ("linked", *inner):
            return _linked(tuple(inner), binds)
        case ("referred", *inner):
            return _referred(tuple(inner), binds)
        case ("row", table, groups):
            row = rows(table)
            param = row.c.param == binds.take(BigInteger())
            return select(row.c.key).where(param, tests(groups, row, binds))
        case ("rows", table, groups):
            return _rows_of_many(table, groups, binds)
    return _other_keys(shape, binds)


def _other_keys(shape: Shape, binds: Binds) -> Select[Any]:
    match shape:
        case ("ids",):
            return _ids(binds)
        case ("words",):
            row = rows("idx_words")
            return select(row.c.key).where(row.c.words.bool_op("@@")(binds.take(TSQUERY())))
        case ("near",):
            return positions(binds.take)
        case ("caring", own):
            return related(binds.take, own=own)
        case ("sharing", *_) | ("refers",):
            return _by_edge(shape, binds)
        case ("within", above, wall):
            name = f"w{binds.count}"

            def there(key: ColumnElement[int]) -> list[Clause]:
                found = rows("terms")
                return [found.c.key == key, *conjunction(wall, binds, found)] if wall else []

            return within(name, binds.take, there, above=above)
    raise AssertionError(shape)


def _by_edge(shape: Shape, binds: Binds) -> Select[Any]:
    if shape[0] == "sharing":
        return _sharing(shape[1], binds)
    edge = rows("edge")
    return select(edge.c.source_key).where(edge.c.param == binds.take(BigInteger()))


def _rows_of_many(table: str, groups: Shape, binds: Binds) -> Select[Any]:
    """Return the keys of the rows that pass one of many sets of tests, given as arrays.

    The limit changes nothing but the plan: an index is searched for each set. Joined
    freely, the planner compares all rows with all sets (1,000 birth dates took 117 s).
    """
    row = rows(table)
    kinds = [BigInteger(), *(_plain(row.c[name].type) for group in groups for name, _ in group)]
    names = [f"q{number}" for number in range(len(kinds))]
    arrays = [binds.take(ARRAY(kind)) for kind in kinds]
    columns = [column(name, kind) for name, kind in zip(names, kinds, strict=True)]
    asked = func.unnest(*arrays).table_valued(*columns).render_derived()
    places = iter([asked.c[name] for name in names])
    param = row.c.param == next(places)
    passed = [
        or_(*(_comparison(row.c[name], operator, next(places)) for name, operator in group))
        for group in groups
    ]
    each = select(row.c.key).where(param, *passed).limit(literal_column(_UNLIMITED)).lateral()
    return select(each.c.key).join_from(asked, each, true())


_UNLIMITED = "1000000000"


def unchanged(binds: Binds) -> Clause:
    """Return the condition that no write after the snapshot has touched the resource."""
    resource = tables.resource.alias()
    return exists().where(
        resource.c.key == TERMS.c.key,
        func.pg_visible_in_snapshot(resource.c.feed_xid, binds.take(PgSnapshot())),
    )
