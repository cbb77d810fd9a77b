"""Which conditions are looked at resource by resource.

A right as a care relationship or an order holds for what is many to one person and little of
what is stored. Where few resources are candidates each of them is looked at; else the planner
chooses, which may gather all that the right holds for.
"""

from collections.abc import Sequence

from fhir_server.search.condition import (
    Both,
    Caring,
    Condition,
    Each,
    Either,
    Linked,
    Not,
    Referred,
    is_met_by_few,
)


def each(condition: Condition) -> Condition:
    """Return the condition with what leads to other tables looked at for each resource."""
    match condition:
        case Caring() | Linked() | Referred():
            return Each(condition)
        case Not(inner):
            return Not(each(inner))
        case Either(parts):
            return Either(tuple(each(one) for one in parts))
        case Both(parts):
            return Both(tuple(each(one) for one in parts))
        case _:
            return condition


def among_few(conditions: Sequence[Condition]) -> Sequence[Condition]:
    """Return the conjunction, where one of it is met by few, with the others looked at for each."""
    if not any(map(is_met_by_few, conditions)):
        return conditions
    return [one if is_met_by_few(one) else each(one) for one in conditions]
