"""Where the data set of a file begins, and how it is encoded.

https://dicom.nema.org/medical/dicom/current/output/html/part10.html#sect_7.1
"""

import struct
import zlib
from dataclasses import dataclass

from adapters.dicom.dataset.elements import Broken, MoreNeeded, scan
from adapters.dicom.dataset.head import is_deflated
from adapters.dicom.dataset.identifier import encoding_of
from adapters.dicom.dataset.syntaxes import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE

_PREAMBLE = 128
_PREFIX = b"DICM"
_META = 2
_SOP_CLASS = 0x0002
_SOP_INSTANCE = 0x0003
_TRANSFER_SYNTAX = 0x0010
_WANTED = frozenset((_SOP_CLASS, _SOP_INSTANCE, _TRANSFER_SYNTAX))
_IDENTITY = frozenset((0x00080016, 0x00080018))
_UNKNOWN = 1 << 62
_HEADER = 8
_LONG_HEADER = 12
_LONG = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
_MAX_META = 128 << 10


@dataclass(frozen=True, slots=True)
class Opening:
    """The offset of a data set, and what the file meta information says of it.

    The transfer syntax is guessed from how the data set begins where it is not stated; the
    UIDs are empty where they are not.
    """

    offset: int
    transfer_syntax: str
    sop_class_uid: str = ""
    sop_instance_uid: str = ""


def opened(data: bytes | bytearray | memoryview, syntax: str = "") -> Opening:
    """Return how a file or a bare data set begins; `data` holds at least its first 128 KiB.

    Preamble and file meta information may be absent. The length that file meta information
    states of itself is not believed: it ends where group 0002 does. `syntax` is what else is
    known of the transfer syntax. Raises Broken.
    """
    view = memoryview(data)
    at = _meta_offset(view)
    stated: dict[int, str] = {}
    while at + _HEADER <= min(len(view), _MAX_META) and _group(view, at) == _META:
        element, start, size = _element(view, at)
        if start + size > len(view):
            raise Broken("The file meta information is cut off")
        if element in _WANTED:
            text = bytes(view[start : start + size]).decode("ascii", "replace")
            stated[element] = text.strip(" \0")
        at = start + size
    return Opening(
        at,
        stated.get(_TRANSFER_SYNTAX) or syntax or _guessed(view[at : at + _HEADER]),
        stated.get(_SOP_CLASS, ""),
        stated.get(_SOP_INSTANCE, ""),
    )


def identity(
    data: bytes | bytearray | memoryview, transfer_syntax: str, *, whole: bool
) -> tuple[str, str]:
    """Return SOPClassUID and SOPInstanceUID of a data set, "" where one is absent.

    Raises Broken where the data set, of which `data` is the beginning or the `whole`, cannot
    be read up to them.
    """
    if is_deflated(transfer_syntax):
        try:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(bytes(data), _MAX_META)
        except zlib.error:
            raise Broken("The deflated data set is damaged") from None
        whole = False
    total = len(data) if whole else _UNKNOWN
    try:
        found = scan(data, total, _IDENTITY, encoding_of(transfer_syntax)).found.values
    except MoreNeeded:
        raise Broken("The UIDs come too late in the data set") from None
    first, second = (
        found.get(tag, b"").decode("ascii", "replace").strip(" \0") for tag in sorted(_IDENTITY)
    )
    return first, second


def _meta_offset(view: memoryview) -> int:
    if view[_PREAMBLE : _PREAMBLE + 4] == _PREFIX:
        return _PREAMBLE + 4
    return 4 if view[:4] == _PREFIX else 0


def _group(view: memoryview, at: int) -> int:
    return int(view[at]) | int(view[at + 1]) << 8


def _element(view: memoryview, at: int) -> tuple[int, int, int]:
    """Return element number, offset and size of the value; some write it in Implicit VR."""
    element, vr = struct.unpack_from("<H2s", view, at + 2)
    if not (vr.isalpha() and vr.isupper()):
        return element, at + _HEADER, struct.unpack_from("<I", view, at + 4)[0]
    if vr not in _LONG:
        return element, at + _HEADER, struct.unpack_from("<H", view, at + 6)[0]
    if at + _LONG_HEADER > len(view):
        raise Broken("The file meta information is cut off")
    return element, at + _LONG_HEADER, struct.unpack_from("<I", view, at + 8)[0]


def _guessed(first: memoryview) -> str:
    """Return the syntax of a data set that begins so; the first group is small in any order."""
    vr = bytes(first[4:6])
    explicit = vr.isalpha() and vr.isupper()
    if len(first) == _HEADER and first[0] == 0 and first[1] and explicit:
        return EXPLICIT_BIG
    return EXPLICIT_LITTLE if explicit else IMPLICIT_LITTLE
