"""One request inside a Bundle, and what came of it.

https://hl7.org/fhir/R4/bundle.html#transaction
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from fhir_server.errors import BadRequest, Issue, NotFound, SangamError
from fhir_server.interactions.draft import ID


@dataclass(frozen=True, slots=True)
class Entry:
    """A request: method, relative URL, resource and conditions.

    `url` is `Patient`, `Patient/1` or `Patient?identifier=s|v`. `resource` is the
    parsed resource, `raw` its own JSON text where it came as text; of a PATCH they
    are what is to be done.
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


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a write or read gave: an HTTP status and the version it left or found.

    `body` is the resource's text, None after a deletion; `last_updated` is None
    where nothing was there to delete.
    """

    status: int
    type: str
    id: str
    version: int
    last_updated: datetime | None
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Target:
    """Where an entry's URL leads: a type, an id or criteria, and what lies behind."""

    type: str
    id: str | None
    query: str | None
    rest: tuple[str, ...]


def target(type_ids: Mapping[str, int], entry: Entry) -> Target:
    """Return where the entry leads; BadRequest or NotFound when it leads nowhere here."""
    try:
        parts = urlsplit(entry.url)
    except ValueError as error:
        raise BadRequest("The URL cannot be read", code="value") from error
    if not parts.path.strip("/") and not parts.query:
        raise BadRequest("The URL names nothing", code="value")
    if parts.scheme or parts.netloc or parts.fragment:
        raise BadRequest("The URL must be relative to the base", code="value")
    type_name, *rest = parts.path.strip("/").split("/")
    if type_name and type_name not in type_ids:
        raise NotFound("There is no such resource type", code="not-supported")
    id_ = rest[0] if rest and ID.match(rest[0]) else None
    return Target(type_name, id_, parts.query or None, tuple(rest[1:] if id_ else rest))


def placed(error: SangamError, index: int) -> SangamError:
    """Return the error as one of entry `index` of a Bundle."""
    place = f"Bundle.entry[{index}]"
    error.issues = tuple(
        issue
        if issue.expression and issue.expression.startswith("Bundle.entry")
        else Issue(issue.severity, issue.code, issue.text, _joined(place, issue.expression))
        for issue in error.issues
    )
    return error


def _joined(place: str, expression: str | None) -> str:
    if expression is None or "." not in expression:
        return place
    return f"{place}.resource.{expression.split('.', 1)[1]}"
