"""Operators between two collections.

https://hl7.org/fhirpath/N1/#operations
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Final

from fhir_server.fhirpath import temporal
from fhir_server.fhirpath.evaluation import Evaluation
from fhir_server.fhirpath.quantity import Quantity, measure, product, quotient
from fhir_server.fhirpath.refusal import Misuse
from fhir_server.fhirpath.temporal import Temporal
from fhir_server.fhirpath.values import (
    EMPTY,
    Item,
    Items,
    Node,
    boolean,
    identity,
    plain,
    single,
    some,
    text,
)

Operator = Callable[[Evaluation, Items, Items], Items]

_DIGITS: Final = 8  # of a quotient, where an equivalence asks for no fewer

_BITS: Final = 256
_MAGNITUDE: Final = 80


def equal_items(run: Evaluation, mine: Item, yours: Item) -> bool | None:
    """Return whether two items are equal; None where that is open."""
    left, right = plain(mine), plain(yours)
    kinds = type(left), type(right)
    if kinds == (Temporal, Temporal):
        if (left.kind == "Time") != (right.kind == "Time"):
            return False
        order = temporal.compare(left, right)
        return None if order is None else order == 0
    if kinds == (Quantity, Quantity):
        units = run.callbacks.units
        (what, much), (other, amount) = measure(left, units), measure(right, units)
        if what != other:
            return None if "calendar" in {what, other} else False
        return much == amount
    return identity(left, run.callbacks.units) == identity(right, run.callbacks.units)


def equal(run: Evaluation, left: Items, right: Items) -> Items:
    """Return whether the collections are equal, item by item in order."""
    if not left or not right:
        return EMPTY
    run.spend(len(left))
    if len(left) != len(right):
        return boolean(value=False)
    answer: bool | None = True
    for mine, yours in zip(left, right, strict=True):
        same = equal_items(run, mine, yours)
        if same is False:
            return boolean(value=False)
        answer = answer and same
    return boolean(answer)


def unequal(run: Evaluation, left: Items, right: Items) -> Items:
    """Return whether the collections differ."""
    answer = equal(run, left, right)
    return boolean(not answer[0]) if answer else EMPTY


def _decimals(value: Item) -> int:
    exponent = value.as_tuple().exponent if type(value) is Decimal else 0
    return max(0, -int(exponent))


def _rounded(mine: Item, yours: Item) -> bool:
    digits = min(_decimals(mine), _decimals(yours), _DIGITS)
    return round(Decimal(mine), digits) == round(Decimal(yours), digits)


def _alike_quantities(run: Evaluation, left: Quantity, right: Quantity) -> bool:
    units = run.callbacks.units
    (what, much), (other, amount) = (measure(one, units, loose=True) for one in (left, right))
    if what != other:
        return False
    if much == amount or not left.value or not right.value:
        return much == amount
    # The right one in the left one's unit, then to the fewer decimals of the two.
    scaled = left.value * Decimal(amount.numerator) * Decimal(much.denominator)
    there = scaled / (Decimal(amount.denominator) * Decimal(much.numerator))
    return _rounded(left.value, there) if _decimals(there) else left.value == there


def _alike(run: Evaluation, mine: Item, yours: Item) -> bool:
    left, right = plain(mine), plain(yours)
    kinds = type(left), type(right)
    if kinds == (str, str):
        return " ".join(left.casefold().split()) == " ".join(right.casefold().split())
    if set(kinds) <= {int, Decimal}:
        return _rounded(left, right)
    if kinds == (Quantity, Quantity):
        return _alike_quantities(run, left, right)
    return equal_items(run, left, right) is True


def equivalent(run: Evaluation, left: Items, right: Items) -> Items:
    """Return whether the collections say the same, in any order."""
    if len(left) != len(right):
        return boolean(value=False)
    ahead = list(right)
    for mine in left:
        run.spend(len(ahead))
        found = next((at for at, one in enumerate(ahead) if _alike(run, mine, one)), None)
        if found is None:
            return boolean(value=False)
        del ahead[found]
    return boolean(value=True)


def _unlike(run: Evaluation, left: Items, right: Items) -> Items:
    return boolean(not equivalent(run, left, right)[0])


def order(run: Evaluation, left: Items, right: Items) -> int | None:
    """Return -1, 0 or 1 for one item beside another; None where that is open."""
    mine, yours = single(left), single(right)
    if mine is None or yours is None:
        return None
    kinds = type(mine), type(yours)
    if kinds == (Temporal, Temporal):
        return temporal.compare(mine, yours)
    if kinds == (Quantity, Quantity):
        units = run.callbacks.units
        (what, mine), (other, yours) = measure(mine, units), measure(yours, units)
        if what != other:
            return None
    elif kinds != (str, str) and not set(kinds) <= {int, Decimal}:
        raise Misuse("the two are not comparable")
    return int(mine > yours) - int(mine < yours)


def _ordered(test: Callable[[int], bool]) -> Operator:
    def compare(run: Evaluation, left: Items, right: Items) -> Items:
        found = order(run, left, right)
        return EMPTY if found is None else boolean(test(found))

    return compare


def _plus(run: Evaluation, mine: Item, yours: Item) -> Item:
    if (type(mine), type(yours)) == (str, str):
        run.spend_text(len(mine) + len(yours))
        return mine + yours
    if type(mine) is Temporal and type(yours) is Quantity:
        return temporal.plus(mine, yours, 1)
    return _sum(run, mine, yours, 1)


def _minus(run: Evaluation, mine: Item, yours: Item) -> Item:
    if type(mine) is Temporal and type(yours) is Quantity:
        return temporal.plus(mine, yours, -1)
    return _sum(run, mine, yours, -1)


def _sum(run: Evaluation, mine: Item, yours: Item, sign: int) -> Item:
    if (type(mine), type(yours)) == (Quantity, Quantity):
        there = _in_unit(run, yours, mine)
        return (
            None if there is None else Quantity(mine.value + sign * there, mine.unit, mine.quoted)
        )
    _numbers(mine, yours)
    return mine + sign * yours


def _in_unit(run: Evaluation, amount: Quantity, like: Quantity) -> Decimal | None:
    if amount.unit == like.unit:
        return amount.value
    units = run.callbacks.units
    what, much = measure(amount, units)
    other, one = measure(Quantity(Decimal(1), like.unit, like.quoted), units)
    if what != other or not one:
        return None
    return Decimal((much / one).numerator) / Decimal((much / one).denominator)


def _numbers(mine: Item, yours: Item) -> None:
    if not {type(mine), type(yours)} <= {int, Decimal}:
        raise Misuse("the two do not go together")


def _times(run: Evaluation, mine: Item, yours: Item) -> Item:
    if Quantity in {type(mine), type(yours)}:
        return product(_amount(mine), _amount(yours), run.callbacks.units)
    _numbers(mine, yours)
    return mine * yours


def _amount(value: Item) -> Quantity:
    if type(value) is Quantity:
        return value
    if type(value) not in {int, Decimal}:
        raise Misuse("the two do not go together")
    return Quantity(Decimal(value))


def _divided(run: Evaluation, mine: Item, yours: Item) -> Item:
    if Quantity in {type(mine), type(yours)}:
        right = _amount(yours)
        return quotient(_amount(mine), right, run.callbacks.units) if right.value else None
    _numbers(mine, yours)
    return Decimal(mine) / Decimal(yours) if yours else None


def _whole(_: Evaluation, mine: Item, yours: Item) -> Item:
    _numbers(mine, yours)
    return int(Decimal(mine) / Decimal(yours)) if yours else None


def _rest(_: Evaluation, mine: Item, yours: Item) -> Item:
    _numbers(mine, yours)
    if not yours:
        return None
    rest = Decimal(mine) % Decimal(yours)
    return int(rest) if (type(mine), type(yours)) == (int, int) else rest


def _arithmetic(work: Callable[[Evaluation, Item, Item], Item]) -> Operator:
    def calculate(run: Evaluation, left: Items, right: Items) -> Items:
        mine, yours = single(left), single(right)
        if mine is None or yours is None:
            return EMPTY
        if Node in {type(mine), type(yours)}:
            raise Misuse("the two do not go together")
        return some(bounded(work(run, mine, yours)))

    return calculate


def bounded(value: Item) -> Item:
    """Return a number if it is of reasonable size, so that products cannot grow without end."""
    amount = value.value if type(value) is Quantity else value
    if type(amount) is int and amount.bit_length() > _BITS:
        raise Misuse("the result is out of range")
    if type(amount) is Decimal and abs(amount.adjusted()) > _MAGNITUDE and amount:
        raise Misuse("the result is out of range")
    return value


def _joined(run: Evaluation, left: Items, right: Items) -> Items:
    mine, yours = text(left) or "", text(right) or ""
    run.spend_text(len(mine) + len(yours))
    return [mine + yours]


def distinct(run: Evaluation, items: Items) -> Items:
    """Return the items, equal ones once."""
    run.spend(len(items))
    units = run.callbacks.units
    found: dict[object, Item] = {}
    for item in items:
        found.setdefault(identity(item, units), item)
    return list(found.values())


def _union(run: Evaluation, left: Items, right: Items) -> Items:
    return distinct(run, [*left, *right])


def _in(run: Evaluation, left: Items, right: Items) -> Items:
    if not left:
        return EMPTY
    if len(left) > 1:
        raise Misuse("one item is sought at a time")
    run.spend(len(right))
    return boolean(any(equal_items(run, left[0], item) for item in right))


def _contains(run: Evaluation, left: Items, right: Items) -> Items:
    return _in(run, right, left)


OPERATORS: Final[Mapping[str, Operator]] = {
    "=": equal,
    "!=": unequal,
    "~": equivalent,
    "!~": _unlike,
    "<": _ordered(lambda found: found < 0),
    "<=": _ordered(lambda found: found <= 0),
    ">": _ordered(lambda found: found > 0),
    ">=": _ordered(lambda found: found >= 0),
    "+": _arithmetic(_plus),
    "-": _arithmetic(_minus),
    "*": _arithmetic(_times),
    "/": _arithmetic(_divided),
    "div": _arithmetic(_whole),
    "mod": _arithmetic(_rest),
    "&": _joined,
    "|": _union,
    "in": _in,
    "contains": _contains,
}
