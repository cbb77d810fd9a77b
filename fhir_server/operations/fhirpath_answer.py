"""What an expression gave, as Parameters.

https://hl7.org/fhir/R4/parameters.html
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any, Final

from fhir_server.fhirpath.quantity import Quantity
from fhir_server.fhirpath.temporal import Temporal
from fhir_server.fhirpath.values import UCUM, Item, Node
from fhir_server.r4 import json
from fhir_server.r4.definitions import load

Json = dict[str, Any]

_JSON_VALUE: Final = "http://fhir.forms-lab.com/StructureDefinition/json-value"
_INTEGERS: Final = range(-(2**31), 2**31)
_TEMPORALS: Final = {"Date": "date", "DateTime": "dateTime", "Time": "time"}


@cache
def value_members() -> Mapping[str, str]:
    """Return the members of a parameter that hold a value, by type."""
    members = load().elements["Parameters.parameter"].values()
    return {one.type: one.name for one in members if one.choice == "value"}


@cache
def value_types() -> Mapping[str, str]:
    """Return the types of a parameter's values, by member."""
    return {member: name for name, member in value_members().items()}


def parts(items: Iterable[Item]) -> list[Json]:
    """Return a part for each item, named by its type."""
    return [_part(one) for one in items]


def _part(item: Item) -> Json:
    if type(item) is not Node:
        return _system(item)
    kind, value = item.type, item.value
    if type(value) is dict and "resourceType" in value:
        return {"name": kind, "resource": value}
    member = value_members().get(kind)
    if member is None or value == {}:
        return _as_json(kind, value)
    if value == "":
        return {"name": "empty-string"}
    part: Json = {"name": kind}
    if value is not None:
        part[member] = value
    if item.extra:
        part[f"_{member}"] = item.extra
    return part


def _as_json(kind: str, value: Item) -> Json:
    """Return a part for what is no data type, such as a backbone element."""
    text = json.encode(value).decode()
    return {"name": kind, "extension": [{"url": _JSON_VALUE, "valueString": text}]}


def _system(value: Item) -> Json:
    match value:
        case bool():
            return {"name": "boolean", "valueBoolean": value}
        case int() if value in _INTEGERS:
            return {"name": "integer", "valueInteger": value}
        case int() | Decimal():
            return {"name": "decimal", "valueDecimal": value}
        case Temporal():
            name = _TEMPORALS[value.kind]
            return {"name": name, value_members()[name]: str(value)}
        case Quantity():
            return {"name": "Quantity", "valueQuantity": _quantity(value)}
    return {"name": "string", "valueString": value} if value else {"name": "empty-string"}


def _quantity(value: Quantity) -> Json:
    amount = {"value": value.value, "unit": value.unit}
    return {**amount, "system": UCUM, "code": value.unit} if value.quoted else amount
