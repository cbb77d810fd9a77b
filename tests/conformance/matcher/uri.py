"""Uri parameters by the rules of the specification, 4.3 and 4.7."""

from collections.abc import Callable
from dataclasses import dataclass

from .escaping import unescape
from .fhirpath import Node


@dataclass(frozen=True)
class Value:
    """A URI as given; `version` is that of the conformance resource that it names."""

    text: str
    canonical: bool = False
    version: str | None = None


def values(node: Node) -> list[Value]:
    """Return what is indexed of an element."""
    if node.type not in ("uri", "url", "canonical", "oid", "uuid"):
        return []
    names_itself = node.path.count(".") == 1 and node.path.endswith(".url")
    version = node.resource.get("version") if names_itself else None
    return [Value(node.value, node.type == "canonical", version)]


def predicate(text: str, modifier: str) -> Callable[[Value], bool]:
    """Return whether a value matches one searched URI."""
    text = unescape(text)
    match modifier:
        case "below":
            return lambda value: _below(value, text)
        case "above":
            return lambda value: any(_covers(one, text) for one in _forms(value))
    return lambda value: text in _forms(value)


def _forms(value: Value) -> set[str]:
    """Return the URI as given; a canonical is found by its url too, and `url` with a version."""
    if value.canonical:
        return {value.text, value.text.partition("|")[0]}
    return {value.text} if value.version is None else {value.text, f"{value.text}|{value.version}"}


def _below(value: Value, text: str) -> bool:
    if value.canonical and "|" in text and value.text.startswith(f"{text}."):
        return True
    return any(_covers(text, one) for one in _forms(value))


def _covers(upper: str, lower: str) -> bool:
    return upper == lower or lower.startswith(upper if upper.endswith("/") else f"{upper}/")
