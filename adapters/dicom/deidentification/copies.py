"""The file of a copy that may leave: a cleaned head, and the pixels as they are stored.

https://dicom.nema.org/medical/dicom/current/output/html/part10.html#chapter_7
"""

import os
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import pydicom
from pydicom.dataset import Dataset

from adapters.dicom.dataset.elements import PIXEL_DATA
from adapters.dicom.dataset.encoded import encoded
from adapters.dicom.dataset.filemeta import file_meta
from adapters.dicom.dataset.identifier import encoding_of
from adapters.dicom.dataset.pixel_data import MOST_HEADER, pixel_data
from adapters.dicom.dataset.syntaxes import (
    DEFLATED,
    EXPLICIT_LITTLE,
)
from adapters.dicom.deidentification.clean import cleaned
from adapters.dicom.deidentification.pixels import (
    Blocked,
    Rectangle,
    blacked_out,
    check,
    shows_face,
)
from adapters.dicom.deidentification.project import Project
from fhir_server.at_rest.files import Openable

_PIECE = 1 << 20
_UNDEFINED = 0xFFFFFFFF
_ITEM = 0xFFFEE000
_HEADER = 8
_MOST_BYTES = 1 << 30
_DELIMITER = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


@dataclass(frozen=True, slots=True)
class Source:
    """A stored instance; offsets as in its index row, `blob` its hash in hex."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    blob: str
    data_set_offset: int
    pixel_offset: int | None


@dataclass(frozen=True, slots=True)
class Review:
    """What was done about pixels: a person looked at them, or parts of them are blacked out."""

    reviewed: bool = False
    rectangles: tuple[Rectangle, ...] = ()


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of an instance: its new UIDs, and the pieces of its file."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    face: bool
    pieces: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class _Pixels:
    """A pixel data element: its header's parts, and its value in pieces."""

    tag: int
    vr: bytes
    length: int
    value: Iterator[bytes]


def copied(path: Openable, source: Source, project: Project, review: Review) -> Copy:
    """Return the de-identified copy of a stored file. Raises Blocked, and OSError.

    Pixels are read from the file when the pieces are taken, which raises Blocked where they are
    cut off. Deflated data sets come out
    inflated, all others in their own transfer syntax.
    """
    apart = source.pixel_offset is not None and source.transfer_syntax_uid != DEFLATED
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _copied(path, source, project, review, apart=apart)
        except (OSError, Blocked):
            raise
        except Exception as error:  # noqa: BLE001  (any, of a data set that is none)
            # What pydicom makes of a data set that it cannot read may quote it.
            raise Blocked(f"it cannot be read ({type(error).__name__})") from None


def _copied(
    path: Openable, source: Source, project: Project, review: Review, *, apart: bool
) -> Copy:
    with path.open("rb") as file:
        found: Dataset = pydicom.dcmread(file, stop_before_pixels=apart)
    check(found, reviewed=review.reviewed or bool(review.rectangles))
    face = shows_face(found)
    pixels = _of_file(path, source) if apart else _of_data_set(found)
    if pixels and review.rectangles:
        pixels = _blacked_out(found, pixels, review.rectangles)
    cleaned(found, project, pixels_cleaned=bool(pixels and review.rectangles))
    syntax = source.transfer_syntax_uid
    syntax = EXPLICIT_LITTLE if syntax == DEFLATED else syntax
    meta = file_meta(str(found.SOPClassUID), str(found.SOPInstanceUID), syntax)
    uids = (str(found.StudyInstanceUID), str(found.SeriesInstanceUID), str(found.SOPInstanceUID))
    return Copy(*uids, face, _pieces(meta + encoded(found, syntax), pixels, syntax))


def _pieces(head: bytes, pixels: _Pixels | None, syntax: str) -> Iterator[bytes]:
    yield head
    if pixels is None:
        return
    encoding = encoding_of(syntax)
    group, element = pixels.tag >> 16, pixels.tag & 0xFFFF
    if encoding.explicit:
        yield encoding.explicit_header.pack(group, element, pixels.vr, 0)
        yield encoding.length.pack(pixels.length)
    else:
        yield encoding.implicit_header.pack(group, element, pixels.length)
    yield from pixels.value


def _of_data_set(found: Dataset) -> _Pixels | None:
    """Take the pixel data out of a data set that is read as a whole."""
    for tag in sorted(PIXEL_DATA):
        if tag in found:
            element = found[tag]
            for later in [one for one in found.keys() if one >= tag]:  # noqa: SIM118  (elements)
                del found[later]
            value = bytes(element.value or b"")
            if element.is_undefined_length:
                return _Pixels(tag, b"OB", _UNDEFINED, iter((value, _DELIMITER)))
            return _Pixels(tag, element.VR.encode(), len(value), iter((value,)))
    return None


def _of_file(path: Openable, source: Source) -> _Pixels:
    """Find the pixel data in a file, by the offset that the index knows."""
    assert source.pixel_offset is not None
    start = source.data_set_offset + source.pixel_offset
    with path.open("rb") as file:
        file.seek(start)
        found = pixel_data(file.read(MOST_HEADER), encoding_of(source.transfer_syntax_uid))
        end = file.seek(0, os.SEEK_END)
    if found is None:
        raise Blocked("its pixel data is cut off")
    start += found.header
    if found.length is None:
        return _Pixels(found.tag, found.vr.encode(), _UNDEFINED, _fragments(path, start))
    # The last element may be cut off; a copy states what there is.
    length = min(found.length, end - start)
    return _Pixels(found.tag, found.vr.encode(), length, _native(path, start, length))


def _native(path: Openable, start: int, length: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        yield from _some(file, length)


def _fragments(path: Openable, start: int) -> Iterator[bytes]:
    """Yield the items of encapsulated pixel data up to the delimiter, and that (PS3.5, A.4)."""
    with path.open("rb") as file:
        file.seek(start)
        while True:
            header = file.read(_HEADER)
            if len(header) < _HEADER:
                raise Blocked("its pixel data is cut off")
            group, element, length = struct.unpack("<HHI", header)
            yield header
            if group << 16 | element != _ITEM:
                return
            yield from _some(file, length)


def _some(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length:
        piece = file.read(min(length, _PIECE))
        if not piece:
            raise Blocked("its pixel data is cut off")
        length -= len(piece)
        yield piece


def _blacked_out(found: Dataset, pixels: _Pixels, rectangles: tuple[Rectangle, ...]) -> _Pixels:
    if pixels.length == _UNDEFINED or pixels.length > _MOST_BYTES:
        raise Blocked("its pixels cannot be cleaned")
    value = bytearray(b"".join(pixels.value))
    blacked_out(found, value, rectangles)
    return _Pixels(pixels.tag, pixels.vr, pixels.length, iter((bytes(value),)))
