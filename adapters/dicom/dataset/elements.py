"""Data elements found in the bytes of a data set, without decoding what is not asked for.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html#chapter_7
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass

PIXEL_DATA = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))
MAX_DEPTH = 64
MAX_ELEMENTS = 1_000_000
MAX_VALUE = 64 << 10
# Behind the last wanted tag, only this much is searched for the pixel data.
ENOUGH = 256 << 10

_UNDEFINED = 0xFFFFFFFF
_ITEM = 0xFFFEE000
_ITEM_END = 0xFFFEE00D
_SEQUENCE_END = 0xFFFEE0DD
_DELIMITERS = frozenset((_ITEM, _ITEM_END, _SEQUENCE_END))
_HEADER = 8
_LONG_HEADER = 12
_LONG = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
_SHORT = frozenset(
    (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT")
) | frozenset((b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"))
_UPPER = frozenset(range(ord("A"), ord("Z") + 1))


class Broken(Exception):
    """The data set cannot be parsed; the text names the rule, never a value."""


class MoreNeeded(Exception):
    """The buffer ends inside something that the whole data set may hold."""


class Encoding:
    """How elements are encoded: byte order, and whether they state their VR."""

    def __init__(self, *, little: bool, explicit: bool) -> None:
        order = "<" if little else ">"
        self.explicit = explicit
        self.little = little
        self.implicit_header = struct.Struct(order + "HHI")
        self.explicit_header = struct.Struct(order + "HH2sH")
        self.length = struct.Struct(order + "I")


EXPLICIT_LITTLE = Encoding(little=True, explicit=True)
IMPLICIT_LITTLE = Encoding(little=True, explicit=False)
EXPLICIT_BIG = Encoding(little=False, explicit=True)


@dataclass(frozen=True, slots=True)
class Found:
    """Values and items by tag, as far as they were wanted."""

    values: Mapping[int, bytes]
    items: Mapping[int, tuple["Found", ...]]


@dataclass(frozen=True, slots=True)
class Scan:
    """What a pass over a data set found.

    `pixel_offset` is where the pixel data element begins, None when it was not
    reached; `flags` names what was irregular and could be read all the same.
    """

    found: Found
    pixel_offset: int | None
    flags: frozenset[str]
    encoding: Encoding


def scan(
    data: bytes | bytearray | memoryview,
    total: int,
    wanted: frozenset[int],
    encoding: Encoding,
    *,
    enough: bool = False,
) -> Scan:
    """Scan `data`, the first bytes of a data set of `total` bytes, up to its pixel data.

    Raises Broken when it cannot be parsed that far, and MoreNeeded when `data`
    ends before the last wanted tag, unless it is `enough`: what lies behind it is left out.
    """
    return _Scanner(data, total, wanted, encoding).scan(enough=enough)


class _Scanner:
    """A pass over one buffer; offsets count from the start of the data set."""

    def __init__(
        self,
        data: bytes | bytearray | memoryview,
        total: int,
        wanted: frozenset[int],
        encoding: Encoding,
    ) -> None:
        self.data = data
        self.total = total
        self.wanted = wanted
        self.flags: set[str] = set()
        self.encoding = self._sniffed(encoding)
        self.budget = MAX_ELEMENTS

    def scan(self, *, enough: bool) -> Scan:
        values: dict[int, bytes] = {}
        items: dict[int, tuple[Found, ...]] = {}
        pixel_offset = None
        last = max(self.wanted)
        offset, seen = 0, -1
        try:
            while offset < self.total and not self._padding(offset):
                tag, vr, length, start = self._header(self.encoding, offset)
                if tag in PIXEL_DATA:
                    pixel_offset = offset
                    break
                if tag > last and offset > ENOUGH:
                    break
                if tag <= seen:
                    self.flags.add("order")
                seen = max(seen, tag)
                offset = self._element(self.encoding, (tag, vr, length, start), 0, values, items)
        except MoreNeeded:
            if seen <= last and not enough:
                raise
        return Scan(Found(values, items), pixel_offset, frozenset(self.flags), self.encoding)

    def _sniffed(self, encoding: Encoding) -> Encoding:
        """Return the encoding that the first element shows, where it contradicts.

        Senders mislabel: a VR is there although none is due, or is missing.
        """
        if not encoding.little or len(self.data) < _HEADER:
            return encoding
        vr = bytes(self.data[4:6])
        stated = vr in _LONG or vr in _SHORT
        if stated == encoding.explicit or (encoding.explicit and _letters(vr)):
            return encoding
        self.flags.add("encoding")
        return EXPLICIT_LITTLE if stated else IMPLICIT_LITTLE

    def _padding(self, offset: int) -> bool:
        """Return whether only NULs follow, fewer than an element needs."""
        if self.total - offset >= _HEADER:
            return False
        rest = bytes(self.data[offset : self.total])
        if rest.strip(b"\0") or len(self.data) < self.total:
            return False
        self.flags.add("trailing")
        return True

    def _header(self, encoding: Encoding, offset: int) -> tuple[int, bytes, int, int]:
        """Return tag, VR (empty where implicit), length and offset of the value."""
        if offset + _LONG_HEADER > len(self.data):
            self._require(offset + _HEADER)
        self.budget -= 1
        if self.budget < 0:
            raise Broken("The data set has too many elements")
        if not encoding.explicit:
            group, element, length = encoding.implicit_header.unpack_from(self.data, offset)
            return group << 16 | element, b"", length, offset + _HEADER
        group, element, vr, length = encoding.explicit_header.unpack_from(self.data, offset)
        tag = group << 16 | element
        if vr in _SHORT:
            return tag, vr, length, offset + _HEADER
        if vr in _LONG or (length == 0 and _letters(vr) and tag not in _DELIMITERS):
            self._require(offset + _LONG_HEADER)
            length = encoding.length.unpack_from(self.data, offset + _HEADER)[0]
            return tag, vr, length, offset + _LONG_HEADER
        if tag not in _DELIMITERS:
            self.flags.add("encoding")
        length = encoding.length.unpack_from(self.data, offset + 4)[0]
        return tag, b"", length, offset + _HEADER

    def _element(
        self,
        encoding: Encoding,
        header: tuple[int, bytes, int, int],
        depth: int,
        values: dict[int, bytes],
        items: dict[int, tuple[Found, ...]],
    ) -> int:
        """Keep the element if it is wanted, and return the offset after it."""
        tag, vr, length, start = header
        new = tag in self.wanted and tag not in values and tag not in items
        if length == _UNDEFINED:
            inner = IMPLICIT_LITTLE if vr == b"UN" else encoding
            keep = new and vr in {b"SQ", b"UN", b""}
            kept, end = self._items(inner, start, None, depth + 1, keep=keep)
            if keep:
                items[tag] = kept
            return end
        end = start + length
        if end > self.total:
            raise Broken("An element is longer than the data set")
        if new:
            self._require(end)
            if vr == b"SQ" or (vr in {b"", b"UN"} and self._is_items(encoding, start, length)):
                inner = IMPLICIT_LITTLE if vr == b"UN" else encoding
                items[tag] = self._closed_items(inner, start, end, depth + 1)
            elif length <= MAX_VALUE:
                values[tag] = bytes(self.data[start:end])
            else:
                self.flags.add("long")
        return end

    def _is_items(self, encoding: Encoding, start: int, length: int) -> bool:
        """Return whether a value without VR begins as an item does."""
        if length < _HEADER:
            return False
        group, element, _ = encoding.implicit_header.unpack_from(self.data, start)
        return bool(group << 16 | element == _ITEM)

    def _closed_items(
        self, encoding: Encoding, start: int, end: int, depth: int
    ) -> tuple[Found, ...]:
        """Return the items of a sequence of known length; none if they are not in order."""
        try:
            return self._items(encoding, start, end, depth, keep=True)[0]
        except Broken:
            self.flags.add("sequence")
            return ()

    def _items(
        self, encoding: Encoding, offset: int, end: int | None, depth: int, *, keep: bool
    ) -> tuple[tuple[Found, ...], int]:
        """Return the items from `offset` to `end`, or to the delimiter, and where they end.

        Items of known length are not looked into unless they are to be kept: they may
        as well be fragments of bytes.
        """
        if depth > MAX_DEPTH:
            raise Broken("Sequences are nested too deep")
        kept: list[Found] = []
        while end is None or offset < end:
            self._require(offset + _HEADER)
            self.budget -= 1
            group, element, length = encoding.implicit_header.unpack_from(self.data, offset)
            tag = group << 16 | element
            offset += _HEADER
            if tag == _SEQUENCE_END and end is None:
                return tuple(kept), offset
            if tag != _ITEM:
                raise Broken("A sequence holds something that is not an item")
            stop = None if length == _UNDEFINED else offset + length
            if stop is not None and stop > (self.total if end is None else end):
                raise Broken("An item is longer than its sequence")
            if stop is not None and not keep:
                offset = stop
                continue
            found, offset = self._item(encoding, offset, stop, depth)
            kept.append(found)
        return tuple(kept), offset

    def _item(
        self, encoding: Encoding, offset: int, stop: int | None, depth: int
    ) -> tuple[Found, int]:
        """Return what is wanted of an item, and where it ends."""
        values: dict[int, bytes] = {}
        items: dict[int, tuple[Found, ...]] = {}
        while stop is None or offset < stop:
            header = self._header(encoding, offset)
            if header[0] == _ITEM_END and stop is None:
                return Found(values, items), header[3]
            if header[0] in _DELIMITERS:
                raise Broken("A delimiter stands where an element is due")
            offset = self._element(encoding, header, depth, values, items)
        return Found(values, items), offset

    def _require(self, end: int) -> None:
        if end > len(self.data):
            if end <= self.total:
                raise MoreNeeded
            raise Broken("An element is cut off")


def _letters(vr: bytes) -> bool:
    return vr[0] in _UPPER and vr[1] in _UPPER
