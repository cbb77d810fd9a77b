"""String parameters by the rules of the specification, 4.2 and 4.3."""

import unicodedata
from collections.abc import Callable

from .escaping import unescape
from .fhirpath import Node

Value = tuple[str, bool]
"""A text, and whether it is a whole original value (which `:exact` compares)."""

PARTS = {
    "HumanName": ["text", "family", "given", "prefix", "suffix"],
    "Address": ["text", "line", "city", "district", "state", "postalCode", "country"],
}


def normalise(text: str) -> str:
    """Return the text without case, accents of Latin letters and punctuation."""
    text = unicodedata.normalize("NFKD", text)
    text = "".join(c for c in text if not "\u0300" <= c <= "\u036f" and c != "\u093c")
    text = text.casefold()
    text = "".join(" " if unicodedata.category(c)[0] == "P" else c for c in text)
    return unicodedata.normalize("NFC", " ".join(text.split()))


def values(node: Node) -> list[Value]:
    """Return what is indexed of an element."""
    if node.type in ("string", "markdown"):
        found = [(node.value, True)]
        return found + (_words(node.value) if node.path == "HumanName.family" else [])
    parts = [part for name in PARTS.get(node.type, ()) for part in _listed(node.value.get(name))]
    found = [(part, True) for part in parts]
    if node.type == "HumanName" and "family" in node.value:
        family = node.value["family"]
        found += _words(family)
        found.append((" ".join([*_listed(node.value.get("given")), family]), False))
    return found


def _words(family: str) -> list[Value]:
    return [(word, False) for word in family.split()]


def _listed(value: str | list[str | None] | None) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [one for one in listed if one is not None]


def predicate(text: str, modifier: str) -> Callable[[Value], bool]:
    """Return whether a value matches one searched text."""
    text = unescape(text)
    if modifier == "exact":
        whole = unicodedata.normalize("NFC", text)
        return lambda value: value[1] and unicodedata.normalize("NFC", value[0]) == whole
    wanted = normalise(text)
    if modifier == "contains":
        return lambda value: wanted in normalise(value[0])
    return lambda value: normalise(value[0]).startswith(wanted)
