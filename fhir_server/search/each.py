"""Which conditions are looked at resource by resource.

A right as a care relationship or an order holds for what is many to one person and little of
what is stored. Where few resources are candidates each of them is looked at; else the planner
chooses, which may gather all that the right holds for. To think about rights takes the planner
longer than such a look: what is looked at, it is not told of (docs/decisions/0057).
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace

from fhir_server.search.condition import (
    ALWAYS,
    Among,
    Both,
    Caring,
    Coded,
    Condition,
    Each,
    Either,
    Ids,
    Linked,
    Looked,
    Near,
    Not,
    Referred,
    Refers,
    Row,
    Sharing,
    Typed,
    Updated,
    Within,
    Words,
    is_met_by_few,
)
from fhir_server.search.withholding import Aged, Withheld

_MOST = 2048
_kept: OrderedDict[int, tuple[Condition, Condition]] = OrderedDict()
_judged: OrderedDict[int, tuple[Condition, tuple[bool, bool]]] = OrderedDict()


def each(condition: Condition) -> Condition:
    """Return the condition with what leads to other tables looked at for each resource."""
    match condition:
        case Caring() | Linked() | Referred() | Sharing() | Withheld():
            return Each(condition)
        case Not(inner):
            return Not(each(inner))
        case Either(parts):
            return Either(tuple(each(one) for one in parts))
        case Both(parts):
            return Both(tuple(each(one) for one in parts))
        case _:
            return condition


def looked(condition: Condition) -> Condition:
    """Return a condition of rights, all of it looked at for each resource."""
    # By identity: what is kept of a caller's rights is asked again and again, and long.
    known = _kept.get(id(condition))
    if known is not None:
        return known[1]
    found: Condition = ALWAYS if condition == ALWAYS else Looked(each(condition))
    _kept[id(condition)] = (condition, found)
    if len(_kept) > _MOST:
        _kept.popitem(last=False)
    return found


def among_few(conditions: Sequence[Condition], top: Condition | None) -> list[Condition]:
    """Return the conjunction, where one of it is met by few, with the others looked at for each.

    `top` is what is asked of all that is found, for the rights of who searches.
    """
    sides = conjuncts(top)
    if not any(map(is_met_by_few, (*conditions, *sides))):
        return [*conditions, *sides]
    asked = [one if is_met_by_few(one) else each(one) for one in conditions]
    return [*asked, *(one if is_met_by_few(one) else looked(one) for one in sides)]


def is_plain(condition: Condition) -> bool:
    """Return whether it takes little to look at the condition for each of few resources."""
    match condition:
        case Words() | Near() | Within() | Among() | Coded():
            return False
        case Not(inner):
            return is_plain(inner)
        case Either(parts) | Both(parts):
            return all(map(is_plain, parts))
        case _:
            return True


def by_rights(top: Condition | None) -> tuple[bool, bool]:
    """Return whether rights let few through, and whether it takes little to look at them."""
    if top is None:
        return False, True
    known = _judged.get(id(top))
    if known is not None:
        return known[1]
    parts = conjuncts(top)
    found = any(map(is_met_by_few, parts)), all(map(is_plain, parts))
    _judged[id(top)] = (top, found)
    if len(_judged) > _MOST:
        _judged.popitem(last=False)
    return found


def planned_once(conditions: Sequence[Condition], top: Condition | None) -> list[Condition]:
    """Return the conjunction so that one plan is good for all values: few lead to the matches.

    What else is asked is looked at for each of them, whatever the planner thinks of it, who
    does not know the values. Only of what `is_plain`.
    """
    asked = [one if is_met_by_few(one) else _beside(one) for one in conditions]
    sides = conjuncts(top)
    return [*asked, *(one if is_met_by_few(one) else looked(one) for one in sides)]


def _beside(condition: Condition) -> Condition:
    """Return a condition that leads nowhere; terms are compared where the resource lies."""
    match condition:
        case Row() | Refers() | Ids():
            return Each(condition)
        case Not(inner):
            return Not(_beside(inner))
        case Either(parts):
            return Either(tuple(map(_beside, parts)))
        case Both(parts):
            return Both(tuple(map(_beside, parts)))
        case _:
            return each(condition)


def walked(conditions: Sequence[Condition], top: Condition | None) -> list[Condition]:
    """Return the conjunction for who walks in an order until a page is full.

    What most resources meet is looked at for each; what leads to few, the planner may begin with.
    """
    sides = conjuncts(top)
    if any(map(is_met_by_few, (*conditions, *sides))):
        return among_few(conditions, top)
    return [*conditions, *(one if _leads(one) else looked(one) for one in sides)]


def conjuncts(condition: Condition | None) -> tuple[Condition, ...]:
    """Return the parts of a conjunction, none of None."""
    match condition:
        case None:
            return ()
        case Both(parts):
            return tuple(inner for one in parts for inner in conjuncts(one))
        case _:
            return (condition,)


def _leads(condition: Condition) -> bool:
    """Return whether an index leads to what meets the condition, which may be few."""
    match condition:
        case Not() | Withheld() | Aged() | Updated() | Typed():
            return False
        case Sharing():
            # Most patients have an order: to gather what is of them takes long.
            return False
        case Either(parts):
            return all(map(_leads, parts))
        case Both(parts):
            return any(map(_leads, parts))
        case _:
            return True


def walled_nowhere(condition: Condition) -> Condition:
    """Return the condition, as of a rule, that sees all that is stored."""
    match condition:
        case Linked(condition=inner) | Referred(condition=inner):
            return replace(condition, condition=walled_nowhere(inner), wall=ALWAYS)
        case Within():
            return replace(condition, wall=ALWAYS)
        case Not(inner) | Sharing(condition=inner):
            return replace(condition, condition=walled_nowhere(inner))
        case Either(parts):
            return Either(tuple(walled_nowhere(one) for one in parts))
        case Both(parts):
            return Both(tuple(walled_nowhere(one) for one in parts))
        case _:
            return condition
