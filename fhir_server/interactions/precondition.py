"""Conditions on the version: If-Match, If-None-Match, If-Modified-Since.

https://hl7.org/fhir/R4/http.html#concurrency
"""

import re
from datetime import datetime

from fhir_server.errors import BadRequest, PreconditionFailed
from fhir_server.store.transact import Current

_ETAG = re.compile(r'\s*(?:W/)?"([A-Za-z0-9\-.]{1,64})"\s*\Z')


def version_of(etag: str) -> str:
    """Return the version id of an entity tag, weak or strong; BadRequest otherwise."""
    match = _ETAG.match(etag)
    if match is None:
        raise BadRequest('The condition must be an entity tag such as W/"3"', code="value")
    return match[1]


def require(present: Current | None, *, if_match: str | None, if_none_match: str | None) -> None:
    """Raise PreconditionFailed when the stored state is not what the client expects.

    A deleted resource counts as absent.
    """
    exists = present is not None and not present.deleted
    if if_match is not None:
        wanted = version_of(if_match)
        if present is None or not exists or str(present.version) != wanted:
            raise PreconditionFailed("The stored version is not the one in If-Match")
    if if_none_match is None or present is None or not exists:
        return
    if if_none_match.strip() == "*":
        raise PreconditionFailed("The resource exists already")
    if str(present.version) in map(version_of, if_none_match.split(",")):
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
        return if_none_match.strip() == "*" or str(version) in map(
            version_of, if_none_match.split(",")
        )
    return modified_since is not None and last_updated.replace(microsecond=0) <= modified_since
