"""In which form frames go out: as they are coded, or uncompressed.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_8.7.3
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.dicom.dataset.syntaxes import EXPLICIT_LITTLE, IMPLICIT_LITTLE, RLE
from adapters.dicom.web.accept import STORED, Range

OCTETS: Final = "application/octet-stream"

_CODED = "1.2.840.10008.1.2.4."
_MEDIA: Final[Mapping[str, str]] = {
    **dict.fromkeys((f"{_CODED}{one}" for one in (50, 51, 57, 70)), "image/jpeg"),
    **dict.fromkeys((f"{_CODED}{one}" for one in (80, 81)), "image/jls"),
    **dict.fromkeys((f"{_CODED}{one}" for one in (90, 91)), "image/jp2"),
    **dict.fromkeys((f"{_CODED}{one}" for one in (92, 93)), "image/jpx"),
    **dict.fromkeys((f"{_CODED}{one}" for one in (201, 202, 203)), "image/jphc"),
    **dict.fromkeys((f"{_CODED}{one}" for one in (110, 111, 112)), "image/jxl"),
    **dict.fromkeys((f"{_CODED}{one}" for one in (100, 101)), "video/mpeg"),
    **dict.fromkeys((f"{_CODED}{one}" for one in range(102, 109)), "video/mp4"),
    RLE: "image/dicom-rle",
}
DEFAULTS: Final = {
    OCTETS: EXPLICIT_LITTLE,
    "image/jpeg": f"{_CODED}70",
    "image/jls": f"{_CODED}80",
    "image/jp2": f"{_CODED}90",
    "image/jpx": f"{_CODED}92",
    "image/jphc": f"{_CODED}201",
    "image/jxl": f"{_CODED}110",
    "image/dicom-rle": RLE,
    "video/mpeg": f"{_CODED}100",
    "video/mp4": f"{_CODED}102",
}
"""What a media type means that names no transfer syntax (PS3.18, Table 8.7.3-5)."""

# Without a compression frames are the same bytes in both.
_PLAIN = frozenset((EXPLICIT_LITTLE, IMPLICIT_LITTLE))


@dataclass(frozen=True, slots=True)
class Form:
    """The media type and transfer syntax of frames, and whether each is a part of a multipart."""

    media: str
    syntax: str
    multipart: bool

    @property
    def content_type(self) -> str:
        """Return the Content-Type of a frame."""
        return f"{self.media}; transfer-syntax={self.syntax}"


def form(
    ranges: Sequence[Range], stored: str, *, coded: bool, decodes: bool, alone: bool
) -> Form | None:
    """Return in which form frames go out that are stored in this transfer syntax.

    `coded`: they are encapsulated; `decodes`: they can be had uncompressed; `alone`: one
    frame is asked for, which needs no multipart. None: nothing is acceptable.
    """
    own = _MEDIA.get(stored, OCTETS) if coded else OCTETS
    kinds = [(own, stored if coded else EXPLICIT_LITTLE)]
    if coded and own != OCTETS:
        kinds.append((OCTETS, stored))
    if coded and decodes:
        kinds.append((OCTETS, EXPLICIT_LITTLE))
    refused = {(one.type, one.multipart) for one in ranges if not one.quality}
    for one in ranges:
        for found in _fitting(one, kinds, alone=alone):
            if one.quality and (found.media, found.multipart) not in refused:
                return found
    return None


def _fitting(one: Range, kinds: Sequence[tuple[str, str]], *, alone: bool) -> Iterator[Form]:
    for multipart in (True, False) if alone else (True,):
        for media, syntax in kinds:
            if one.covers(media, multipart=multipart) and _is_meant(one, media, syntax):
                yield Form(media, syntax, multipart)


def _is_meant(one: Range, media: str, syntax: str) -> bool:
    wanted = one.transfer_syntax
    if wanted in {STORED, syntax}:
        return True
    if wanted:
        return syntax in _PLAIN and wanted in _PLAIN
    # A range of types asks for whatever there is.
    return "*" in one.type or DEFAULTS[media] == syntax
