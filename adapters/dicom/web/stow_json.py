"""Instances that come as DICOM JSON with their bulk data in parts of their own.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_10.5.1.2
https://dicom.nema.org/medical/dicom/current/output/html/part18.html#chapter_F
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from pydicom.dataset import Dataset

from adapters.dicom.dataset.encoded import encoded
from adapters.dicom.dataset.identifier import UNICODE
from adapters.dicom.dataset.syntaxes import EXPLICIT_LITTLE
from adapters.dicom.network.statuses import CANNOT_UNDERSTAND, OUT_OF_RESOURCES
from adapters.dicom.web.frame_forms import DEFAULTS
from adapters.dicom.web.stow_multipart import Malformed
from adapters.dicom.web.stow_parts import Outcome, Rules, begun, finished
from fhir_server.blobs import Arrival
from fhir_server.errors import Unavailable

MAX_METADATA = 64 << 20
MAX_NESTED = 64 << 20
"""Bytes of bulk data that are no pixel data, of an instance."""

MAX_PARTS = 100_000
"""Parts of bulk data of a request, each of which is a file until it is stored."""

_PIECE = 256 << 10
_PIXELS = ("7FE00008", "7FE00009", "7FE00010")
_WIDE = {"7FE00008": b"OF", "7FE00009": b"OD"}
_HEADER = struct.Struct("<HH2sHI")
_ITEM = struct.Struct("<HHI")
_UNDEFINED = 0xFFFFFFFF
_BYTE_BITS = 8


@dataclass(slots=True)
class Bulk:
    """Bulk data of one URI: its parts as files, a frame each where they are compressed."""

    syntax: str
    files: list[Arrival] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Return the bytes of all parts."""
        return sum(one.size for one in self.files)


class Metadata:
    """The parts of a body whose first one is metadata; bulk data waits in files."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._metadata: bytearray | None = None
        self._bulk: dict[str, Bulk] = {}
        self._file: Arrival | None = None
        self._parts = 0

    def begin(self, kind: str, parameters: dict[str, str], location: str) -> None:
        """Begin the metadata, or bulk data."""
        if self._metadata is None:
            if kind != "application/dicom+json":
                raise Malformed("The first part is not the metadata")
            self._metadata = bytearray()
            return
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise Malformed("There are too many parts")
        syntax = parameters.get("transfer-syntax") or DEFAULTS.get(kind, EXPLICIT_LITTLE)
        self._file = self._rules.archive.blobs.arrive()
        self._bulk.setdefault(location, Bulk(syntax)).files.append(self._file)

    def write(self, piece: bytes) -> None:
        """Keep it. Raises Unavailable where the disk has no room for bulk data."""
        if self._file:
            archive = self._rules.archive
            if archive.reserve.free(archive.blobs.root) < 0:
                raise Unavailable("The archive is full", headers={"Retry-After": "30"})
            self._file.write(piece)
        elif self._metadata is not None:
            self._metadata += piece
            if len(self._metadata) > MAX_METADATA:
                raise Malformed("The metadata is too long")

    def end(self) -> None:
        """End the file of bulk data."""
        if self._file:
            self._file.end()
        self._file = None

    def close(self) -> list[Outcome]:
        """Store the instances, and return what became of them. Raises Malformed."""
        try:
            found = msgspec.json.decode(bytes(self._metadata or b""))
        except (msgspec.DecodeError, RecursionError):
            raise Malformed("The metadata is not JSON") from None
        items = found if isinstance(found, list) else [found]
        if not all(isinstance(item, dict) for item in items):
            raise Malformed("The metadata is no list of data sets")
        outcomes = [_stored(self._rules, item, self._bulk) for item in items]
        self.discard()
        return outcomes

    def discard(self) -> None:
        """Remove the files."""
        self.end()
        for bulk in self._bulk.values():
            for one in bulk.files:
                one.drop()


def _stored(rules: Rules, item: dict[str, Any], bulk: Mapping[str, Bulk]) -> Outcome:
    """Store one data set and return what became of it."""
    named = (_text(item, "00080016"), _text(item, "00080018"))
    try:
        pixels = _pixels(item, bulk)
        syntax = pixels[1].syntax if pixels else EXPLICIT_LITTLE
        pieces = _encoded(item, bulk, pixels)
        found = begun(rules, *named, syntax)
        if isinstance(found, int):
            return Outcome(found, *named)
        for piece in pieces:
            found.write(memoryview(piece))
        return finished(found, *named)
    except OSError:
        return Outcome(OUT_OF_RESOURCES, *named)
    except Exception:  # noqa: BLE001  (what pydicom makes of a data set that is none)
        return Outcome(CANNOT_UNDERSTAND, *named)


def _text(item: Mapping[str, Any], tag: str) -> str:
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return str(values[0]) if isinstance(values, list) and values else ""


def _pixels(item: Mapping[str, Any], bulk: Mapping[str, Bulk]) -> tuple[str, Bulk] | None:
    """Return the tag and the bulk data of pixel data that came as a part."""
    for tag in _PIXELS:
        element = item.get(tag)
        if isinstance(element, dict) and "BulkDataURI" in element:
            return tag, bulk[element["BulkDataURI"]]
    return None


def _encoded(
    item: dict[str, Any], bulk: Mapping[str, Bulk], pixels: tuple[str, Bulk] | None
) -> Iterator[bytes]:
    """Return a data set in Explicit VR Little Endian, in pieces; what is wrong is raised here."""
    before, after = _plain(item, bulk, pixels)
    if pixels is None:
        return iter((before,))
    native = pixels[1].syntax == EXPLICIT_LITTLE
    return _joined(before, _native(item, *pixels) if native else _encapsulated(*pixels), after)


def _joined(before: bytes, pixels: Iterator[bytes], after: bytes) -> Iterator[bytes]:
    yield before
    yield from pixels
    yield after


def _plain(
    item: dict[str, Any], bulk: Mapping[str, Bulk], pixels: tuple[str, Bulk] | None
) -> tuple[bytes, bytes]:
    """Return the elements before and after the pixel data that came as a part."""
    left = MAX_NESTED

    def read(_tag: str, _vr: str, uri: str) -> bytes:
        nonlocal left
        left -= bulk[uri].size
        if left < 0:
            raise ValueError("The bulk data is too long")
        return b"".join(_read(bulk[uri].files))

    kept = {
        tag: value
        for tag, value in item.items()
        if not tag.startswith("0002") and (pixels is None or tag != pixels[0])
    }
    found = Dataset.from_json(kept, bulk_data_uri_handler=read)
    found.SpecificCharacterSet = UNICODE
    # Without pixel data of its own everything lies before it.
    place = int(pixels[0], 16) if pixels else None
    before, after = found[:place], found[place:] if place else Dataset()
    return (
        encoded(before, EXPLICIT_LITTLE, text="utf8"),
        encoded(after, EXPLICIT_LITTLE, text="utf8"),
    )


def _native(item: Mapping[str, Any], tag: str, pixels: Bulk) -> Iterator[bytes]:
    size = pixels.size
    if size >= _UNDEFINED:
        raise ValueError("The pixel data is too long for its transfer syntax")
    deep = int(_text(item, "00280100") or 0) > _BYTE_BITS
    vr = _WIDE.get(tag) or (b"OW" if deep else b"OB")
    number = int(tag, 16)
    yield _HEADER.pack(number >> 16, number & 0xFFFF, vr, 0, size + size % 2)
    yield from _read(pixels.files)
    yield bytes(size % 2)


def _encapsulated(tag: str, pixels: Bulk) -> Iterator[bytes]:
    """Yield a fragment for each part, behind an empty offset table (PS3.5, A.4)."""
    number = int(tag, 16)
    yield _HEADER.pack(number >> 16, number & 0xFFFF, b"OB", 0, _UNDEFINED)
    yield _ITEM.pack(0xFFFE, 0xE000, 0)
    for one in pixels.files:
        size = one.size
        yield _ITEM.pack(0xFFFE, 0xE000, size + size % 2)
        yield from _read([one])
        yield bytes(size % 2)
    yield _ITEM.pack(0xFFFE, 0xE0DD, 0)


def _read(files: list[Arrival]) -> Iterator[bytes]:
    for one in files:
        with one.stored().open() as file:
            while piece := file.read(_PIECE):
                yield piece
