"""Which media type comes in, and which goes out.

https://hl7.org/fhir/R4/http.html#mime-type
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, TypeAlias

from fhir_server.api.request import Request, form_pairs
from fhir_server.config import Limits
from fhir_server.errors import BadRequest, NotAcceptable, UnsupportedMedia
from fhir_server.r4 import json
from fhir_server.r4.definitions import Definitions
from fhir_server.r4.xml import from_xml

FHIR_JSON = "application/fhir+json"
FHIR_XML = "application/fhir+xml"
Format: TypeAlias = Literal["json", "xml"]
JSON_NAMES = frozenset(
    (FHIR_JSON, "application/json", "json", "text/json", "application/json+fhir")
)
XML_NAMES = frozenset((FHIR_XML, "application/xml", "xml", "text/xml", "application/xml+fhir"))
_QUALITY = re.compile(r"(?:0(?:\.\d{1,3})?|1(?:\.0{1,3})?)\Z")
WILDCARDS = frozenset(("*/*", "application/*"))
VERSIONS = frozenset(("4.0", "4.0.1", "4"))
CONTENT_TYPES: Mapping[Format, bytes] = {
    "json": b"application/fhir+json; charset=utf-8",
    "xml": b"application/fhir+xml; charset=utf-8",
}
FORM = "application/x-www-form-urlencoded"
# Of an Accept longer than any that a client means, the rest is not looked at.
_LONGEST = 2000
_OF_RESOURCES = frozenset(("_pretty", "_summary", "_elements"))


def accepted(request: Request) -> Format:
    """Return the format of the answer; NotAcceptable unless `_format`, or else Accept, names one.

    Of several that Accept allows alike the first counts; `*/*` is JSON.
    """
    found = named(request)
    if found is None:
        raise NotAcceptable(
            f"This server answers in {FHIR_JSON} and {FHIR_XML}",
            expression="_format" if _said(request) is not None else None,
        )
    return found


def named(request: Request) -> Format | None:
    """Return what `accepted` does, None instead of a refusal."""
    said = _said(request)
    wanted = said if said is not None else request.header(b"accept")
    if not wanted:
        return "json"
    for one in _ranked(wanted):
        if one.format:
            return one.format
        if one.name in WILDCARDS and said is None:
            return "json"
    return None


def accepted_content(request: Request) -> Format | None:
    """Return the format of a Binary as a resource, None where its bytes are wanted.

    They are wanted unless Accept prefers FHIR, or a parameter asks for what only a
    resource has. NotAcceptable for a format, or version of FHIR, that is not ours.
    """
    if _said(request) is not None:
        return accepted(request)
    accept = request.header(b"accept")
    ranges = _ranked(accept) if accept else ()
    if any(name in _OF_RESOURCES for name, _ in request.pairs):
        return next((one.format for one in ranges if one.format), "json")
    known = [one for one in ranges if one.name]
    if known or not accept:
        return known[0].format if known else None
    raise NotAcceptable("This server speaks FHIR 4.0 and UTF-8")


def _said(request: Request) -> str | None:
    return next((value for name, value in request.pairs if name == "_format"), None)


@lru_cache(maxsize=256)
def _ranked(wanted: str) -> tuple["_Range", ...]:
    """Return the media ranges that are taken at all, the best first."""
    # A "+" in a query string is a blank once decoded: application/fhir json.
    ranges = re.sub("fhir (?=json|xml)", "fhir+", wanted[:_LONGEST]).split(",")
    found = sorted(map(_range, ranges), key=lambda one: -one.quality)
    return tuple(one for one in found if one.quality > 0)


def sent(request: Request) -> Format:
    """Return the format of the body; UnsupportedMedia unless it is said to be FHIR."""
    header = request.header(b"content-type")
    found = _range(header).format if header is not None else None
    if found is None:
        raise UnsupportedMedia(
            f"Content-Type must be {FHIR_JSON} or {FHIR_XML}",
            headers={"Accept": f"{FHIR_JSON}, {FHIR_XML}"},
        )
    return found


def as_json(definitions: Definitions, raw: bytes, limits: Limits, format_: Format) -> bytes:
    """Return a body as JSON text; BadRequest when it is XML that is not FHIR's."""
    return raw if format_ == "json" else json.encode(from_xml(definitions, raw, limits))


def media_type(request: Request) -> str:
    """Return the body's media type without its parameters, empty when it is not said."""
    return (request.header(b"content-type") or "").partition(";")[0].strip().lower()


async def with_form(request: Request, limits: Limits) -> Request:
    """Return a search by POST with the pairs of its form beside those of its URL.

    UnsupportedMedia when the body is said to be anything but a form.
    """
    if not is_form(request):
        raise UnsupportedMedia(f"Content-Type must be {FORM}", headers={"Accept": FORM})
    pairs = form_pairs(await request.body(limits.body_bytes))
    return replace(request, pairs=request.pairs + pairs)


def is_form(request: Request) -> bool:
    """Whether the body is said to be a form."""
    return media_type(request) == FORM


def is_pretty(request: Request) -> bool:
    """Whether `_pretty=true` was asked for."""
    value = next((value for name, value in request.pairs if name == "_pretty"), "false")
    if value not in {"true", "false"}:
        raise BadRequest("_pretty is true or false", code="value", expression="_pretty")
    return value == "true"


@dataclass(frozen=True, slots=True)
class _Range:
    """A media range of a header; `format` is None where it is none of ours."""

    name: str
    format: Format | None
    quality: float


def _range(media: str) -> _Range:
    name, *parameters = (part.strip().lower() for part in media.split(";"))
    found: Format | None = "json" if name in JSON_NAMES else "xml" if name in XML_NAMES else None
    quality = 1.0
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        value = value.strip('"')
        if (key == "fhirversion" and value not in VERSIONS) or (
            key == "charset" and value != "utf-8"
        ):
            return _Range("", None, 0.0)
        if key == "q":
            quality = float(value) if _QUALITY.match(value) else 0.0
    return _Range(name, found, quality)
