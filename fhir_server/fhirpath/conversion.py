"""Functions that make one system type of another.

https://hl7.org/fhirpath/N1/#conversion
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from fhir_server.fhirpath.collections import Function
from fhir_server.fhirpath.evaluation import Evaluation
from fhir_server.fhirpath.quantity import CALENDAR, Quantity
from fhir_server.fhirpath.refusal import Misuse
from fhir_server.fhirpath.temporal import Temporal, temporal
from fhir_server.fhirpath.values import EMPTY, Item, Items, Node, boolean, single, some

_INTEGER: Final = re.compile(r"[+-]?\d{1,18}\Z", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?\d{1,40}(?:\.\d{1,40})?\Z", re.ASCII)
_QUANTITY: Final = re.compile(
    r"([+-]?\d{1,40}(?:\.\d{1,40})?)(?:\s*'([^']+)'|\s+([a-z]+))?\Z", re.ASCII
)
_TRUE: Final = frozenset(("true", "t", "yes", "y", "1", "1.0"))
_FALSE: Final = frozenset(("false", "f", "no", "n", "0", "0.0"))
_INTEGERS: Final = range(-(2**31), 2**31)


def _to_boolean(value: Item) -> Item:
    if type(value) is bool:
        return value
    if type(value) is str:
        low = value.lower()
        return True if low in _TRUE else False if low in _FALSE else None
    if type(value) in {int, Decimal} and value in {0, 1}:
        return value == 1
    return None


def _to_integer(value: Item) -> Item:
    if type(value) is bool or type(value) is int:
        return int(value)
    if type(value) is str and _INTEGER.match(value) and int(value) in _INTEGERS:
        return int(value)
    return None


def _to_decimal(value: Item) -> Item:
    if type(value) in {bool, int}:
        return Decimal(int(value))
    if type(value) is Decimal:
        return value
    return Decimal(value) if type(value) is str and _DECIMAL.match(value) else None


def _to_string(value: Item) -> Item:
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is Decimal:
        return f"{value:f}"
    return None if type(value) is Node else str(value)


def _to_quantity(value: Item) -> Item:
    if type(value) is Quantity:
        return value
    if type(value) in {bool, int, Decimal}:
        return Quantity(Decimal(int(value)) if type(value) is bool else Decimal(value))
    found = _QUANTITY.match(value) if type(value) is str else None
    if found is None or (found[3] and found[3] not in CALENDAR):
        return None
    return Quantity(Decimal(found[1]), found[2] or found[3] or "1", quoted=not found[3])


def _to_temporal(kind: str) -> Callable[[Item], Item]:
    def convert(value: Item) -> Item:
        if type(value) is Temporal and kind != "Time" and value.kind != "Time":
            return Temporal(
                kind, value.parts[:3] if kind == "Date" else value.parts, _zone(kind, value)
            )
        if type(value) is Temporal:
            return value if value.kind == kind else None
        try:
            return temporal(kind, value) if type(value) is str else None
        except Misuse:
            return None

    return convert


def _zone(kind: str, value: Temporal) -> int | None:
    return None if kind == "Date" else value.offset


_CONVERSIONS: Final[Mapping[str, Callable[[Item], Item]]] = {
    "Boolean": _to_boolean,
    "Integer": _to_integer,
    "Decimal": _to_decimal,
    "String": _to_string,
    "Quantity": _to_quantity,
    "Date": _to_temporal("Date"),
    "DateTime": _to_temporal("DateTime"),
    "Time": _to_temporal("Time"),
}


def _to(convert: Callable[[Item], Item]) -> Function:
    def run_on(_: Evaluation, items: Items, *__: Items) -> Items:
        value = single(items)
        return EMPTY if value is None else some(convert(value))

    return run_on


def _converts(convert: Callable[[Item], Item]) -> Function:
    def run_on(_: Evaluation, items: Items, *__: Items) -> Items:
        value = single(items)
        return EMPTY if value is None else boolean(convert(value) is not None)

    return run_on


_OPTIONAL: Final[Mapping[str, Any]] = {"Quantity": 1}

FUNCTIONS: Final[Mapping[str, tuple[Function, int, int]]] = {
    f"to{kind}": (_to(convert), 0, _OPTIONAL.get(kind, 0)) for kind, convert in _CONVERSIONS.items()
} | {
    f"convertsTo{kind}": (_converts(convert), 0, _OPTIONAL.get(kind, 0))
    for kind, convert in _CONVERSIONS.items()
}
