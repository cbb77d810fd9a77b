"""URIs as codes.

https://hl7.org/fhir/R4/terminologies-systems.html
"""

import re

from terminology.code_system import Head
from terminology.concepts import Concept
from terminology.grammars.grammar import GrammarCodeSystem

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[!-~]+")


def read_uri(code: str) -> Concept | None:
    """Return the concept of an absolute URI; None for what is none."""
    return Concept(code) if _URI.fullmatch(code) else None


URIS = GrammarCodeSystem(
    Head(url="urn:ietf:rfc:3986", name="URIs", title="URIs (RFC 3986)", status="active"),
    read_uri,
)
