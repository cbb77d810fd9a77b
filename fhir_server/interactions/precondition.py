"""Conditions on the version: If-Match, If-None-Match, If-Modified-Since.

https://hl7.org/fhir/R4/http.html#concurrency
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from fhir_server.errors import BadRequest, PreconditionFailed
from fhir_server.store.transact import Current

_ETAG = re.compile(r'\s*(?:W/)?"([A-Za-z0-9\-.]{1,64})"\s*\Z')
ANY = ("*",)


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditional headers of a write, None where they were not sent."""

    if_match: str | None = None
    if_none_match: str | None = None


def version_of(etag: str) -> str:
    """Return the version id of one entity tag, weak or strong; BadRequest otherwise."""
    match = _ETAG.match(etag)
    if match is None:
        raise BadRequest('The condition must be one entity tag such as W/"3"', code="value")
    return match[1]


def require(
    present: Current | None,
    *,
    if_match: str | None,
    if_none_match: str | None,
    needed: bool = False,
) -> None:
    """Raise PreconditionFailed when the stored state is not what the client expects.

    A deleted resource counts as absent. BadRequest for a condition that cannot be
    read, and where If-Match is `needed` to change what is stored, and missing.
    """
    stored = None if present is None or present.deleted else str(present.version)
    wanted = None if if_match is None else _tags(if_match, several=False)
    unwanted = () if if_none_match is None else _tags(if_none_match, several=True)
    if wanted is not None and not _is_among(stored, wanted):
        raise PreconditionFailed("The stored version is not the one in If-Match")
    if unwanted == ANY and stored is not None:
        raise PreconditionFailed("The resource exists already")
    if needed and wanted is None and stored is not None:
        raise BadRequest(
            "What is stored is changed by If-Match only", code="required", expression="If-Match"
        )
    if _is_among(stored, unwanted):
        raise PreconditionFailed("The stored version is one in If-None-Match")


def has_current(
    version: int,
    last_updated: datetime,
    *,
    if_none_match: str | None,
    modified_since: datetime | None,
) -> bool:
    """Whether the client's copy is this version; If-None-Match outweighs the date.

    `modified_since` counts in whole seconds, as HTTP dates do. BadRequest when the
    entity tag cannot be read.
    """
    if if_none_match is not None:
        return _is_among(str(version), _tags(if_none_match, several=True))
    return modified_since is not None and last_updated.replace(microsecond=0) <= modified_since


def _tags(condition: str, *, several: bool) -> Sequence[str]:
    """Return the version ids of a condition, or `ANY`."""
    if condition.strip() == "*":
        return ANY
    return [version_of(one) for one in (condition.split(",") if several else (condition,))]


def _is_among(stored: str | None, tags: Sequence[str]) -> bool:
    return stored is not None and (tags == ANY or stored in tags)
