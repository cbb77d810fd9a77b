"""The types of R4 as an expression walks them.

https://hl7.org/fhir/R4/fhirpath.html#types
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from fhir_server.r4.definitions import Definitions, Element

SYSTEM: Final = frozenset(
    ("Boolean", "String", "Integer", "Decimal", "Date", "DateTime", "Time", "Quantity")
)
# The parents of R4's primitives.
_PRIMITIVES: Final = {
    "base64Binary": "Element",
    "boolean": "Element",
    "canonical": "uri",
    "code": "string",
    "date": "Element",
    "dateTime": "Element",
    "decimal": "Element",
    "id": "string",
    "instant": "Element",
    "integer": "Element",
    "markdown": "string",
    "oid": "uri",
    "positiveInt": "integer",
    "string": "Element",
    "time": "Element",
    "unsignedInt": "integer",
    "uri": "Element",
    "url": "uri",
    "uuid": "uri",
    "xhtml": "Element",
}
_QUANTITIES: Final = ("Age", "Count", "Distance", "Duration", "MoneyQuantity", "SimpleQuantity")
# Resources that are no DomainResource.
_PLAIN: Final = frozenset(("Binary", "Bundle", "Parameters"))
INFORMATION: Final = "ClassInfo"


class Field(NamedTuple):
    """A member in JSON; `beside` is the name of a primitive's sibling with its extensions."""

    name: str
    beside: str | None
    type: str


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """`fields`: type to member to its forms in JSON; `parents`: type to supertype."""

    fields: Mapping[str, Mapping[str, tuple[Field, ...]]]
    parents: Mapping[str, str]
    primitives: frozenset[str]
    resources: frozenset[str]

    def knows(self, name: str) -> bool:
        """Return whether R4 has a type of this name."""
        return name in self.parents

    def is_a(self, name: str, ancestor: str) -> bool:
        """Return whether a type is another or comes from it."""
        while name != ancestor:
            found = self.parents.get(name)
            if not found:
                return False
            name = found
        return True


@lru_cache(maxsize=4)
def model(definitions: Definitions) -> Model:
    """Return the types of these definitions, built once."""
    types = definitions.elements
    fields: dict[str, dict[str, tuple[Field, ...]]] = {
        name: _fields(types, members) for name, members in types.items()
    }
    inside = fields["Element"]
    fields |= dict.fromkeys(_PRIMITIVES, inside)
    fields[INFORMATION] = {
        name: (Field(name, f"_{name}", "string"),) for name in ("namespace", "name")
    }
    resources = frozenset(definitions.resource_types)
    return Model(fields, _parents(types, resources), frozenset(_PRIMITIVES), resources)


def _fields(
    types: Mapping[str, Mapping[str, Element]], members: Mapping[str, Element]
) -> dict[str, tuple[Field, ...]]:
    found: dict[str, tuple[Field, ...]] = {}
    for name, element in members.items():
        beside = None if element.type in types else f"_{name}"
        stem = element.choice or name
        found[stem] = (*found.get(stem, ()), Field(name, beside, element.type))
    return found


def _parents(
    types: Mapping[str, Mapping[str, Element]], resources: frozenset[str]
) -> dict[str, str]:
    parents = dict(_PRIMITIVES) | {"Element": "", "Resource": "", "DomainResource": "Resource"}
    parents |= {name: "Resource" if name in _PLAIN else "DomainResource" for name in resources}
    parents |= dict.fromkeys(_QUANTITIES, "Quantity") | {"BackboneElement": "Element"}
    for name in types:
        if name not in parents:
            backbone = "." in name or "modifierExtension" in types[name]
            parents[name] = "BackboneElement" if backbone else "Element"
    return parents
