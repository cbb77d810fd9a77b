"""The conditions of a search brought together where one row or one target meets them all.

`birthdate=ge1980&birthdate=lt1990` asks one row of a Patient, who has one birth
date; `patient.family=rao&patient.given=asha` one target of an Observation, which
has one subject. Together they bound one index scan, and one join.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fhir_server.search import months
from fhir_server.search.condition import (
    Both,
    Condition,
    Linked,
    Referred,
    Row,
    Terms,
    Test,
    is_met_by_few,
)
from fhir_server.search.context import Context
from fhir_server.search.terms import term

_DATES = "idx_date"
# Of other kinds one element may have several rows: each part of a name or an address.
_ONE_ROW = frozenset({_DATES, "idx_number", "idx_quantity"})
_YEAR = 366 * months.DAY


@dataclass(frozen=True, slots=True)
class Values:
    """Ids of the parameters of which a resource has at most one value, and of brief dates."""

    single: frozenset[int] = frozenset()
    brief: frozenset[int] = frozenset()


def gathered(
    context: Context, conditions: Sequence[Condition], values: Values
) -> tuple[Condition, ...]:
    """Return conditions that say the same of a resource."""
    flat = _merged(_conjuncts(conditions), values.single)
    found = [_bounded(_inside(context, one), values.brief) for one in flat]
    if any(map(is_met_by_few, found)):
        return tuple(found)
    return tuple(inner for one in found for inner in _narrowed(context, one))


def _conjuncts(conditions: Iterable[Condition]) -> list[Condition]:
    found: list[Condition] = []
    for one in conditions:
        found += _conjuncts(one.conditions) if isinstance(one, Both) and one.conditions else [one]
    return found


def _merged(conditions: Sequence[Condition], single: frozenset[int]) -> list[Condition]:
    found: dict[object, Condition] = {}
    for number, one in enumerate(conditions):
        name = _name(one, single) or number
        other = found.get(name)
        if isinstance(one, Row) and isinstance(other, Row):
            found[name] = replace(other, groups=other.groups + one.groups)
        elif isinstance(one, Linked) and isinstance(other, Linked):
            found[name] = replace(other, condition=Both((other.condition, one.condition)))
        else:
            found[name] = one
    return list(found.values())


def _name(condition: Condition, single: frozenset[int]) -> object:
    """Return the one row or target that the condition asks, None where there may be several."""
    match condition:
        case Row(table, param) if param in single and table in _ONE_ROW:
            return table, param
        case Linked((param,), target) if param in single:
            return param, target
        case _:
            return None


def _inside(context: Context, condition: Condition) -> Condition:
    """Return the condition with what holds at the other end of a reference gathered."""
    match condition:
        case Linked(condition=inner) | Referred(condition=inner):
            found = gathered(context, [inner], Values())
            return replace(condition, condition=found[0] if len(found) == 1 else Both(found))
        case _:
            return condition


def _bounded(condition: Condition, brief: frozenset[int]) -> Condition:
    """Return the condition with the start bound that a late end implies for what is brief."""
    if not isinstance(condition, Row) or condition.param not in brief:
        return condition
    after, _ = _bounds(condition)
    if after is None:
        return condition
    bound = Test("low", ">=", after - _YEAR)
    return replace(condition, groups=((bound,), *condition.groups))


def _narrowed(context: Context, condition: Condition) -> Iterable[Condition]:
    """Yield the condition, before it the months or years that it implies."""
    if isinstance(condition, Row) and condition.table == _DATES and condition.groups:
        found = months.overlapping(*_bounds(condition))
        if found:
            form, names = found
            terms = [term(context.secret, condition.param, form, name) for name in names]
            yield Terms(tuple(terms))
    yield condition


def _bounds(row: Row) -> tuple[int | None, int | None]:
    """Return the range of time that whatever passes must have a part in."""
    sure = [group[0] for group in row.groups if len(group) == 1]
    lows = [value for test in sure if (value := _after(test)) is not None]
    highs = [value for test in sure if (value := _before(test)) is not None]
    return max(lows, default=None), min(highs, default=None)


def _after(test: Test) -> int | None:
    starts = (test.column, test.comparison) in {("low", ">="), ("high", ">")}
    return test.value if starts and isinstance(test.value, int) else None


def _before(test: Test) -> int | None:
    ends = (test.column, test.comparison) in {("low", "<"), ("high", "<=")}
    return test.value if ends and isinstance(test.value, int) else None
