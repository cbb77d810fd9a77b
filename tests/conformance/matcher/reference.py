"""Reference parameters by the rules of the specification, 4.2 and 4.3."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from .definitions import Package
from .escaping import split, unescape
from .fhirpath import Node

LITERAL = re.compile(
    r"(?:(https?://.+)/)?([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]+))?"
)
ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


@dataclass(frozen=True)
class Literal:
    """`type/id` at a server (None: this one), perhaps of a version."""

    base: str | None
    type: str
    id: str
    version: str | None


@dataclass(frozen=True)
class Value:
    """What a reference says: where it leads, or a canonical, or whom it means."""

    literal: Literal | None = None
    text: str | None = None
    canonical: bool = False
    identifier: tuple[str | None, str | None] | None = None


def literal(package: Package, text: str, base: str) -> Literal | None:
    """Return the RESTful reference that a text is; under our base it is local."""
    found = LITERAL.fullmatch(text)
    if found is None or found[2] not in package.resource_types:
        return None
    return Literal(None if found[1] == base else found[1], found[2], found[3], found[4])


def values(package: Package, node: Node, base: str) -> list[Value]:
    """Return what is indexed of an element."""
    if node.type in ("canonical", "uri", "url"):
        return [Value(text=node.value, canonical=True)]
    if node.type in package.resource_types:  # inline in a Bundle
        return [Value(Literal(None, node.type, node.value.get("id", ""), None))]
    if node.type != "Reference":
        return []
    if not node.value.keys() & {"reference", "identifier", "display"}:
        return []
    text, identifier = node.value.get("reference"), node.value.get("identifier")
    return [
        Value(
            literal(package, text, base) if text is not None else None,
            text,
            identifier=(identifier.get("system"), identifier.get("value")) if identifier else None,
        )
    ]


def predicate(
    package: Package, text: str, modifier: str, base: str, targets: set[str]
) -> Callable[[Value], bool]:
    """Return whether a value matches one searched reference; a bare id is of any target type."""
    if modifier == "identifier":
        return _identified(text)
    text = unescape(text)
    if modifier == "below":
        return _below(text)
    if modifier:
        text = f"{modifier}/{text}"
    wanted = literal(package, text, base)

    def matches(value: Value) -> bool:
        if value.canonical:
            assert value.text is not None
            url, _, _ = value.text.partition("|")
            return text in (value.text, url) and not text.startswith("#")
        if value.literal is None:
            return value.text == text
        if wanted is None:
            local = value.literal.base is None and value.literal.type in targets
            return bool(ID.fullmatch(text)) and local and value.literal.id == text
        unversioned = (value.literal.base, value.literal.type, value.literal.id)
        same = unversioned == (wanted.base, wanted.type, wanted.id)
        return same and wanted.version in (None, value.literal.version)

    return matches


def _below(text: str) -> Callable[[Value], bool]:
    url, bar, version = text.partition("|")

    def matches(value: Value) -> bool:
        own, _, stored = (value.text or "").partition("|")
        inside = not bar or stored == version or stored.startswith(f"{version}.")
        return value.canonical and own == url and inside

    return matches


def _identified(text: str) -> Callable[[Value], bool]:
    parts = [unescape(part) for part in split(text, "|")]

    def matches(value: Value) -> bool:
        if value.identifier is None:
            return False
        system, number = value.identifier
        same = number is not None and number.casefold() == parts[-1].casefold()
        if len(parts) == 1:
            return same
        if not parts[1]:
            return system == parts[0]
        return same and (system or "") == parts[0]

    return matches
