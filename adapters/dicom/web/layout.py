"""Where the frames of an image lie in its data set.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html#sect_8.1.1
https://dicom.nema.org/medical/dicom/current/output/html/part05.html#sect_A.4
"""

import struct
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from adapters.dicom.dataset.elements import Broken, Encoding
from adapters.dicom.dataset.pixel_data import MOST_HEADER
from adapters.dicom.dataset.pixel_data import pixel_data as opening
from adapters.dicom.dataset.tree import Before, Buffer, Element, Elements, before_pixels, numbers

Read = Callable[[int, int], bytes]
Span = tuple[int, int]

_EXTENDED_OFFSETS, _EXTENDED_LENGTHS = 0x7FE00001, 0x7FE00002
_SAMPLES, _PHOTOMETRIC, _FRAMES = 0x00280002, 0x00280004, 0x00280008
_ROWS, _COLUMNS, _BITS = 0x00280010, 0x00280011, 0x00280100
_ITEM = 0xFFFEE000
_SEQUENCE_END = 0xFFFEE0DD
_HEADER = 8
_UNDEFINED = 0xFFFFFFFF
_FLOATS = {0x7FE00008: 32, 0x7FE00009: 64}
_MOST_FRAGMENTS = 10_000_000
# What a codestream begins with: JPEG and JPEG-LS, JPEG 2000, JP2 boxes, JPEG XL.
_STARTS = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP", b"\xff\x0a", b"\0\0\0\x0cJXL ")
_STARTS_BYTES = 8
_VIDEO = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109))


class NoFrames(Exception):
    """The instance has no pixels, or they cannot be told apart; the text says which."""


@dataclass(frozen=True, slots=True)
class Native:
    """Frames one behind the other: `bits` each, from `start`; `word` is the bytes of a number."""

    start: int
    end: int
    bits: int
    count: int
    word: int = 1
    little: bool = True

    def span(self, number: int) -> tuple[Span, int] | None:
        """Return the bytes of a frame from 1 on, and by how many bits it begins late.

        None where the value has no such frame.
        """
        first = (number - 1) * self.bits
        start, shift = self.start + first // 8, first % 8
        end = self.start + (first + self.bits + 7) // 8
        if not 1 <= number <= self.count or end > self.end:
            return None
        return (start, end), shift

    def frame(self, raw: bytes, shift: int) -> bytes:
        """Return a frame from its bytes: from its first bit on, without the next one's bits."""
        if not shift and self.bits % 8 == 0:
            return raw
        size = (self.bits + 7) // 8
        # Packed pixels begin at the least significant bit (PS3.5, 8.1.1).
        bits = int.from_bytes(raw, "little") >> shift
        return (bits & ((1 << self.bits) - 1)).to_bytes(size, "little")


@dataclass(frozen=True, slots=True)
class Encapsulated:
    """Frames as the fragments that each consists of."""

    frames: tuple[tuple[Span, ...], ...]


Layout = Native | Encapsulated


def layout(data: Buffer, encoding: Encoding, read: Read, transfer_syntax: str) -> Layout:
    """Return where frames lie; `read` gives bytes of the data set without mapping them.

    Raises NoFrames, and Broken when the data set cannot be parsed.
    """
    before = before_pixels(data, encoding, deep=False)
    found, pixels = before.found, pixel_data(data, before)
    if pixels is None:
        raise NoFrames("The instance has no pixel data")
    count = _count(data, found)
    if not pixels.fragments:
        return _native(data, found, pixels, count)
    if transfer_syntax.startswith(_VIDEO):
        count = 1
    return Encapsulated(_encapsulated(data, found, pixels.start, count, read))


def pixel_data(data: Buffer, before: Before) -> Element | None:
    """Return the pixel data element, without looking into what is encapsulated there."""
    at = before.end
    found = opening(bytes(data[at : at + MOST_HEADER]), before.encoding)
    if found is None:
        return None
    start, fragments = at + found.header, found.length is None
    end = len(data) if found.length is None else min(start + found.length, len(data))
    little = before.encoding.little
    return Element(found.tag, found.vr, start, end, fragments=fragments, little=little)


def _native(data: Buffer, found: Elements, pixels: Element, count: int) -> Native:
    rows, columns = _number(data, found, _ROWS), _number(data, found, _COLUMNS)
    samples = _number(data, found, _SAMPLES, 1)
    allocated = _FLOATS.get(pixels.tag) or _number(data, found, _BITS)
    if _text(data, found, _PHOTOMETRIC) == "YBR_FULL_422":
        samples = 2  # Two luminance values share one pair of chrominance (PS3.3, C.7.6.3.1.2).
    bits = rows * columns * samples * allocated
    if not bits:
        raise NoFrames("The instance does not say how large its frames are")
    # What is said to be there and is not would only cost time.
    count = min(count, (pixels.end - pixels.start) * 8 // bits)
    # Pixels of eight bits too lie in words, if the value is one of words (PS3.5, 8.1.2).
    word = 1 if pixels.vr == "OB" else max(2, allocated // 8)
    return Native(pixels.start, pixels.end, bits, count, word, pixels.little)


def _encapsulated(
    data: Buffer, found: Elements, start: int, count: int, read: Read
) -> tuple[tuple[Span, ...], ...]:
    table = _item(read, start)
    if table is None:
        raise NoFrames("The instance has no frames")
    first = table[1]
    if extended := _extended(data, found, first, count):
        return extended
    raw = read(*table)
    offsets = struct.unpack(f"<{len(raw) // 4}I", raw[: len(raw) // 4 * 4])
    fragments = _fragments(read, first)
    if not fragments:
        raise NoFrames("The instance has no frames")
    if count == 1:
        return (tuple(fragments),)
    if len(offsets) == count and (made := _by_offsets(offsets, fragments, first)):
        return made
    if len(fragments) == count:
        return tuple((one,) for one in fragments)
    return _by_codestreams(fragments, count, read)


def _extended(
    data: Buffer, found: Elements, first: int, count: int
) -> tuple[tuple[Span, ...], ...] | None:
    """Return frames by the Extended Offset Table, each one fragment (PS3.3, C.7.6.3.1.8)."""
    if _EXTENDED_OFFSETS not in found or _EXTENDED_LENGTHS not in found:
        return None
    offsets = numbers(data, found[_EXTENDED_OFFSETS], "Q")
    lengths = numbers(data, found[_EXTENDED_LENGTHS], "Q")
    starts = [first + offset + _HEADER for offset in offsets]
    spans = [(start, start + length) for start, length in zip(starts, lengths, strict=False)]
    if len(spans) != count or any(end > len(data) for _, end in spans):
        return None
    return tuple((one,) for one in spans)


def _by_offsets(
    offsets: Sequence[int], fragments: Sequence[Span], first: int
) -> tuple[tuple[Span, ...], ...] | None:
    """Return frames by the Basic Offset Table, None where that is wrong (PS3.5, A.4)."""
    places = [start - _HEADER - first for start, _ in fragments]
    begins = [bisect_left(places, offset) for offset in offsets]
    right = all(
        place < len(places) and places[place] == offset
        for place, offset in zip(begins, offsets, strict=True)
    )
    if not right or begins != sorted(set(begins)):
        return None
    return _grouped(begins, fragments)


def _by_codestreams(
    fragments: Sequence[Span], count: int, read: Read
) -> tuple[tuple[Span, ...], ...]:
    """Return frames by where codestreams begin; NoFrames where those are not as many."""
    begins = [
        place
        for place, (start, end) in enumerate(fragments)
        if read(start, min(end, start + _STARTS_BYTES)).startswith(_STARTS)
    ]
    if len(begins) != count:
        raise NoFrames("The frames cannot be told apart")
    return _grouped(begins, fragments)


def _grouped(begins: Sequence[int], fragments: Sequence[Span]) -> tuple[tuple[Span, ...], ...]:
    ends = [*begins[1:], len(fragments)]
    return tuple(tuple(fragments[a:b]) for a, b in zip(begins, ends, strict=True))


def _fragments(read: Read, offset: int) -> list[Span]:
    """Return the fragments from `offset` to the delimiter, or to where it is cut off."""
    found: list[Span] = []
    while one := _item(read, offset):
        if len(found) >= _MOST_FRAGMENTS:
            raise Broken("The pixel data have too many fragments")
        found.append(one)
        offset = one[1]
    return found


def _item(read: Read, offset: int) -> Span | None:
    raw = read(offset, offset + _HEADER)
    if len(raw) < _HEADER:
        return None
    group, element, length = struct.unpack("<HHI", raw)
    if group << 16 | element != _ITEM or length == _UNDEFINED:
        return None
    return offset + _HEADER, offset + _HEADER + length


def _count(data: Buffer, found: Elements) -> int:
    text = _text(data, found, _FRAMES)
    return int(text) if text.isascii() and text.isdecimal() and int(text) else 1


def _number(data: Buffer, found: Elements, tag: int, default: int = 0) -> int:
    values = numbers(data, found[tag], "H") if tag in found else ()
    return int(values[0]) if values else default


def _text(data: Buffer, found: Elements, tag: int) -> str:
    if tag not in found:
        return ""
    raw = bytes(data[found[tag].start : found[tag].end])
    return raw.decode("ascii", "replace").split("\\")[0].strip(" \0")
