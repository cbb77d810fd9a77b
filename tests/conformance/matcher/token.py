"""Token parameters by the rules of the specification, 4.2 and 4.3."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from .definitions import Package
from .escaping import split, unescape
from .fhirpath import Node, members
from .string import normalise

TEXTS = {"uri", "url", "canonical", "oid", "uuid", "id", "string", "markdown"}
PHONE = re.compile(r"\+?[\d\s().\-/]{3,}")


@dataclass(frozen=True)
class Value:
    """A code with the systems that it may be of; the types and texts that go with it.

    `implicit`: the systems are those of the value set that the element requires,
    so `|code` finds it too. `exact`: its case counts.
    """

    code: str | None
    systems: frozenset[str] = frozenset()
    implicit: bool = False
    exact: bool = False
    phone: bool = False
    texts: tuple[str, ...] = ()
    kinds: tuple[tuple[str, str, bool], ...] = field(default=())


def values(package: Package, node: Node) -> list[Value]:
    """Return what is indexed of an element."""
    match node.type:
        case "CodeableConcept":
            found = [
                v for coding in members(package, node, "coding") for v in _coding(package, coding)
            ]
            text = node.value.get("text")
            return found if text is None else [*found, Value(None, texts=(text,))]
        case "Coding":
            return _coding(package, node)
        case "Identifier":
            return _identifier(package, node)
        case "code":
            known = systems(package, node)
            exact = bool(known) and known <= package.exact
            return [Value(node.value, known, implicit=True, exact=exact)]
    return _plain(node)


def _plain(node: Node) -> list[Value]:
    """Return a value that has no system."""
    if node.type == "ContactPoint":
        return [Value(node.value["value"], phone=True)] if "value" in node.value else []
    if node.type == "boolean":
        return [Value("true" if node.value else "false")]
    return [Value(node.value)] if node.type in TEXTS else []


def systems(package: Package, node: Node) -> frozenset[str]:
    """Return the systems of a code: those of the value set that the element requires."""
    known = package.systems.get(node.value_set or "", {})
    return frozenset(system for system, codes in known.items() if node.value in codes)


def _coding(package: Package, node: Node) -> list[Value]:
    if not _has_value(node):
        return []
    system = node.value.get("system")
    systems = frozenset([system] if system else [])
    texts = (node.value["display"],) if "display" in node.value else ()
    return [Value(node.value.get("code"), systems, exact=system in package.exact, texts=texts)]


def _identifier(package: Package, node: Node) -> list[Value]:
    if not _has_value(node):
        return []
    system, kind = node.value.get("system"), node.value.get("type", {})
    kinds = tuple(
        (one["system"], one["code"], one["system"] in package.exact)
        for one in kind.get("coding", ())
        if "system" in one and "code" in one
    )
    return [
        Value(
            node.value.get("value"),
            frozenset([system] if system else []),
            texts=(kind["text"],) if "text" in kind else (),
            kinds=kinds,
        )
    ]


def _has_value(node: Node) -> bool:
    """Return whether the element has more than extensions."""
    return any(name not in {"id", "extension"} and name[0] != "_" for name in node.value)


def predicate(package: Package, text: str, modifier: str) -> Callable[[Value], bool]:
    """Return whether a value matches one searched token."""
    if modifier == "text":
        wanted = normalise(unescape(text))
        return lambda value: any(_starts(one, wanted) for one in value.texts)
    parts = [unescape(part) for part in split(text, "|")]
    if modifier == "of-type":
        system, code, number = parts
        return lambda v: (
            _equal(v, number)
            and any(one[0] == system and _same(one[1], code, exact=one[2]) for one in v.kinds)
        )
    if len(parts) == 1:
        return lambda value: _equal(value, parts[0])
    system, code = parts
    if not system:
        return lambda v: (not v.systems or v.implicit) and _equal(v, code)
    if not code:
        return lambda value: system in value.systems
    return lambda value: system in value.systems and _equal(value, code)


def _starts(text: str, wanted: str) -> bool:
    words = normalise(text).split(" ")
    return any(" ".join(words[place:]).startswith(wanted) for place in range(len(words)))


def _equal(value: Value, code: str) -> bool:
    if value.code is None:
        return False
    if value.phone and PHONE.fullmatch(value.code) and PHONE.fullmatch(code):
        return _digits(value.code) == _digits(code)
    return _same(value.code, code, exact=value.exact)


def _digits(text: str) -> str:
    return "".join(c for c in text if c.isdigit() or c == "+")


def _same(one: str, other: str, *, exact: bool) -> bool:
    return one == other if exact else one.casefold() == other.casefold()
