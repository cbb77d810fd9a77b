"""All elements of a data set, with the place of their values, for showing it whole.

Long values are not read: only headers are looked at, so that a mapped file of any size
costs no memory. What is irregular is read as far as it can be.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html#chapter_7
"""

import struct
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR

from adapters.dicom.dataset.elements import (
    IMPLICIT_LITTLE,
    MAX_DEPTH,
    MAX_ELEMENTS,
    PIXEL_DATA,
    Broken,
    Encoding,
)

Buffer = bytes | bytearray | memoryview

_UNDEFINED = 0xFFFFFFFF
_ITEM = 0xFFFEE000
_ITEM_END = 0xFFFEE00D
_SEQUENCE_END = 0xFFFEE0DD
_PADDING = 0xFFFCFFFC
_REPRESENTATION = 0x00280103
_HEADER = 8
_LONG_HEADER = 12
_LONG = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
_SHORT = frozenset(
    (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT")
) | frozenset((b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"))
_CREATORS = range(0x10, 0x100)


@dataclass(frozen=True, slots=True)
class Element:
    """A data element: its value is `data[start:end]`, or the items of a sequence.

    `fragments` says that the value is an encapsulated one: items of bytes up to `end`,
    which is behind their delimiter. `little` is the byte order of numbers in it.
    """

    tag: int
    vr: str
    start: int
    end: int
    items: tuple["Elements", ...] | None = None
    fragments: bool = False
    little: bool = True


Elements = dict[int, Element]
"""The elements of a data set or item by tag; of an element that is there twice the first."""


def elements(data: Buffer, encoding: Encoding) -> Elements:
    """Return the elements of a data set.

    A last value that is cut off ends where the data end. Raises Broken when they cannot
    be parsed.
    """
    found, _ = _Walk(data).data_set(_sniffed(data, encoding), 0, len(data), 0)
    return found


@dataclass(frozen=True, slots=True)
class Before:
    """What stands before the pixel data, where those begin, and how elements are encoded."""

    found: Elements
    end: int
    encoding: Encoding


def before_pixels(data: Buffer, encoding: Encoding, *, deep: bool = True) -> Before:
    """Return the elements before the pixel data, all where there are none.

    Unless `deep`, the items of sequences are left out. Raises Broken as `elements` does.
    """
    used = _sniffed(data, encoding)
    found, end = _Walk(data, deep=deep).data_set(used, 0, len(data), 0, pixels=False)
    return Before(found, end, used)


class _Walk:
    """A pass over one data set."""

    def __init__(self, data: Buffer, *, deep: bool = True) -> None:
        self.data = data
        self.deep = deep
        self.budget = MAX_ELEMENTS
        self.signed = False

    def data_set(
        self, encoding: Encoding, offset: int, end: int | None, depth: int, *, pixels: bool = True
    ) -> tuple[Elements, int]:
        """Return what lies between `offset` and `end`, or the item's delimiter, and its end."""
        if depth > MAX_DEPTH:
            raise Broken("Sequences are nested too deep")
        found: Elements = {}
        limit = len(self.data) if end is None else end
        while offset < limit:
            if depth == 0 and limit - offset < _HEADER:
                break
            tag, vr, length, start = self._header(encoding, offset)
            if tag == _ITEM_END and end is None:
                return found, start
            if tag in PIXEL_DATA and not pixels and depth == 0:
                break
            one = self._element(encoding, (tag, vr, length, start), limit, depth)
            offset = one.end
            if tag & 0xFFFF and tag != _PADDING:
                found.setdefault(tag, one)
        if end is None:
            raise Broken("An item is cut off")
        return found, offset

    def _header(self, encoding: Encoding, offset: int) -> tuple[int, bytes, int, int]:
        """Return tag, VR (empty where implicit), length and offset of the value."""
        self._require(offset + _HEADER)
        self.budget -= 1
        if self.budget < 0:
            raise Broken("The data set has too many elements")
        group, element, length = encoding.implicit_header.unpack_from(self.data, offset)
        tag = group << 16 | element
        if not encoding.explicit or group == 0xFFFE:  # noqa: PLR2004  (items have no VR)
            return tag, b"", length, offset + _HEADER
        _, _, vr, short = encoding.explicit_header.unpack_from(self.data, offset)
        if vr in _SHORT:
            return tag, vr, short, offset + _HEADER
        if vr in _LONG or (short == 0 and vr.isalpha() and vr.isupper()):
            self._require(offset + _LONG_HEADER)
            length = encoding.length.unpack_from(self.data, offset + _HEADER)[0]
            return tag, vr, length, offset + _LONG_HEADER
        return tag, b"", length, offset + _HEADER

    def _element(
        self, encoding: Encoding, header: tuple[int, bytes, int, int], limit: int, depth: int
    ) -> Element:
        tag, stated, length, start = header
        inner = IMPLICIT_LITTLE if stated == b"UN" else encoding
        vr = self._vr(tag, stated)
        if length == _UNDEFINED:
            if tag in PIXEL_DATA or (stated in _LONG and stated not in {b"SQ", b"UN"}):
                end = self._fragments(encoding, start)
                return Element(tag, "OB", start, end, fragments=True, little=encoding.little)
            items, end = self._items(inner, start, None, depth)
            return Element(tag, "SQ", start, end, items)
        end = start + length
        if end > limit:
            if depth:
                raise Broken("An element is longer than its item")
            end = limit
        if vr == "SQ" and not self.deep:
            return Element(tag, vr, start, end, ())
        if vr == "SQ":
            return self._closed(inner, Element(tag, stated.decode() or "UN", start, end), depth)
        if tag == _REPRESENTATION and end > start:
            self.signed = self.data[start if encoding.little else end - 1] == 1
        return Element(tag, vr, start, end, little=inner.little)

    def _closed(self, encoding: Encoding, one: Element, depth: int) -> Element:
        """Return a sequence of known length; as bytes of no known kind if it is none."""
        try:
            items, _ = self._items(encoding, one.start, one.end, depth)
        except Broken:
            return Element(one.tag, "UN", one.start, one.end)
        return Element(one.tag, "SQ", one.start, one.end, items)

    def _items(
        self, encoding: Encoding, offset: int, end: int | None, depth: int
    ) -> tuple[tuple[Elements, ...], int]:
        found: list[Elements] = []
        while end is None or offset < end:
            tag, _, length, offset = self._header(encoding, offset)
            if tag == _SEQUENCE_END and end is None:
                break
            if tag != _ITEM:
                raise Broken("A sequence holds something that is not an item")
            stop = None if length == _UNDEFINED else offset + length
            if stop is not None and stop > (len(self.data) if end is None else end):
                raise Broken("An item is longer than its sequence")
            item, offset = self.data_set(encoding, offset, stop, depth + 1)
            if self.deep:
                found.append(item)
        return tuple(found), offset

    def _fragments(self, encoding: Encoding, offset: int) -> int:
        """Return where an encapsulated value ends, behind its delimiter or the data."""
        while offset + _HEADER <= len(self.data):
            tag, _, length, offset = self._header(encoding, offset)
            if tag == _SEQUENCE_END:
                return offset
            if tag != _ITEM or offset + length > len(self.data):
                raise Broken("An encapsulated value holds something that is not a fragment")
            offset += length
        return len(self.data)

    def _vr(self, tag: int, stated: bytes) -> str:
        if stated and stated != b"UN":
            return stated.decode()
        return known_vr(tag, signed=self.signed)

    def _require(self, end: int) -> None:
        if end > len(self.data):
            raise Broken("An element is cut off")


def known_vr(tag: int, *, signed: bool = False) -> str:
    """Return the VR of a tag in the dictionary; of a choice, that of the pixels' sign.

    Private creators are LO, what is not known is UN (PS3.5, 7.8.1 and 6.2.2).
    """
    group, element = tag >> 16, tag & 0xFFFF
    if group & 1:
        return "LO" if element in _CREATORS else "UN"
    try:
        vr = dictionary_VR(tag)
    except KeyError:
        return "UN"
    if vr.startswith("US or SS"):
        return "SS" if signed and vr == "US or SS" else ("OW" if "OW" in vr else "US")
    return "OW" if " or " in vr else vr


def _sniffed(data: Buffer, encoding: Encoding) -> Encoding:
    """Return the encoding that the first element shows, where it contradicts the stated one."""
    if not encoding.little or len(data) < _HEADER:
        return encoding
    vr = bytes(data[4:6])
    stated = vr in _LONG or vr in _SHORT
    if stated == encoding.explicit or (encoding.explicit and vr.isalpha() and vr.isupper()):
        return encoding
    return _EXPLICIT if stated else IMPLICIT_LITTLE


_EXPLICIT = Encoding(little=True, explicit=True)


def numbers(data: Buffer, one: Element, code: str) -> tuple[int, ...]:
    """Return the values of an element of binary numbers with this code of `struct`."""
    size = struct.calcsize(code)
    count = (one.end - one.start) // size
    return struct.unpack_from(f"{'<' if one.little else '>'}{count}{code}", data, one.start)
