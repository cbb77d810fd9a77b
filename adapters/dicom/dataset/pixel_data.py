"""The element of pixel data, by the bytes that it begins with.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html#sect_7.1
https://dicom.nema.org/medical/dicom/current/output/html/part05.html#sect_A.4
"""

from dataclasses import dataclass
from typing import Final

from adapters.dicom.dataset.elements import PIXEL_DATA, Encoding

MOST_HEADER: Final = 12
"""Bytes that the longest header has."""

_SHORT_HEADER = 8
_VRS = frozenset((b"OB", b"OW", b"OF", b"OD", b"UN"))
_UNDEFINED = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class PixelData:
    """The header of pixel data: `header` bytes long, then its value of `length` bytes.

    `length` None: it is encapsulated, as items up to a delimiter. Without a VR it is OW.
    """

    tag: int
    vr: str
    length: int | None
    header: int


def pixel_data(head: bytes, encoding: Encoding) -> PixelData | None:
    """Return what element begins with these bytes, None when it is no pixel data, or cut off.

    Some data sets are not in the VR that their file says: a VR that is there counts. Lengths
    are even, so that none looks like one.
    """
    if len(head) < _SHORT_HEADER:
        return None
    group, element, length = encoding.implicit_header.unpack_from(head)
    tag, vr, header = group << 16 | element, "OW", _SHORT_HEADER
    if tag not in PIXEL_DATA:
        return None
    stated = head[4:6]
    if stated in _VRS:
        if len(head) < MOST_HEADER:
            return None
        (length,) = encoding.length.unpack_from(head, _SHORT_HEADER)
        vr, header = stated.decode(), MOST_HEADER
    return PixelData(tag, vr, None if length == _UNDEFINED else length, header)
