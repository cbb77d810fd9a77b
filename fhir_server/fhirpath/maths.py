"""Functions on numbers, and on the precision of values.

https://hl7.org/fhirpath/N1/#math
"""

from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Any, Final

from fhir_server.fhirpath.collections import Function
from fhir_server.fhirpath.evaluation import Evaluation
from fhir_server.fhirpath.operators import bounded
from fhir_server.fhirpath.quantity import Quantity, comparable
from fhir_server.fhirpath.refusal import Misuse
from fhir_server.fhirpath.temporal import Temporal, boundary, moment
from fhir_server.fhirpath.values import (
    EMPTY,
    Item,
    Items,
    Node,
    boolean,
    integer,
    number,
    single,
    some,
)

_PRECISE: Final = {"Date": 8, "DateTime": 17, "Time": 9}
_DECIMALS: Final = 8
_MOST_DECIMALS: Final = 28


def _on_number(work: Callable[[Any], Item]) -> Function:
    def run_on(_: Evaluation, items: Items) -> Items:
        value = number(items)
        return EMPTY if value is None else some(bounded(work(value)))

    return run_on


def _abs(_: Evaluation, items: Items) -> Items:
    value = single(items)
    if type(value) is Quantity:
        return [Quantity(abs(value.value), value.unit, value.quoted)]
    found = number(items)
    return EMPTY if found is None else [abs(found)]


def _sqrt(value: Any) -> Item:  # noqa: ANN401  (int or Decimal)
    return Decimal(value).sqrt() if value >= 0 else None


def _ln(value: Any) -> Item:  # noqa: ANN401  (int or Decimal)
    return Decimal(value).ln() if value > 0 else None


def _log(_: Evaluation, items: Items, base: Items) -> Items:
    value, radix = number(items), number(base)
    if value is None or radix is None or value <= 0 or radix <= 0 or radix == 1:
        return EMPTY
    return [round(Decimal(value).ln() / Decimal(radix).ln(), 20)]


def _power(_: Evaluation, items: Items, exponent: Items) -> Items:
    value, power = number(items), number(exponent)
    if value is None or power is None:
        return EMPTY
    if (value < 0 and power != int(power)) or (value == 0 and power < 0):
        return EMPTY
    found = bounded(Decimal(value) ** Decimal(power))
    whole = type(value) is int and type(power) is int and power >= 0
    return [int(found) if whole else found]


def _round(_: Evaluation, items: Items, digits: Items = EMPTY) -> Items:
    value, places = number(items), integer(digits) or 0
    if value is None:
        return EMPTY
    if not 0 <= places <= _MOST_DECIMALS:
        raise Misuse("a number of decimals is needed")
    return [Decimal(value).quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)]


def _boundary(*, high: bool) -> Function:
    def run_on(_: Evaluation, items: Items, precision: Items = EMPTY) -> Items:
        value, digits = single(items), integer(precision)
        if type(value) is Temporal:
            return some(
                boundary(value, _PRECISE[value.kind] if digits is None else digits, high=high)
            )
        if type(value) is Quantity:
            found = _edge(value.value, digits, high=high)
            return EMPTY if found is None else [Quantity(found, value.unit, value.quoted)]
        if value is None:
            return EMPTY
        return some(_edge(Decimal(number(items) or 0), digits, high=high))

    return run_on


def _edge(value: Decimal, digits: int | None, *, high: bool) -> Decimal | None:
    """Return the end of what a decimal of its precision may stand for."""
    places = _DECIMALS if digits is None else digits
    if not 0 <= places <= _MOST_DECIMALS:
        return None
    half = Decimal(5).scaleb(min(0, int(value.as_tuple().exponent)) - 1)
    exact = value + half if high else value - half
    return exact.quantize(Decimal(1).scaleb(-places), ROUND_CEILING if high else ROUND_FLOOR)


def _precision(_: Evaluation, items: Items) -> Items:
    value = single(items)
    if value is None:
        return EMPTY
    if type(value) is Temporal:
        return [value.precision]
    if type(value) is Quantity:
        value = value.value
    return [max(0, -int(Decimal(number([value]) or 0).as_tuple().exponent))]


def _comparable(run: Evaluation, items: Items, other: Items) -> Items:
    mine, yours = single(items), single(other)
    if mine is None or yours is None:
        return EMPTY
    if (type(mine), type(yours)) != (Quantity, Quantity):
        raise Misuse("two quantities are needed")
    return boolean(comparable(mine, yours, run.callbacks.units))


def _now(run: Evaluation, _: Items) -> Items:
    return [moment(run.now())]


def _today(run: Evaluation, _: Items) -> Items:
    return [Temporal("Date", moment(run.now()).parts[:3])]


def _time_of_day(run: Evaluation, _: Items) -> Items:
    return [Temporal("Time", moment(run.now()).parts[3:])]


def _component(at: int, kind: str) -> Function:
    def run_on(_: Evaluation, items: Items) -> Items:
        value = single(items)
        if value is None:
            return EMPTY
        if type(value) is not Temporal or (value.kind == "Time") != (kind == "Time"):
            raise Misuse("a date or time is needed")
        return [int(value.parts[at])] if at < len(value.parts) else EMPTY

    return run_on


def _sum(run: Evaluation, items: Items) -> Items:
    run.spend(len(items))
    return [sum(number([item]) or 0 for item in items)]


def _extreme(choose: Callable[..., Any]) -> Function:
    def run_on(_: Evaluation, items: Items) -> Items:
        values = [single([item]) for item in items]
        kinds = {type(value) for value in values}
        if kinds & {Node, Quantity, Temporal} or (str in kinds and kinds != {str}):
            raise Misuse("numbers or strings are needed")
        return [choose(values)] if values else EMPTY

    return run_on


def _average(run: Evaluation, items: Items) -> Items:
    return [Decimal(_sum(run, items)[0]) / len(items)] if items else EMPTY


FUNCTIONS: Final[Mapping[str, tuple[Function, int, int]]] = {
    "abs": (_abs, 0, 0),
    "ceiling": (
        _on_number(lambda value: int(Decimal(value).to_integral_value(ROUND_CEILING))),
        0,
        0,
    ),
    "floor": (_on_number(lambda value: int(Decimal(value).to_integral_value(ROUND_FLOOR))), 0, 0),
    "truncate": (_on_number(int), 0, 0),
    "exp": (_on_number(lambda value: Decimal(value).exp()), 0, 0),
    "ln": (_on_number(_ln), 0, 0),
    "log": (_log, 1, 1),
    "power": (_power, 1, 1),
    "sqrt": (_on_number(_sqrt), 0, 0),
    "round": (_round, 0, 1),
    "sum": (_sum, 0, 0),
    "min": (_extreme(min), 0, 0),
    "max": (_extreme(max), 0, 0),
    "avg": (_average, 0, 0),
    "lowBoundary": (_boundary(high=False), 0, 1),
    "highBoundary": (_boundary(high=True), 0, 1),
    "precision": (_precision, 0, 0),
    "comparable": (_comparable, 1, 1),
    "now": (_now, 0, 0),
    "today": (_today, 0, 0),
    "timeOfDay": (_time_of_day, 0, 0),
    "yearOf": (_component(0, "DateTime"), 0, 0),
    "monthOf": (_component(1, "DateTime"), 0, 0),
    "dayOf": (_component(2, "DateTime"), 0, 0),
    "hourOf": (_component(3, "DateTime"), 0, 0),
    "minuteOf": (_component(4, "DateTime"), 0, 0),
}
