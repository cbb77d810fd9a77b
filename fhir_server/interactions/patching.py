"""A stored resource with a patch applied.

https://hl7.org/fhir/R4/http.html#patch
"""

from base64 import b64decode
from binascii import Error as NotBase64
from typing import Any

from fhir_server.errors import BadRequest, UnsupportedMedia
from fhir_server.patch import fhirpath_patch, json_patch
from fhir_server.patch.document import require_same_identity
from fhir_server.r4 import json
from fhir_server.server import Server

JSON_PATCH = "application/json-patch+json"


def patched(server: Server, type_name: str, body: bytes, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the resource in `body` changed as `asked`; untouched numbers keep their literals.

    `asked` is what a Bundle's entry holds: Parameters of a FHIRPath Patch, or a
    Binary with a JSON Patch.
    """
    before: dict[str, Any] = json.decode_keeping(body)
    if asked.get("resourceType") == "Parameters":
        after = fhirpath_patch.apply(server.definitions, type_name, before, asked)
    else:
        after = json_patch.apply(before, _operations(asked))
    require_same_identity(before, after)
    return after


def _operations(binary: dict[str, Any]) -> object:
    if binary.get("resourceType") != "Binary":
        raise BadRequest("A PATCH entry holds Parameters, or a Binary with a JSON Patch")
    if str(binary.get("contentType")).partition(";")[0] != JSON_PATCH:
        raise UnsupportedMedia(f"The Binary's contentType must be {JSON_PATCH}")
    try:
        raw = b64decode(str(binary.get("data", "")), validate=True)
    except NotBase64 as error:
        raise BadRequest("The Binary's data is not base64", code="value") from error
    return json.decode_keeping(raw)
