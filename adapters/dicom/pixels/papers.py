"""Instances that are read and not looked at: reports as HTML, encapsulated PDF as it is.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_8.7.4
"""

from collections.abc import Mapping
from typing import BinaryIO, Final, Literal

from adapters.dicom.dataset.elements import Broken
from adapters.dicom.documents import encapsulated, reading, rendering, tree
from adapters.dicom.pixels.refusals import NoPixels, NotShown
from adapters.dicom.studies.overlay import Overlay, corrected

Paper = Literal["pdf", "html"]
MEDIA_TYPES: Final[Mapping[Paper, str]] = {"pdf": "application/pdf", "html": "text/html"}

_PDF: Final = "1.2.840.10008.5.1.4.1.1.104.1"
_REPORTS: Final = "1.2.840.10008.5.1.4.1.1.88."


def paper(sop_class_uid: str) -> Paper | None:
    """Return how instances of a class are read; None when they are looked at."""
    if sop_class_uid == _PDF:
        return "pdf"
    return "html" if sop_class_uid.startswith(_REPORTS) else None


def printed(
    file: BinaryIO, offset: int, syntax: str, kind: Paper, overlay: Overlay | None = None
) -> bytes:
    """Return the document whose data set begins at `offset`.

    A report is headed by what `overlay` says of its study; a document is its author's, and stays.
    Raises NoPixels where there is none, NotShown when it cannot be read.
    """
    file.seek(offset)
    try:
        data = reading.plain(file.read(), syntax)
        document = corrected(reading.read(data, syntax), overlay)
        if kind == "html":
            return rendering.html(document, tree.parse(document)).encode()
        span = encapsulated.original(document)
    except Broken as error:
        raise NotShown("The document cannot be read") from error
    if span is None:
        raise NoPixels("The instance has no document")
    found = bytes(data[span.start : span.start + span.size])
    # Without its length said, what made it even is taken off.
    return found if encapsulated.is_length_said(document) else found.removesuffix(b"\0")
