"""Items of a collection: system values, and nodes of a resource.

A system value is a bool, int, Decimal, str, `Temporal` or `Quantity`.

https://hl7.org/fhir/R4/fhirpath.html#types
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

from fhir_server.fhirpath.model import Model
from fhir_server.fhirpath.quantity import Quantity, Units, measure
from fhir_server.fhirpath.refusal import Misuse
from fhir_server.fhirpath.temporal import Temporal, key, temporal

Item: TypeAlias = Any
Items: TypeAlias = list[Any]

UCUM: Final = "http://unitsofmeasure.org"
EMPTY: Final[Items] = []
TRUE: Final[Items] = [True]
FALSE: Final[Items] = [False]


class Node:
    """An element or resource: its R4 type, its JSON, and a primitive's `_` sibling.

    `value` is None for a primitive that has only extensions.
    """

    __slots__ = ("extra", "type", "value")

    def __init__(self, type_name: str, value: Item, extra: Item = None) -> None:
        self.type = type_name
        self.value = value
        self.extra = extra


def _integer(value: Item) -> Item:
    return value if type(value) is int else None


def _decimal(value: Item) -> Item:
    if type(value) is int:
        return Decimal(value)
    return value if type(value) is Decimal else None


def _text(value: Item) -> Item:
    return value if type(value) is str else None


def _truth(value: Item) -> Item:
    return value if type(value) is bool else None


def _temporal(kind: str) -> Callable[[Item], Item]:
    def read(value: Item) -> Item:
        try:
            return temporal(kind, value) if type(value) is str else None
        except Misuse:
            return None

    return read


def _quantity(value: Item) -> Item:
    if type(value) is not dict or "comparator" in value:
        return None
    amount = _decimal(value.get("value"))
    if amount is None:
        return None
    unit, system = value.get("code") or value.get("unit") or "1", value.get("system")
    return Quantity(amount, unit if system in {None, UCUM} else f"{system}|{unit}")


_TEXTS: Final = (
    *("string", "code", "id", "markdown", "uri", "url", "canonical"),
    *("oid", "uuid", "base64Binary", "xhtml"),
)
_READ: Final[Mapping[str, Callable[[Item], Item]]] = {
    **dict.fromkeys(_TEXTS, _text),
    **dict.fromkeys(("integer", "positiveInt", "unsignedInt"), _integer),
    **dict.fromkeys(
        ("Quantity", "Age", "Count", "Distance", "Duration", "SimpleQuantity"), _quantity
    ),
    "boolean": _truth,
    "decimal": _decimal,
    "date": _temporal("Date"),
    "dateTime": _temporal("DateTime"),
    "instant": _temporal("DateTime"),
    "time": _temporal("Time"),
}


def plain(item: Item) -> Item:
    """Return the system value of an item; the node itself where it has none."""
    if type(item) is not Node:
        return item
    read = _READ.get(item.type)
    value = read(item.value) if read else None
    return item if value is None else value


def single(items: Items) -> Item:
    """Return the one item as a system value or node; None for none. Misuse for several."""
    if not items:
        return None
    if len(items) > 1:
        raise Misuse("one item is needed and several are given")
    value = plain(items[0])
    if type(value) is Node and value.value is None:
        return None
    return value


def truth(items: Items) -> bool | None:
    """Return the collection as a boolean; any other single item counts as true."""
    if not items:
        return None
    value = single(items)
    return value if type(value) is bool else value is not None or None


def text(items: Items) -> str | None:
    """Return the one string; None for none. Misuse for anything else."""
    value = single(items)
    if value is not None and type(value) is not str:
        raise Misuse("a string is needed")
    return value


def integer(items: Items) -> int | None:
    """Return the one integer; None for none. Misuse for anything else."""
    value = single(items)
    if value is not None and type(value) is not int:
        raise Misuse("an integer is needed")
    return value


def number(items: Items) -> Decimal | int | None:
    """Return the one number; None for none. Misuse for anything else."""
    value: Decimal | int | None = single(items)
    if value is not None and type(value) not in {int, Decimal}:
        raise Misuse("a number is needed")
    return value


def boolean(value: bool | None) -> Items:  # noqa: FBT001  (the value itself)
    """Return a three-valued truth as a collection."""
    return EMPTY if value is None else TRUE if value else FALSE


def some(value: Item) -> Items:
    """Return the collection of one item, empty for None."""
    return EMPTY if value is None else [value]


def identity(item: Item, units: Units) -> object:
    """Return something hashable that equal items have in common, and others not."""
    value = plain(item)
    kind = type(value)
    if kind is str:
        return value
    if kind is bool:
        return ("b", value)
    if kind is int or kind is Decimal:
        return ("n", value)
    if kind is Temporal:
        return key(value)
    if kind is Quantity:
        return ("q", *measure(value, units))
    return ("c", _frozen(value.value), _frozen(value.extra))


def _frozen(value: Item) -> object:
    if type(value) is dict:
        return frozenset((name, _frozen(inner)) for name, inner in value.items())
    if type(value) is list:
        return tuple(_frozen(inner) for inner in value)
    return ("b", value) if type(value) is bool else value


def type_of(item: Item) -> tuple[str, str]:
    """Return namespace and name of an item's type."""
    if type(item) is Node:
        return "FHIR", item.type
    if type(item) is Temporal:
        return "System", item.kind
    names = {bool: "Boolean", int: "Integer", Decimal: "Decimal", str: "String"}
    return "System", names.get(type(item), "Quantity")


def children(model: Model, item: Item) -> Items:
    """Return all members of a node, of a primitive its id and extensions."""
    found: Items = []
    if type(item) is Node:
        for name in model.fields.get(item.type, ()):
            follow(model, item, name, found)
    return found


def follow(model: Model, item: Item, name: str, found: Items) -> bool:
    """Add the items of a node's member; return whether its type has such a member."""
    fields = model.fields.get(item.type, {}).get(name)
    if fields is None:
        return False
    data = item.extra if item.type in model.primitives else item.value
    if type(data) is dict:
        for json_name, beside, type_name in fields:
            value = data.get(json_name)
            if beside is None:
                if value is not None:
                    _add_complex(type_name, value, found)
            elif value is not None or beside in data:
                _add_primitives(type_name, value, data.get(beside), found)
    return True


def _add_complex(type_name: str, value: Item, found: Items) -> None:
    for one in value if type(value) is list else (value,):
        if type(one) is dict:
            found.append(Node(_own_type(type_name, one), one))


def _own_type(type_name: str, value: dict[str, Item]) -> str:
    if type_name == "Resource":
        named = value.get("resourceType")
        return named if type(named) is str else type_name
    return type_name


def _add_primitives(type_name: str, value: Item, beside: Item, found: Items) -> None:
    if type(value) is not list and type(beside) is not list:
        if type(value) is not dict:
            found.append(Node(type_name, value, beside))
        return
    values = value if type(value) is list else []
    extras = beside if type(beside) is list else []
    for index in range(max(len(values), len(extras))):
        one = values[index] if index < len(values) else None
        extra = extras[index] if index < len(extras) else None
        if one is not None or extra is not None:
            found.append(Node(type_name, one, extra))
