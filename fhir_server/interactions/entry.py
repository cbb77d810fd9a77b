"""One request inside a Bundle, and what came of it.

https://hl7.org/fhir/R4/bundle.html#transaction
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from fhir_server.blobs import Blob
from fhir_server.errors import BadRequest, NotFound, SangamError
from fhir_server.interactions.draft import ID

_SYSTEM = frozenset(("metadata", "_history", "_search"))


@dataclass(frozen=True, slots=True)
class Entry:
    """A request: method, relative URL, resource and conditions.

    `url` is `Patient`, `Patient/1` or `Patient?identifier=s|v`. `resource` is the
    parsed resource, `raw` its own JSON text where it came as text; of a PATCH they
    are what is to be done. `blob` are a Binary's data that are kept apart.
    """

    method: str
    url: str
    resource: dict[str, Any] | None = None
    raw: bytes | None = None
    full_url: str | None = None
    if_none_exist: str | None = None
    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: str | None = None
    blob: Blob | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write or read gave: an HTTP status and the version it left or found.

    `body` is the resource's text, None after a deletion; `last_updated` is None
    where nothing was there to delete. `written` are the versions that were stored, as
    versioned references.
    """

    status: int
    type: str
    id: str
    version: int
    last_updated: datetime | None
    body: bytes | None
    written: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """Where an entry's URL leads: a type, an id or criteria, and what lies behind.

    Without a type the whole system; `rest` are the segments that are neither.
    """

    type: str
    id: str | None
    query: str | None
    rest: tuple[str, ...]


def target(type_ids: Mapping[str, int], bases: Sequence[str], entry: Entry) -> Target:
    """Return where the entry leads; BadRequest or NotFound when it leads nowhere here.

    The URL is relative to the base; a leading slash, and the base itself, are tolerated.
    """
    segments, query = _relative(bases, entry.url)
    if not segments:
        if not query:
            raise BadRequest("The URL names nothing", code="value")
        return Target("", None, query, ())
    first, *rest = segments
    if first in _SYSTEM or first.startswith("$"):
        return Target("", None, query, tuple(segments))
    if first not in type_ids:
        raise NotFound("There is no such resource type", code="not-supported")
    if not rest or rest[0][:1] in {"_", "$"}:
        return Target(first, None, query, tuple(rest))
    if not ID.match(rest[0]):
        raise BadRequest("This is no FHIR id", code="value")
    return Target(first, rest[0], query, tuple(rest[1:]))


def _relative(bases: Sequence[str], url: str) -> tuple[list[str], str | None]:
    """Return the segments below the base, and the query."""
    base = next((one for one in bases if url.startswith((f"{one}/", f"{one}?"))), "")
    try:
        parts = urlsplit(url[len(base) :])
        segments = [unquote(one, errors="strict") for one in parts.path.split("/") if one]
    except ValueError as error:
        raise BadRequest("The URL cannot be read", code="value") from error
    if parts.scheme or parts.netloc or parts.fragment:
        raise BadRequest("The URL must be relative to the base", code="value")
    return segments, parts.query or None


def placed(error: SangamError, index: int) -> SangamError:
    """Return the error as one of entry `index` of a Bundle."""
    place = f"Bundle.entry[{index}]"
    error.issues = tuple(
        issue
        if issue.expression and issue.expression.startswith("Bundle.entry")
        else replace(issue, expression=_joined(place, issue.expression))
        for issue in error.issues
    )
    return error


def _joined(place: str, expression: str | None) -> str:
    if expression is None or "." not in expression:
        return place
    return f"{place}.resource.{expression.split('.', 1)[1]}"
