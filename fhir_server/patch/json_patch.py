"""JSON Patch.

https://www.rfc-editor.org/rfc/rfc6902
"""

from typing import Any

from jsonpatch import InvalidJsonPatch, JsonPatch, JsonPatchException, JsonPatchTestFailed
from jsonpointer import JsonPointer, JsonPointerException

from fhir_server.errors import BadRequest, TooLarge, Unprocessable
from fhir_server.patch.document import copied, require_few, require_shallow, weight

# A few copies of copies would fill any memory.
MAX_COPIED = 16 << 20


def apply(document: dict[str, Any], operations: object) -> dict[str, Any]:
    """Return the document after all operations; `document` itself is not changed.

    Decimals that no operation touches are the same objects. BadRequest for what is
    no list of RFC 6902's operations, over 500 of them, or a path that leads to
    nothing; Unprocessable when a `test` fails; TooLarge when `copy` is overdone.
    """
    if not isinstance(operations, list):
        raise BadRequest("A JSON Patch is an array of operations", code="structure")
    require_few(operations)
    try:
        patched: Any = copied(document)
        budget = MAX_COPIED
        for index, operation in enumerate(operations):
            budget -= _copied_weight(patched, operation, budget)
            patched = _applied(patched, operation, index)
        require_shallow(patched)
    except RecursionError:
        raise BadRequest("The patch is nested too deeply", code="structure") from None
    if not isinstance(patched, dict):
        raise BadRequest("The patch leaves no resource", code="structure")
    return patched


def _applied(document: Any, operation: object, index: int) -> Any:  # noqa: ANN401  (any JSON)
    if not isinstance(operation, dict):
        raise BadRequest(f"Operation {index} is not an object", code="structure")
    try:
        return JsonPatch([copied(operation)]).apply(document, in_place=True)
    except JsonPatchTestFailed:
        raise Unprocessable(f"Operation {index}: the test fails", code="processing") from None
    except InvalidJsonPatch:
        raise BadRequest(
            f"Operation {index} is not an operation of RFC 6902", code="structure"
        ) from None
    except (JsonPatchException, JsonPointerException):
        raise BadRequest(
            f"Operation {index}: its path or from leads to nothing", code="value"
        ) from None


def _copied_weight(document: object, operation: object, budget: int) -> int:
    """Return what a `copy` adds; a malformed one is left for later."""
    if not isinstance(operation, dict) or operation.get("op") != "copy":
        return 0
    source = operation.get("from")
    try:
        found = weight(JsonPointer(source).resolve(document), budget) if type(source) is str else 0
    except JsonPointerException:
        return 0
    if found > budget:
        raise TooLarge("The patch copies too much")
    return found
