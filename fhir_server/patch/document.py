"""The document that a patch changes: its copy and its bounds.

https://hl7.org/fhir/R4/http.html#patch
"""

from collections.abc import Sequence
from typing import Any

from fhir_server.errors import BadRequest, Unprocessable

MAX_OPERATIONS = 500
# Far above what is accepted when the document is read again; encoding needs an end.
MAX_DEPTH = 256
_BYTES_OF_A_VALUE = 64


def copied(value: Any) -> Any:  # noqa: ANN401  (any JSON)
    """Return a copy of a JSON value, sharing what cannot change."""
    if type(value) is dict:
        return {name: copied(item) for name, item in value.items()}
    if type(value) is list:
        return [copied(item) for item in value]
    return value


def weight(value: object, most: int) -> int:
    """Return about how many bytes of memory a JSON value takes, or some number above `most`."""
    found, waiting = 0, [value]
    while waiting and found <= most:
        item = waiting.pop()
        found += _BYTES_OF_A_VALUE
        if type(item) is dict:
            waiting += item.values()
        elif type(item) is list:
            waiting += item
        elif type(item) is str:
            found += len(item)
    return found


def require_few(operations: Sequence[object]) -> None:
    """Raise BadRequest for more operations than a patch may have."""
    if len(operations) > MAX_OPERATIONS:
        raise BadRequest(f"A patch has at most {MAX_OPERATIONS} operations", code="too-long")


def require_shallow(document: object) -> None:
    """Raise BadRequest for nesting that operations have piled up."""
    level, depth = [document], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise BadRequest("The patched resource is nested too deeply", code="structure")
        inside: list[object] = []
        for value in level:
            if type(value) is dict:
                inside += value.values()
            elif type(value) is list:
                inside += value
        level = inside


def require_same_identity(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Raise Unprocessable when a patch has changed the resource's id or type."""
    for name in ("resourceType", "id"):
        if before.get(name) != after.get(name):
            raise Unprocessable(f"A patch must not change {name}", expression=name)
