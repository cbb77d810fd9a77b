"""The mark in a Binary's text that stands for data kept as a blob.

It is the last member of the text, and an object, where a client's `data` can only
be a string: no client can write one.

https://hl7.org/fhir/R4/binary.html
"""

import re

from fhir_server.blobs import Blob

# What store/text.py writes at the head of each text.
_BINARY = b'{"resourceType":"Binary",'
_MARK = re.compile(rb',"data":\{"sha256":"([0-9a-f]{64})","size":(\d{1,18})\}\}\Z')
_LONGEST = 128


def mark(blob: Blob) -> bytes:
    """Return the member that stands for the data."""
    return b',"data":{"sha256":"%b","size":%d}' % (blob.digest.encode(), blob.size)


def marked(text: bytes) -> tuple[bytes, Blob] | None:
    """Return the text up to its mark, and the blob; None when the text is whole."""
    if not text.startswith(_BINARY):
        return None
    found = _MARK.search(text, max(0, len(text) - _LONGEST))
    if found is None:
        return None
    return text[: found.start()], Blob(found[1].decode(), int(found[2]))
