"""Stored data sets with a study's overlay, as they go out; what is stored stays as it came.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.12.1.1.9
"""

import zlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from io import BytesIO
from typing import Any, BinaryIO, Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag

from adapters.dicom.dataset.charset import encode
from adapters.dicom.dataset.encoded import encoded
from adapters.dicom.dataset.identifier import UNICODE, tag_of, vr_of
from adapters.dicom.dataset.syntaxes import DEFLATED, EXPLICIT_BIG, IMPLICIT_LITTLE
from adapters.dicom.studies.overlay import Overlay
from fhir_server.at_rest.files import Openable

_PIECE: Final = 128 << 10
_MOST_BYTES: Final = 512 << 20
_SYSTEM: Final = "SANGAM"


class TooLong(Exception):
    """A data set whose head is too long to be corrected in memory."""


def pieces(
    path: Openable,
    offset: int,
    size: int,
    transfer_syntax: str,
    pixel_offset: int | None,
    overlay: Overlay,
) -> Iterator[bytes]:
    """Return a stored data set in pieces, with the overlay in it.

    Only what lies before the pixels is read as a whole (`pixel_offset` counts in the data
    set, None where it has none); the pixels pass as they are stored. Raises TooLong, OSError.
    """
    whole = transfer_syntax == DEFLATED or pixel_offset is None
    length = size if whole else pixel_offset or 0
    if length > _MOST_BYTES:
        raise TooLong
    stream = path.open("rb")
    try:
        stream.seek(offset)
        head = with_overlay(_exactly(stream, length), transfer_syntax, overlay)
    except BaseException:
        stream.close()
        raise

    def read() -> Iterator[bytes]:
        with stream:
            for start in range(0, len(head), _PIECE):
                yield head[start : start + _PIECE]
            while piece := stream.read(_PIECE):
                yield piece

    return read()


def with_overlay(head: bytes, transfer_syntax: str, overlay: Overlay) -> bytes:
    """Return a data set, or the part of it before its pixels, with the overlay in it.

    The values that it had go to (0400,0561) Original Attributes Sequence. Raises TooLong.
    """
    deflated = transfer_syntax == DEFLATED
    plain = _inflated(head) if deflated else head
    implicit, little = transfer_syntax == IMPLICIT_LITTLE, transfer_syntax != EXPLICIT_BIG
    found = read_dataset(BytesIO(plain), is_implicit_VR=implicit, is_little_endian=little)
    apply(found, overlay)
    written = encoded(found, transfer_syntax)
    if not deflated:
        return written
    squeezed = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    body = squeezed.compress(written) + squeezed.flush()
    return body + b"\0" * (len(body) % 2)


def _inflated(head: bytes) -> bytes:
    machine = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = machine.decompress(head, _MOST_BYTES)
    if machine.unconsumed_tail:
        raise TooLong
    return plain


def apply(found: Dataset, overlay: Overlay) -> None:
    """Put the overlay's values into a data set, and those that it had into (0400,0561)."""
    _widen(found, overlay)
    original = Dataset()
    for name, values in overlay.values.items():
        tag = Tag(tag_of(name))
        original[tag] = found[tag] if tag in found else DataElement(tag, vr_of(tag), None)
        found[tag] = DataElement(tag, vr_of(tag), _value(values))
    item = Dataset()
    item.ModifiedAttributesSequence = Sequence([original])
    for name, value in said(overlay).items():
        setattr(item, name, value)
    before = found.get("OriginalAttributesSequence") or ()
    found.OriginalAttributesSequence = Sequence([*before, item])


def said(overlay: Overlay) -> dict[str, str]:
    """Return what (0400,0561) says of a modification: when, by whom, of what source and why."""
    return {
        "AttributeModificationDateTime": _moment(overlay.at),
        "ModifyingSystem": _SYSTEM,
        "SourceOfPreviousValues": "",
        "ReasonForTheAttributeModification": overlay.reason,
    }


def _widen(found: Dataset, overlay: Overlay) -> None:
    """Let the data set be in Unicode where its character sets cannot carry the new values."""
    terms = found.get("SpecificCharacterSet") or ()
    terms = [terms] if isinstance(terms, str) else list(terms)
    new = [str(one) for values in overlay.values.values() for one in values]
    if not all(one.isascii() or (terms and encode(one, terms) is not None) for one in new):
        found.decode()
        found.SpecificCharacterSet = UNICODE


def _value(values: Any) -> Any:  # noqa: ANN401  (what pydicom takes)
    items = [_item(one) if isinstance(one, Mapping) else one for one in values]
    if items and isinstance(items[0], Dataset):
        return Sequence(items)
    return items[0] if len(items) == 1 else items or None


def _item(said: Mapping[str, Any]) -> Dataset:
    made = Dataset()
    for name, values in said.items():
        tag = tag_of(name)
        made[tag] = DataElement(tag, vr_of(tag), _value(values))
    return made


def _moment(instant: str) -> str:
    return datetime.fromisoformat(instant).strftime("%Y%m%d%H%M%S.%f%z")


def _exactly(stream: BinaryIO, length: int) -> bytes:
    kept = bytearray()
    while len(kept) < length and (piece := stream.read(length - len(kept))):
        kept += piece
    return bytes(kept)
