"""Media types, by their grammar.

https://www.rfc-editor.org/rfc/rfc6838#section-4.2
"""

from terminology.code_system import Head
from terminology.concepts import Concept
from terminology.grammars.forms import is_media_type
from terminology.grammars.grammar import GrammarCodeSystem


def read_media_type(code: str) -> Concept | None:
    """Return the concept of a media type; None for what is none."""
    return Concept(code) if is_media_type(code) else None


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
