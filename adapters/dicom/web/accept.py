"""What a client accepts: media ranges with their parameters, chosen among what is offered.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_8.7
https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

RELATED: Final = "multipart/related"
ANY: Final = "*/*"
STORED: Final = "*"
"""Value of transfer-syntax: as it is stored."""

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_RANGE = re.compile(rf"\s*({_NAME}/{_NAME})\s*")
# Values that need quotes come without them too, `type=application/dicom` above all.
_PARAMETER = re.compile(rf";\s*({_NAME})\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;,\"]*))\s*")
# A quote that is never closed takes all that follows it: it is looked for once, however long.
_LISTED = re.compile(r"(?:[^,\"]|\"(?:[^\"\\]|\\.?)*+(?:\"|\Z))+")
_ESCAPED = re.compile(r"\\(.)")
_QUALITY = re.compile(r"(0(\.\d{0,3})?|1(\.0{0,3})?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Range:
    """One media range: of a multipart, `type` is that of its parts.

    `transfer_syntax` is "" where none was named; `quality` is from 0 to 1.
    """

    type: str
    multipart: bool = False
    transfer_syntax: str = ""
    quality: float = 1.0

    def covers(self, media: str, *, multipart: bool) -> bool:
        """Return whether this media type is in the range, as the parts of a multipart or alone."""
        if self.type == ANY and not self.multipart:
            return True
        return self.multipart == multipart and _within(media, self.type)


def accepted(header: str, query: str | None = None) -> tuple[Range, ...]:
    """Return the ranges of a request, the best first; nothing said accepts everything.

    The query parameter `accept` goes before the header (PS3.18, 8.3.3.1). What cannot be
    read of a list is left out, since the rest of it can be served.
    """
    # In a query, `+` of `dicom+json` arrives as a space.
    given = header if query is None else re.sub(r"(?<=\w) (?=\w)", "+", query)
    if not given.strip():
        return (Range(ANY),)
    found = [one for one in map(_range, _split(given)) if one]
    return tuple(sorted(found, key=lambda one: -one.quality))


def refuses(ranges: Sequence[Range], media: str, *, multipart: bool) -> bool:
    """Return whether the client said that it does not take this type at all (q=0)."""
    return any(
        one.quality == 0 and one.type == media and one.multipart == multipart for one in ranges
    )


def chosen(ranges: Sequence[Range], offered: Sequence[tuple[str, bool]]) -> tuple[str, bool] | None:
    """Return the media type, and whether as multipart, of the first range that has one.

    `offered` is in the server's order of preference. None: nothing is acceptable.
    """
    for one in ranges:
        if one.quality == 0:
            continue
        for media, multipart in offered:
            if one.covers(media, multipart=multipart) and not refuses(
                ranges, media, multipart=multipart
            ):
                return media, multipart
    return None


def _within(media: str, wanted: str) -> bool:
    if wanted == ANY:
        return True
    if wanted.endswith("/*"):
        return media.startswith(wanted[:-1])
    return media == wanted


def _split(header: str) -> list[str]:
    """Split at commas outside of quotes."""
    return _LISTED.findall(header)


def _range(text: str) -> Range | None:
    head = _RANGE.match(text)
    if head is None:
        return None
    given: dict[str, str] = {}
    place = head.end()
    while found := _PARAMETER.match(text, place):
        name, quoted, plain = found.groups()
        given[name.lower()] = plain if quoted is None else _ESCAPED.sub(r"\1", quoted)
        place = found.end()
    quality = given.get("q", "1")
    if text[place:].strip() or not _QUALITY.fullmatch(quality):
        return None
    media = head[1].lower()
    multipart = media == RELATED
    return Range(
        given.get("type", ANY).lower() if multipart else media,
        multipart,
        given.get("transfer-syntax", ""),
        float(quality),
    )
