"""Media types, by their grammar.

https://www.rfc-editor.org/rfc/rfc6838#section-4.2
"""

import re

from terminology.code_system import Head
from terminology.concepts import Concept
from terminology.grammars.grammar import GrammarCodeSystem

_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&\-^_.+]{0,126}"
_VALUE = r"(?:[A-Za-z0-9!#$%&'*+\-.^_`|~]+|\"[^\"\\]*\")"
_TYPE = re.compile(rf"{_NAME}/{_NAME}(?:\s*;\s*{_NAME}={_VALUE})*")


def read_media_type(code: str) -> Concept | None:
    """Return the concept of a media type, with parameters or without; None for what is none."""
    return Concept(code) if _TYPE.fullmatch(code) else None


MEDIA_TYPES = GrammarCodeSystem(
    Head(
        url="urn:ietf:bcp:13",
        name="MediaTypes",
        title="Media types (BCP 13)",
        case_sensitive=False,
        status="active",
    ),
    read_media_type,
    common=lambda: (
        *("application/dicom", "application/fhir+json", "application/fhir+xml"),
        *("application/hl7-cda+xml", "application/json", "application/octet-stream"),
        *("application/pdf", "application/xml", "audio/mpeg", "image/jpeg", "image/png"),
        *("image/tiff", "text/csv", "text/html", "text/plain", "text/rtf", "video/mp4"),
    ),
)
