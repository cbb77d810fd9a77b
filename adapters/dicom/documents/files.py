"""Documents in the archive, read: the attributes of one, and the bytes that it encapsulates."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from adapters.dicom.dataset.attributes import Attributes
from adapters.dicom.dataset.elements import Broken
from adapters.dicom.documents import encapsulated, reading
from adapters.dicom.documents.reading import Buffer
from adapters.dicom.documents.rows import Stored
from fhir_server.at_rest.files import MOST_VIEWED, size, viewed
from fhir_server.blobs import Blob, Blobs
from fhir_server.interactions.binary import LARGE

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """The original bytes of an encapsulated document: in `data`, or in a blob when large.

    `sha1` is base64, as Attachments have it.
    """

    size: int
    sha1: str
    data: bytes | None
    blob: Blob | None


@dataclass(frozen=True, slots=True)
class Read:
    """The attributes of a document and what it encapsulates; `broken` says why they are few."""

    attributes: Attributes
    content: Content | None
    broken: str = ""


def read(archive: Blobs, own: Blobs, one: Stored) -> Read:
    """Return a document of the archive; `own` takes the bytes of a large one.

    What cannot be parsed has the attributes of its index row. Raises FileNotFoundError.
    """
    try:
        with _data_set(archive, one) as data:
            attributes = reading.read(data, one.transfer_syntax_uid)
            content = _content(own, attributes, data)
    except Broken as error:
        return Read(_indexed(one), None, str(error))
    return Read(attributes, content)


@contextmanager
def _data_set(archive: Blobs, one: Stored) -> Iterator[Buffer]:
    with archive.open(one.blob) as file:
        if size(file) > MOST_VIEWED:
            raise Broken("The document is too long to be read")
        with viewed(file) as view, view[one.data_set_offset :] as data:
            yield reading.plain(data, one.transfer_syntax_uid)


def _indexed(one: Stored) -> dict[str, Any]:
    return {
        **one.attributes,
        "SOPClassUID": [one.sop_class_uid],
        "SOPInstanceUID": [one.sop_instance_uid],
        "StudyInstanceUID": [one.study_instance_uid],
        "SeriesInstanceUID": [one.series_instance_uid],
    }


def _content(own: Blobs, attributes: Attributes, data: Buffer) -> Content | None:
    span = encapsulated.original(attributes)
    if span is None:
        return None
    end = span.start + span.size
    # One byte pads an odd length; where that is not said, a NUL at the end is taken for it.
    if not encapsulated.is_length_said(attributes) and span.size and data[end - 1] == 0:
        end -= 1
    size = end - span.start
    if size <= LARGE:
        raw = bytes(data[span.start : end])
        digest = hashlib.sha1(raw, usedforsecurity=False).digest()
        return Content(size, b64encode(digest).decode(), raw, None)
    sha1 = hashlib.sha1(usedforsecurity=False)
    arrival = own.arrive()
    try:
        for start in range(span.start, end, _PIECE):
            piece = bytes(data[start : min(end, start + _PIECE)])
            sha1.update(piece)
            arrival.write(piece)
        return Content(size, b64encode(sha1.digest()).decode(), None, arrival.keep())
    finally:
        arrival.drop()
