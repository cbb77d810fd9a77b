"""References from what one message brought to what another brings.

A reference is logical until its target is there, then literal (section 4 of the
project's HL7 specification).

https://hl7.org/fhir/R4/references.html#logical
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters.hl7.inbox.reconcile import references
from adapters.hl7.mapping.context import Json, Link
from adapters.hl7.mapping.datatypes import hd

# Elements that hold one reference; all others that are linked hold several.
_SINGLE: Final = frozenset(("encounter", "subject", "patient", "context", "request", "requester"))


_TOKEN: Final = re.compile(r"((?:[^\\|]|\\.)*)\|(.*)", re.DOTALL)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A link whose target was not there: `source` and the identifiers that it will have.

    `number` is that of its row, 0 before it has one.
    """

    source: str
    element: str
    type: str
    identity: tuple[str, ...]
    inverse: bool
    number: int = 0


def parts(token: str) -> tuple[str, str]:
    """Return system and value of an identifier that is written as a token (datatypes/hd)."""
    match = _TOKEN.fullmatch(token)
    system, value = match.groups() if match else ("", token)
    return _ESCAPED.sub(r"\1", system), _ESCAPED.sub(r"\1", value)


def waiting(source: str, link: Link) -> Waiting:
    """Return the link as one that waits."""
    return Waiting(source, link.element, link.type, link.identity, link.inverse)


def logical(resource: Json, link: Link) -> Json:
    """Return the resource with a logical reference to what is not there yet."""
    tokens = link.identity
    place = link.element.partition(".")
    if place[1] or any(_is_logical(one, tokens) for one in _all(resource.get(link.element))):
        return resource
    system, value = parts(tokens[0])
    identifier = {"system": system, "value": value} if system else {"value": value}
    return _with(resource, link.element, {"type": link.type, "identifier": identifier})


def pointed(resource: Json, element: str, tokens: Sequence[str], reference: str) -> Json:
    """Return the resource with a literal reference, in place of a logical one to the same."""
    name, _, inner = element.partition(".")
    before = resource.get(name)
    found = _replaced(before, tokens, {"reference": reference})
    if isinstance(found, list):
        found = [one for index, one in enumerate(found) if one not in found[:index]]
    if found != before:
        return {**resource, name: found}
    if inner or reference in references(before):
        return resource
    return _with(resource, name, {"reference": reference})


def _with(resource: Json, name: str, reference: Json) -> Json:
    if name in _SINGLE or (name, resource["resourceType"]) == ("specimen", "Observation"):
        return {**resource, name: reference}
    return {**resource, name: [*resource.get(name, ()), reference]}


def _replaced(node: Any, tokens: Collection[str], reference: Json) -> Any:  # noqa: ANN401  (JSON)
    if isinstance(node, list):
        return [_replaced(one, tokens, reference) for one in node]
    if not isinstance(node, dict):
        return node
    if _is_logical(node, tokens):
        return reference
    return {name: _replaced(one, tokens, reference) for name, one in node.items()}


def _is_logical(node: Any, tokens: Collection[str]) -> bool:  # noqa: ANN401  (JSON)
    if not isinstance(node, dict) or "reference" in node:
        return False
    said = node.get("identifier")
    return isinstance(said, dict) and "value" in said and _token(said) in tokens


def _token(identifier: Json) -> str:
    return hd.token({"system": "", **identifier})


def _all(node: Any) -> list[Any]:  # noqa: ANN401  (JSON)
    return node if isinstance(node, list) else [node]
