"""One frame read from a stored data set, and no other decoded.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html#chapter_8
"""

import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO, Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.tag import BaseTag
from pydicom.uid import UID

from adapters.dicom.dataset.identifier import encoding_of
from adapters.dicom.dataset.pixel_data import MOST_HEADER, pixel_data
from adapters.dicom.dataset.syntaxes import DEFLATED, ENCAPSULATED, EXPLICIT_BIG, EXPLICIT_LITTLE
from adapters.dicom.pixels.arrays import Pixels
from adapters.dicom.pixels.groups import OfFrame, number, value
from adapters.dicom.pixels.refusals import NoFrame, NoPixels, NotShown

MOST_PIXELS: Final = 1 << 28
"""Samples of a frame."""

MOST_INFLATED: Final = 1 << 30
"""Bytes of a deflated data set, which is inflated in memory."""

_PIXELS: Final = {
    0x7FE00008: "FloatPixelData",
    0x7FE00009: "DoubleFloatPixelData",
    0x7FE00010: "PixelData",
}
_NUMBERS: Final = {
    "samples_per_pixel": "SamplesPerPixel",
    "planar_configuration": "PlanarConfiguration",
    "rows": "Rows",
    "columns": "Columns",
    "bits_allocated": "BitsAllocated",
    "bits_stored": "BitsStored",
    "pixel_representation": "PixelRepresentation",
}
_BYTE: Final = 8


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame: its attributes, its values as they are stored, and how many were there.

    `photometric` is what the decoded values are, which may differ from what the data set says.
    Values that the pixel data does not have are 0.
    """

    of: OfFrame
    stored: Pixels
    photometric: str
    present: int


@dataclass(frozen=True, slots=True)
class _Place:
    """Where pixel data begins, how many bytes it has if that is said, and how it is coded."""

    keyword: str
    vr: str
    start: int
    length: int


def attributes(file: BinaryIO, offset: int, syntax: str) -> tuple[Dataset, BinaryIO]:
    """Return the attributes in front of the pixel data, and the stream that stands before it.

    `offset` is where the data set begins in the file.
    """
    file.seek(offset)
    stream: BinaryIO = BytesIO(_inflated(file)) if syntax == DEFLATED else file
    uid = _encoding(syntax)
    found = read_dataset(
        stream,
        is_implicit_VR=uid.is_implicit_VR,
        is_little_endian=uid.is_little_endian,
        stop_when=_at_pixels,
    )
    return found, stream


def frame_count(data_set: Dataset) -> int:
    """Return how many frames the instance says it has."""
    return max(1, int(number(data_set, "NumberOfFrames") or 1))


def read(file: BinaryIO, offset: int, syntax: str, index: int) -> Frame:
    """Return a frame, the first is 0.

    Raises NoPixels, NoFrame, or NotShown when it cannot be decoded.
    """
    data_set, stream = attributes(file, offset, syntax)
    return decoded(data_set, stream, syntax, index)


def decoded(data_set: Dataset, stream: BinaryIO, syntax: str, index: int) -> Frame:
    """Return a frame of what `attributes` returned."""
    place = _place(stream, syntax)
    if place is None:
        raise NoPixels("The instance has no pixels")
    if not 0 <= index < frame_count(data_set):
        raise NoFrame("The instance has no such frame")
    options = _options(data_set, place, syntax)
    if not options.get("rows") or not options.get("columns"):
        raise NoPixels("The instance has no pixels")
    if options["rows"] * options["columns"] * options["samples_per_pixel"] > MOST_PIXELS:
        raise NotShown("The frame has too many pixels")
    of = OfFrame(data_set, index)
    try:
        if UID(syntax).is_compressed and syntax != DEFLATED:
            return _compressed(stream, options, of, index)
        return _native(stream, place, options, of, index)
    except (NoFrame, NotShown, MemoryError):
        raise
    except Exception as error:
        text = f"The pixel data cannot be decoded ({type(error).__name__})"
        raise NotShown(text) from error


def _options(data_set: Dataset, place: _Place, syntax: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        name: int(found)
        for name, keyword in _NUMBERS.items()
        if (found := number(data_set, keyword)) is not None
    }
    options.setdefault("samples_per_pixel", 1)
    options.setdefault("bits_allocated", _BYTE)
    options.setdefault("bits_stored", options["bits_allocated"])
    options.setdefault("pixel_representation", 0)
    options.setdefault("planar_configuration", 0)
    photometric = value(data_set, "PhotometricInterpretation")
    options["photometric_interpretation"] = photometric or "MONOCHROME2"
    options["number_of_frames"] = frame_count(data_set)
    options.update(pixel_keyword=place.keyword, pixel_vr=place.vr, transfer_syntax_uid=UID(syntax))
    tables = [value(data_set, one) for one in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")]
    return {**options, "extended_offsets": tuple(tables)} if all(tables) else options


def _compressed(stream: BinaryIO, options: dict[str, Any], of: OfFrame, index: int) -> Frame:
    syntax = options["transfer_syntax_uid"]
    if syntax == ENCAPSULATED:
        tables = options.get("extended_offsets")
        count = options["number_of_frames"]
        one = get_frame(stream, index, extended_offsets=tables, number_of_frames=count)
        return _of_bytes(one, options, of)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise NotShown(f"There is no decoder for {UID(syntax).name}") from error
    if not decoder.is_available:
        raise NotShown(f"No decoder for {UID(syntax).name} is installed")
    try:
        stored, said = decoder.as_array(stream, index=index, **options)
    except RuntimeError as error:  # each of the installed decoders has failed
        raise NotShown(f"No installed decoder reads this {UID(syntax).name}") from error
    return Frame(of, stored, str(said["photometric_interpretation"]), stored.size)


def _native(
    stream: BinaryIO, place: _Place, options: dict[str, Any], of: OfFrame, index: int
) -> Frame:
    bits = options["rows"] * options["columns"] * options["samples_per_pixel"]
    bits *= options["bits_allocated"]
    if options["photometric_interpretation"] == "YBR_FULL_422":
        bits = bits * 2 // 3
    if _swapped(options):
        return _of_bytes(_pairs(stream, place, bits // _BYTE, index), options, of)
    first, last = bits * index, bits * (index + 1)
    stream.seek(place.start + first // _BYTE)
    wanted = -(-last // _BYTE) - first // _BYTE
    there = max(0, min(wanted, place.length - first // _BYTE))
    found = stream.read(there)
    if not found:
        raise NoFrame("The pixel data ends before this frame")
    return _of_bytes(_from_bit(found, first % _BYTE, bits), options, of)


def _of_bytes(found: bytes, options: dict[str, Any], of: OfFrame) -> Frame:
    """Decode a frame of its own, with zeros for what is not there."""
    little = options["transfer_syntax_uid"] != EXPLICIT_BIG
    own = {
        **options,
        "number_of_frames": 1,
        "transfer_syntax_uid": UID(EXPLICIT_LITTLE if little else EXPLICIT_BIG),
    }
    # 8-bit data is in order by now, whatever the words were.
    own["pixel_vr"] = "OB" if options["bits_allocated"] <= _BYTE else options["pixel_vr"]
    own.pop("extended_offsets", None)
    samples = options["rows"] * options["columns"] * options["samples_per_pixel"]
    ratio = 2 / 3 if options["photometric_interpretation"] == "YBR_FULL_422" else 1
    length = int(-(-samples * options["bits_allocated"] * ratio // _BYTE))
    padded = found[:length].ljust(length + length % 2, b"\0")
    decoder = get_decoder(own["transfer_syntax_uid"])
    stored, said = decoder.as_array(padded, index=0, **own)
    present = samples * min(len(found), length) // max(length, 1)
    return Frame(of, stored, str(said["photometric_interpretation"]), present)


def _from_bit(found: bytes, first: int, bits: int) -> bytes:
    """Return packed bits from one on, so that the frame begins with a byte."""
    if not first:
        return found
    one = np.unpackbits(np.frombuffer(found, np.uint8), bitorder="little")[first : first + bits]
    return np.packbits(one, bitorder="little").tobytes()


def _swapped(options: dict[str, Any]) -> bool:
    """Tell whether bytes lie in words whose bytes are swapped (PS3.5, 8.1.2)."""
    big = options["transfer_syntax_uid"] == EXPLICIT_BIG
    return bool(big and options["bits_allocated"] == _BYTE and options["pixel_vr"] == "OW")


def _pairs(stream: BinaryIO, place: _Place, length: int, index: int) -> bytes:
    """Return a frame's bytes out of swapped words; a frame may begin inside of one."""
    start = length * index
    even = start - start % 2
    stream.seek(place.start + even)
    found = stream.read(max(0, min(place.length - even, length + 2)))
    if not found:
        raise NoFrame("The pixel data ends before this frame")
    ordered = np.frombuffer(found[: len(found) // 2 * 2], "u2").byteswap().tobytes()
    return ordered[start - even : start - even + length]


def _place(stream: BinaryIO, syntax: str) -> _Place | None:
    """Read the head of the pixel data's element; None where there is none."""
    begin = stream.tell()
    found = pixel_data(stream.read(MOST_HEADER), encoding_of(syntax))
    if found is None:
        return None
    start, end = begin + found.header, stream.seek(0, 2)
    stream.seek(start)
    vr = "OW" if found.vr == "UN" else found.vr
    return _Place(
        _PIXELS[found.tag], vr, start, end - start if found.length is None else found.length
    )


def _at_pixels(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return tag >= min(_PIXELS) and tag not in {0x7FE00001, 0x7FE00002, 0x7FE00003}


def _encoding(syntax: str) -> UID:
    """Return the transfer syntax as far as elements go; a private one is Explicit VR."""
    uid = UID(syntax)
    return uid if uid.is_transfer_syntax and not uid.is_private else UID(EXPLICIT_LITTLE)


def _inflated(file: BinaryIO) -> bytes:
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    found = machine.decompress(file.read(), MOST_INFLATED)
    if machine.unconsumed_tail:
        raise NotShown("The deflated data set is too large to be shown")
    return found
