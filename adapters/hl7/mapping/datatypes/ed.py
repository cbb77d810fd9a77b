"""ED and RP as Attachment.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-datatype-ed-to-attachment.html
"""

import base64
import binascii
import hashlib
import re

from adapters.hl7.mapping.context import Json
from adapters.hl7.message.accounting import INVALID_VALUE
from adapters.hl7.message.tokenizer import Repetition

_BY_SUBTYPE = {
    "PDF": "application/pdf",
    "JPEG": "image/jpeg",
    "JPG": "image/jpeg",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "PNG": "image/png",
    "BASIC": "audio/basic",
    "HTML": "text/html",
    "XML": "application/xml",
    "X-HL7-CDA-LEVEL-ONE": "application/xml",
    "RTF": "text/rtf",
    "DICOM": "application/dicom",
    "MSWORD": "application/msword",
}
_BY_TYPE = {"TX": "text/plain", "TEXT": "text/plain", "FT": "text/plain"}
_MAGIC = (
    (b"%PDF-", "application/pdf"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"GIF8", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"{\\rtf", "text/rtf"),
    (b"<?xml", "application/xml"),
)
_DICOM_AT = 128
_START, _QUANTUM = 64, 12  # characters of base64 that are looked at, and nine bytes of them
_LAYOUT = re.compile(r"\\\.br\\|\s+")


def media_type(kind: str, subtype: str, content: bytes = b"") -> str:
    """Return the media type; what the first bytes say beats the label."""
    for magic, found in _MAGIC:
        if content.startswith(magic):
            return found
    if content[_DICOM_AT : _DICOM_AT + 4] == b"DICM":
        return "application/dicom"
    by_subtype = _BY_SUBTYPE.get(subtype.upper())
    return by_subtype or _BY_TYPE.get(kind.upper(), "application/octet-stream")


def ed(rep: Repetition, path: str) -> Json | None:
    """Return the Attachment of an ED with its data, None where these cannot be read."""
    content = _content(rep)
    if content is None:
        rep.refuse(5, INVALID_VALUE)
        return None
    for component in (2, 3, 4, 5):
        rep.mark(component, path)
    return attachment(content, media_type(rep.peek(2), rep.peek(3), content))


def _content(rep: Repetition) -> bytes | None:
    encoding = rep.peek(4).upper()
    data = rep.raw(5)
    if not data:
        return None
    try:
        if encoding == "BASE64":
            return base64.b64decode(_LAYOUT.sub("", data), validate=True)
        if encoding == "HEX":
            return bytes.fromhex(_LAYOUT.sub("", data))
    except (binascii.Error, ValueError):
        return None
    text = rep.peek(5)
    return _undeclared(text) if not encoding else text.encode()


def is_beginning(text: str) -> bool:
    """Whether base64 begins a file of a known kind."""
    start = _LAYOUT.sub("", text[:_START])[:_QUANTUM]
    try:
        decoded = base64.b64decode(start, validate=True)
    except (binascii.Error, ValueError):
        return False
    return any(decoded.startswith(magic) for magic, _ in _MAGIC)


def _undeclared(text: str) -> bytes:
    """Return the bytes of data without an encoding: base64 where that is a file of a known kind."""
    try:
        decoded = base64.b64decode(_LAYOUT.sub("", text), validate=True)
    except (binascii.Error, ValueError):
        decoded = b""
    return decoded if any(decoded.startswith(magic) for magic, _ in _MAGIC) else text.encode()


def rp(rep: Repetition, path: str) -> Json | None:
    """Return the Attachment of a RP: a link that is never followed; None without one."""
    url = rep.take(1, f"{path}.url")
    if not url:
        return None
    attachment: Json = {"url": url.replace(" ", "%20")}
    if rep.peek(3) or rep.peek(4):
        attachment["contentType"] = media_type(rep.peek(3), rep.peek(4))
        rep.mark(3, f"{path}.contentType")
        rep.mark(4, f"{path}.contentType")
    return attachment


def attachment(content: bytes, kind: str) -> Json:
    """Return the Attachment of some bytes with their size and hash."""
    return {
        "contentType": kind,
        "data": base64.b64encode(content).decode("ascii"),
        "size": len(content),
        "hash": base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode(),
    }
