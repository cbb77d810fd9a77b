"""Functions on collections.

https://hl7.org/fhirpath/N1/#functions
"""

from collections.abc import Callable, Mapping
from functools import cmp_to_key
from typing import Final, TypeAlias

from fhir_server.fhirpath.evaluation import Evaluation
from fhir_server.fhirpath.operators import distinct, order
from fhir_server.fhirpath.refusal import Misuse
from fhir_server.fhirpath.values import (
    EMPTY,
    FALSE,
    TRUE,
    Items,
    boolean,
    children,
    identity,
    integer,
    plain,
    text,
    truth,
)

# An expression that is made ready: run it on `$this`.
Closure: TypeAlias = Callable[[Evaluation, Items], Items]
Function: TypeAlias = Callable[..., Items]


def _each(run: Evaluation, items: Items, closure: Closure) -> list[Items]:
    """Return what the expression gives for each item, `$index` counting them."""
    run.spend(len(items) + 1)
    before, results = run.index, []
    for index, item in enumerate(items):
        run.index = index
        results.append(closure(run, [item]))
    run.index = before
    return results


def _where(run: Evaluation, items: Items, criterion: Closure) -> Items:
    kept = _each(run, items, criterion)
    return [item for item, keep in zip(items, kept, strict=True) if truth(keep)]


def _select(run: Evaluation, items: Items, projection: Closure) -> Items:
    found = [item for part in _each(run, items, projection) for item in part]
    run.spend(len(found))
    return found


def _all(run: Evaluation, items: Items, criterion: Closure) -> Items:
    return boolean(all(truth(keep) for keep in _each(run, items, criterion)))


def _exists(run: Evaluation, items: Items, criterion: Closure | None = None) -> Items:
    return TRUE if (_where(run, items, criterion) if criterion else items) else FALSE


def _repeat(run: Evaluation, items: Items, projection: Closure) -> Items:
    found: dict[object, object] = {}
    units, ahead = run.callbacks.units, items
    while ahead:
        produced = _select(run, ahead, projection)
        ahead = []
        for item in produced:
            mark = identity(item, units)
            if mark not in found:
                found[mark] = item
                ahead.append(item)
        run.spend(len(found))
    return list(found.values())


def _aggregate(
    run: Evaluation, items: Items, aggregator: Closure, start: Closure | None = None
) -> Items:
    before = run.total
    run.total = start(run, items) if start else EMPTY
    for index, item in enumerate(items):
        run.spend(1 + len(run.total))
        run.index = index
        run.total = aggregator(run, [item])
    result, run.total = run.total, before
    return result


def _iif(
    run: Evaluation, items: Items, criterion: Closure, yes: Closure, no: Closure | None = None
) -> Items:
    if len(items) > 1:
        raise Misuse("iif chooses for one item")
    found = criterion(run, items)
    value = plain(found[0]) if found else None
    if len(found) > 1 or (found and type(value) is not bool):
        raise Misuse("iif needs a boolean")
    if value:
        return yes(run, items)
    return no(run, items) if no else EMPTY


def _sort(run: Evaluation, items: Items, *keys: Closure) -> Items:
    ranked = [(item, [part(run, [item]) for part in keys] or [[item]]) for item in items]
    run.spend(len(items) * (len(items).bit_length() + 1))
    falling = [getattr(part, "falling", False) for part in keys] or [False]

    def compare(mine: tuple[object, list[Items]], yours: tuple[object, list[Items]]) -> int:
        for left, right, falls in zip(mine[1], yours[1], falling, strict=True):
            # What is absent stands after all that is there.
            found = order(run, left, right) if left and right else bool(right) - bool(left)
            if found:
                return -found if falls else found
        return 0

    return [item for item, _ in sorted(ranked, key=cmp_to_key(compare))]


def _trace(
    run: Evaluation, items: Items, label: Closure, projection: Closure | None = None
) -> Items:
    """Tell who asked for the evaluation; data is never logged."""
    tell = run.callbacks.trace
    if tell is not None:
        told = [one for item in items for one in projection(run, [item])] if projection else items
        run.spend(len(told))
        tell(text(label(run, items)) or "", told)
    return items


LAMBDAS: Final[Mapping[str, tuple[Function, int, int]]] = {
    "where": (_where, 1, 1),
    "select": (_select, 1, 1),
    "all": (_all, 1, 1),
    "exists": (_exists, 0, 1),
    "repeat": (_repeat, 1, 1),
    "aggregate": (_aggregate, 1, 2),
    "iif": (_iif, 2, 3),
    "sort": (_sort, 0, 10),
    "trace": (_trace, 1, 2),
}


def _truths(items: Items) -> list[bool]:
    values = [plain(item) for item in items]
    if not all(type(value) is bool for value in values):
        raise Misuse("booleans are needed")
    return values


def _single(_: Evaluation, items: Items) -> Items:
    if len(items) > 1:
        raise Misuse("one item is needed and several are given")
    return items


def _count_of(amount: Items) -> int:
    found = integer(amount)
    if found is None:
        raise Misuse("a number of items is needed")
    return max(0, found)


def _marks(run: Evaluation, items: Items) -> list[object]:
    run.spend(len(items))
    return [identity(item, run.callbacks.units) for item in items]


def _subset(run: Evaluation, items: Items, others: Items) -> Items:
    return boolean(set(_marks(run, items)) <= set(_marks(run, others)))


def _intersect(run: Evaluation, items: Items, others: Items) -> Items:
    there = set(_marks(run, others))
    marks = _marks(run, items)
    return distinct(run, [one for one, mark in zip(items, marks, strict=True) if mark in there])


def _exclude(run: Evaluation, items: Items, others: Items) -> Items:
    there = set(_marks(run, others))
    marks = _marks(run, items)
    return [one for one, mark in zip(items, marks, strict=True) if mark not in there]


def _combine(run: Evaluation, items: Items, others: Items) -> Items:
    run.spend(len(items) + len(others))
    return [*items, *others]


def _children(run: Evaluation, items: Items) -> Items:
    found = [child for item in items for child in children(run.model, item)]
    run.spend(len(found))
    return found


def _descendants(run: Evaluation, items: Items) -> Items:
    found: Items = []
    ahead = items
    while ahead:
        ahead = _children(run, ahead)
        found += ahead
        run.spend(len(found))
    return found


def _not(_: Evaluation, items: Items) -> Items:
    value = truth(items)
    return EMPTY if value is None else boolean(not value)


def _is_distinct(run: Evaluation, items: Items) -> Items:
    return boolean(len(set(_marks(run, items))) == len(items))


FUNCTIONS: Final[Mapping[str, tuple[Function, int, int]]] = {
    "empty": (lambda _, items: FALSE if items else TRUE, 0, 0),
    "not": (_not, 0, 0),
    "allTrue": (lambda _, items: boolean(all(_truths(items))), 0, 0),
    "anyTrue": (lambda _, items: boolean(any(_truths(items))), 0, 0),
    "allFalse": (lambda _, items: boolean(not any(_truths(items))), 0, 0),
    "anyFalse": (lambda _, items: boolean(not all(_truths(items))), 0, 0),
    "count": (lambda _, items: [len(items)], 0, 0),
    "distinct": (distinct, 0, 0),
    "isDistinct": (_is_distinct, 0, 0),
    "subsetOf": (_subset, 1, 1),
    "supersetOf": (lambda run, items, others: _subset(run, others, items), 1, 1),
    "single": (_single, 0, 0),
    "first": (lambda _, items: items[:1], 0, 0),
    "last": (lambda _, items: items[-1:], 0, 0),
    "tail": (lambda _, items: items[1:], 0, 0),
    "skip": (lambda _, items, count: items[_count_of(count) :], 1, 1),
    "take": (lambda _, items, count: items[: _count_of(count)], 1, 1),
    "intersect": (_intersect, 1, 1),
    "exclude": (_exclude, 1, 1),
    "union": (lambda run, items, others: distinct(run, [*items, *others]), 1, 1),
    "combine": (_combine, 1, 1),
    "children": (_children, 0, 0),
    "descendants": (_descendants, 0, 0),
}
