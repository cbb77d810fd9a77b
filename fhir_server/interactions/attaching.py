"""Attachments that come with what they are attached to: whose they are, where they do not say.

A Binary is seen by who sees its securityContext, and without one by nobody who sees patients for
a reason. One that is sent together with the document that points to it belongs to that.

https://hl7.org/fhir/R4/binary.html#security
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from fhir_server.access.binary import CONTEXTS
from fhir_server.access.binary import TYPE as BINARY
from fhir_server.caller import Caller
from fhir_server.interactions.entry import Entry
from fhir_server.r4 import json

_WRITES = frozenset(("POST", "PUT"))


def placed(caller: Caller, entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return the entries, Binaries without a context with that of the one entry that has their URL.

    Only for callers of limited rights; what two entries point to stays as it is.
    """
    if not caller.rights.walls or not any(map(_is_loose, entries)):
        return entries
    return [_placed(one, entries) if _is_loose(one) else one for one in entries]


def _is_loose(entry: Entry) -> bool:
    found = entry.resource or {}
    return (
        entry.method in _WRITES
        and entry.full_url is not None
        and found.get("resourceType") == BINARY
        and "securityContext" not in found
    )


def _placed(entry: Entry, entries: Sequence[Entry]) -> Entry:
    around = [
        one
        for one in entries
        if one.method in _WRITES
        and one.full_url
        and (one.resource or {}).get("resourceType") in CONTEXTS
        and entry.full_url in set(_urls(one.resource))
    ]
    if len(around) != 1 or entry.resource is None:
        return entry
    context = {"reference": around[0].full_url}
    raw = json.members(entry.raw) if entry.raw is not None else None
    return replace(
        entry,
        resource={**entry.resource, "securityContext": context},
        raw=None if raw is None else json.encode({**raw, "securityContext": context}),
    )


def _urls(value: Any) -> Iterator[str]:  # noqa: ANN401  (any JSON)
    """Yield the URLs of attachments, wherever they stand."""
    if isinstance(value, list):
        for one in value:
            yield from _urls(one)
    elif isinstance(value, dict):
        if isinstance(value.get("url"), str):
            yield value["url"]
        for one in value.values():
            yield from _urls(one)
