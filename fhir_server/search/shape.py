"""The shape of a query, apart from its values.

A search is split into nested tuples of node names, columns and comparisons
(hashable: the key under which SQL text is kept) and the list of its values, in
the order in which `compile.py` walks the shape.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, TypeAlias

from fhir_server.bigints import bigints
from fhir_server.search.condition import (
    Among,
    Both,
    Caring,
    Coded,
    Condition,
    Each,
    Either,
    Ids,
    Keys,
    Leaf,
    Linked,
    Looked,
    Named,
    Near,
    Not,
    Referred,
    Refers,
    Row,
    Sharing,
    Terms,
    Test,
    Typed,
    Updated,
    Within,
    Words,
    implies_type,
)
from fhir_server.search.date import moment
from fhir_server.search.each import looked
from fhir_server.search.query import CodeKey, ColumnKey, RowKey, ScoreKey, SortKey
from fhir_server.search.withholding import Aged, Withheld

_ALIKE = 8
"""Rows tested alike from which on their values are given as arrays: one shape for any number."""

_MANY = 8
"""Terms beyond which they are sent in binary."""

Shape: TypeAlias = tuple[Any, ...]
Groups: TypeAlias = tuple[tuple[Test, ...], ...]


def array(numbers: Sequence[int]) -> str:
    """Return a PostgreSQL array literal; as text it needs no look at each element."""
    return "{" + ",".join(map(str, numbers)) + "}"


def texts(strings: Sequence[str]) -> str:
    """Return the same of texts."""
    quoted = (one.replace("\\", "\\\\").replace('"', '\\"') for one in strings)
    return "{" + ",".join(f'"{one}"' for one in quoted) + "}"


def conditions_shape(conditions: Sequence[Condition], values: list[Any]) -> Shape:
    """Return the shape of a conjunction; single terms become one array."""
    flat = [inner for one in conditions for inner in _conjuncts(one)]
    single = [term for one in flat for term in _single(one)]
    shape = [condition_shape(one, values) for one in flat if not _single(one)]
    if single:
        values.append(array(sorted(set(single))))
        shape.append(("all",))
    return tuple(shape)


def _conjuncts(condition: Condition) -> tuple[Condition, ...]:
    if isinstance(condition, Both):
        return tuple(inner for one in condition.conditions for inner in _conjuncts(one))
    return (condition,)


def _single(condition: Condition) -> tuple[int, ...]:
    """Return the term that the condition is, if it is just one."""
    found = condition.alternatives if isinstance(condition, Terms) else ()
    return found if len(found) == 1 else ()


def condition_shape(condition: Condition, values: list[Any]) -> Shape:
    """Return the shape of one condition and append its values."""
    match condition:
        case Not(inner):
            return ("not", condition_shape(inner, values))
        case Linked() | Referred() | Sharing():
            return _chain_shape(condition, values)
        case Either(parts):
            return _either_shape(parts, values)
        case Both(parts):
            return ("both", *(condition_shape(one, values) for one in parts))
        case Each() | Looked():
            return _each_shape(condition, values)
        case _:
            return _leaf_shape(condition, values)


_MOST = 2048
_kept: OrderedDict[int, tuple[Looked, Shape, tuple[Any, ...]]] = OrderedDict()


def _each_shape(condition: Each | Looked, values: list[Any]) -> Shape:
    """Return the shape of what is looked at for each; that of rights is made once."""
    if isinstance(condition, Each):
        return ("each", condition_shape(condition.condition, values))
    found = _kept.get(id(condition))
    if found is None:
        own: list[Any] = []
        shape = ("looked", conditions_shape([condition.condition], own))
        found = _kept[id(condition)] = (condition, shape, tuple(own))
        if len(_kept) > _MOST:
            _kept.popitem(last=False)
    values += found[2]
    return found[1]


def _chain_shape(condition: Linked | Referred | Sharing, values: list[Any]) -> Shape:
    match condition:
        case Sharing(params, patient, sources, inner):
            values += [array(params), patient, array(sources)]
            return ("sharing", conditions_shape([inner], values))
        case Linked(params, type_id, inner, wall):
            type_ids = (type_id, -type_id) if _can_be_contained(inner) else (type_id,)
            followed = _followed_shape(params, type_ids, inner, values)
            return ("linked", *followed, wall_shape(wall, values))
        case Referred(params, type_id, inner, wall):
            followed = _followed_shape(params, (type_id,), inner, values)
            return ("referred", *followed, wall_shape(wall, values))


def _either_shape(parts: Sequence[Condition], values: list[Any]) -> Shape:
    """Return the shape of a union; many rows that are tested alike become one node."""
    alike: dict[Shape, list[Row]] = {}
    shapes = []
    for one in parts:
        if isinstance(one, Row) and one.groups:
            alike.setdefault((one.table, groups_shape(one.groups, [])), []).append(one)
        else:
            shapes.append(condition_shape(one, values))
    for (table, groups), found in alike.items():
        if len(found) < _ALIKE:
            shapes += [condition_shape(one, values) for one in found]
            continue
        values.append(array([one.param for one in found]))
        each = ([test.value for group in one.groups for test in group] for one in found)
        values.extend(map(list, zip(*each, strict=True)))
        shapes.append(("rows", table, groups))
    return ("either", *shapes)


def _can_be_contained(condition: Condition) -> bool:
    """Return whether it asks for nothing that only stored resources have."""
    match condition:
        case Ids() | Updated() | Keys() | Words(param=0):
            return False
        case Not(inner):
            return _can_be_contained(inner)
        case Either(parts) | Both(parts):
            return all(_can_be_contained(part) for part in parts)
        case _:
            return True


def _followed_shape(
    params: tuple[int, ...], type_ids: tuple[int, ...], inner: Condition, values: list[Any]
) -> Shape:
    """Return whether there is one parameter, whether the type is implied, and the condition."""
    one, implied = len(params) == 1, implies_type(inner)
    values.append(params[0] if one else array(params))
    if not implied:
        values.append(array(type_ids))
    return (one, implied, conditions_shape([inner], values))


def wall_shape(wall: Condition | None, values: list[Any]) -> Shape:
    """Return what a resource must meet to be there, looked at for each; () for nothing."""
    return () if wall is None else conditions_shape([looked(wall)], values)


def _leaf_shape(condition: Leaf, values: list[Any]) -> Shape:
    match condition:
        case Terms(alternatives):
            # Those of rights are sent with each read, and PostgreSQL reads texts number by number.
            many = len(alternatives) > _MANY
            values.append(bigints(alternatives) if many else array(alternatives))
            return ("any",)
        case Among(text):
            values.append(text)
            return ("among",)
        case Named(candidates=candidates):
            values.append(array([one for _, one in candidates]))
            return ("any",)
        case Row(table, param, groups):
            values.append(param)
            return ("row", table, groups_shape(groups, values))
        case Updated(groups):
            return ("updated", _updated_shape(groups, values))
        case Coded():
            raise AssertionError("what the coding means was not asked")
        case _:
            return _other_shape(condition, values)


def _other_shape(
    condition: Ids | Keys | Words | Near | Within | Typed | Refers | Caring | Aged | Withheld,
    values: list[Any],
) -> Shape:
    match condition:
        case Ids(ids, types):
            values += [array(types), list(ids)]
            return ("ids",)
        case Keys(keys):
            values.append(array(keys))
            return ("keys",)
        case Words(query):
            values.append(query)
            return ("words",)
        case Near(param, latitude, longitude, meters, south, north, ranges):
            values += [param, south, north, *ranges[0], *ranges[1], latitude, longitude, meters]
            return ("near",)
        case Within() | Caring() | Aged() | Withheld():
            return _led_shape(condition, values)
        case Typed() | Refers():
            return _plain_shape(condition, values)


def _plain_shape(condition: Typed | Refers, values: list[Any]) -> Shape:
    if isinstance(condition, Typed):
        values.append(array(condition.types))
        return ("typed",)
    values.append(condition.param)
    return ("refers",)


def _led_shape(condition: Within | Caring | Aged | Withheld, values: list[Any]) -> Shape:
    match condition:
        case Aged(microseconds):
            values.append(microseconds)
            return ("aged",)
        case Withheld():
            return _withheld_shape(condition, values)
        case Within(param, type_id, parent, ids, above, wall):
            values += [list(ids), type_id, parent]
            inner = wall_shape(wall, values)
            values.append(param)
            return ("within", above, inner)
        case Caring(actors, patient, params, early, late):
            values += [texts(actors), max(late), array(early), array(late), patient]
            values += [array(params)] if params else []
            return ("caring", not params)


def _withheld_shape(condition: Withheld, values: list[Any]) -> Shape:
    record, asking = condition.record, condition.asking
    direct = not record.params
    values += [record.patient, *([] if direct else [array(record.params)])]
    values += [array([one for one, _ in asking.actors]), texts([one for _, one in asking.actors])]
    values += [array(asking.upward), array(asking.membership), array(asking.ended)]
    values += [texts(asking.purposes), texts(asking.actions)]
    return ("withheld", direct, condition.permitted, condition.unread)


def groups_shape(groups: Groups, values: list[Any]) -> Shape:
    """Return columns and comparisons of the tests on a range row."""
    values.extend(test.value for group in groups for test in group)
    return tuple(tuple((test.column, test.comparison) for test in group) for group in groups)


def _updated_shape(groups: Groups, values: list[Any]) -> Shape:
    """Return the tests on `last_updated`, an interval of one microsecond, as on its start."""
    for group in groups:
        for test in group:
            assert isinstance(test.value, int)
            # high = low + 1 µs, so `high > x` is `low > x - 1 µs`.
            shift = 1 if test.column == "high" else 0
            values.append(moment(test.value - shift))
    return tuple(tuple(("last_updated", test.comparison) for test in group) for group in groups)


def sort_shape(keys: Sequence[SortKey], values: list[Any]) -> Shape:
    """Return the shape of the sort keys and append their parameters."""
    return tuple(_key_shape(key, values) for key in keys)


def _key_shape(key: SortKey, values: list[Any]) -> Shape:
    match key:
        case RowKey(table, column, params, single, descending):
            one = len(params) == 1
            values.append(params[0] if one else array(params))
            return ("row", table, column, one, one and single, descending)
        case CodeKey(params, descending):
            values.extend(str(param) for param in params)
            return ("code", len(params), descending)
        case ColumnKey(column, descending):
            return ("column", column, descending)
        case ScoreKey(query):
            values.append(query)
            return ("score", True)
