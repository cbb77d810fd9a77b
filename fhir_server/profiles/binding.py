"""Codes and the value sets that they are to come from.

https://hl7.org/fhir/R4/terminologies.html#strength
"""

from collections.abc import Iterator
from typing import Any, Final

from fhir_server.profiles.place import Item
from fhir_server.profiles.seams import Bindings

_CODES: Final = frozenset(("code", "string", "uri", "url", "canonical", "id", "markdown", "oid"))
_QUANTITIES: Final = frozenset(("Quantity", "Age", "Count", "Distance", "Duration", "Money"))


def codes(item: Item) -> Iterator[tuple[str | None, str]]:
    """Yield each system and code of a code, Coding, CodeableConcept, Quantity or text."""
    value: Any = item.node.value
    if item.node.type in _CODES:
        if type(value) is str:
            yield None, value
    elif type(value) is dict:
        codings = value.get("coding", ()) if item.node.type == "CodeableConcept" else [value]
        for coding in codings if type(codings) is list else ():
            if type(coding) is dict and type(coding.get("code")) is str:
                yield coding.get("system"), coding["code"]


def is_coded(item: Item) -> bool:
    """Return whether an item is of a type that can be bound."""
    kind = item.node.type
    return kind in _CODES or kind in _QUANTITIES or kind in {"Coding", "CodeableConcept"}


def is_member(bindings: Bindings, value_set: str, item: Item) -> bool | None:
    """Return whether a code of the item is in the value set; None where that is not known."""
    known: bool | None = False
    for system, code in codes(item):
        found = bindings.member(value_set, system, code)
        if found:
            return True
        if found is None:
            known = None
    return known
