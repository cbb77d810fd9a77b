"""What is recorded of a request, so that its AuditEvent can be made.

What was written is recorded with it (interactions/draft.py); here is the rest: what was
shown, and what was refused.

https://profiles.ihe.net/ITI/BALP/content.html
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlencode

from fhir_server.api.answer import Answer
from fhir_server.api.place import Place
from fhir_server.api.request import Request, Scope
from fhir_server.audit.record import MINOR, Record, refuses, who
from fhir_server.audit_settings import AuditSettings
from fhir_server.caller import Caller, Trail

_ABSENT: Final = frozenset((404, 410))
_ACCEPTED: Final = 202
_ERROR: Final = 400
_WRITES: Final = frozenset(("create", "update", "patch", "delete"))
_INSTANCE: Final = frozenset(("read", "vread", "history-instance"))
_BUNDLES: Final = frozenset(("batch", "transaction"))
_SILENT: Final = frozenset(("metadata", "asynchronous"))
_ETAG: Final = re.compile(r'W/"(\d+)"')
_INSTANCE_URL: Final = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:\?|/_history|\Z)")
_LOCATION: Final = re.compile(r"([A-Za-z]+)/([A-Za-z0-9\-.]{1,64})/_history/(\d+)\Z")


def address(scope: Scope) -> str | None:
    """Return the network address of the client, None where there is none."""
    client = scope.get("client")
    return str(client[0]) if client else None


def anonymous(scope: Scope, request: Request | None) -> Caller:
    """Return who asked without our knowing who that is."""
    trail = Trail(request.id if request else None)
    return Caller("unknown", "rest", address=address(scope), trail=trail)


def record(
    settings: AuditSettings,
    caller: Caller,
    request: Request,
    where: Place,
    codes: Sequence[str],
    answer: Answer,
) -> list[Record]:
    """Return what is recorded of the answer; nothing of what says nothing of a person.

    `codes` are those of the interaction, or the shape of the URL.
    """
    whole = _whole(settings, caller, request, where, codes, answer)
    refused = caller.trail.refused if caller.trail and answer.status < _ERROR else ()
    return [*([whole] if whole else []), *(_refused_entry(caller, url) for url in refused)]


def _refused_entry(caller: Caller, url: str) -> Record:
    """Return the record of an entry of a batch that was refused."""
    found = _INSTANCE_URL.match(url)
    place = [(found[1], found[2], 0)] if found else []
    said = _record(caller, "read" if found else "batch", None if found else url, place)
    said.outcome = MINOR
    return said


def _whole(
    settings: AuditSettings,
    caller: Caller,
    request: Request,
    where: Place,
    codes: Sequence[str],
    answer: Answer,
) -> Record | None:
    if where.shape in _SILENT or request.method == "OPTIONS" or not codes:
        return None
    # The code of a Bundle's route comes first as `batch`; either may be meant.
    code = codes[0]
    if refuses(answer.status, caller):
        absent = answer.status in _ABSENT and _left_out(settings, where)
        return None if absent else _refused(caller, request, where, code)
    if answer.status >= _ERROR or _is_deferred(answer):
        return None
    if code in _WRITES:
        return _existing(caller, request, answer)
    if _left_out(settings, where):
        return None
    return _shown(caller, request, where, code, answer)


def _left_out(settings: AuditSettings, where: Place) -> bool:
    if where.type:
        return (where.member or where.type) in settings.leave_out
    return where.operation in settings.leave_out_operations


def _is_deferred(answer: Answer) -> bool:
    deferred = answer.headers.get("Preference-Applied") == "respond-async"
    return deferred and answer.status == _ACCEPTED


def _refused(caller: Caller, request: Request, where: Place, code: str) -> Record:
    place = [(where.type, where.id, 0)] if where.id else []
    said = _record(caller, code, None if place else _query(request), place)
    said.outcome = MINOR
    return said


def _existing(caller: Caller, request: Request, answer: Answer) -> Record | None:
    """Return the record of a write that wrote nothing and showed what was there."""
    if caller.trail is None or caller.trail.wrote or not answer.body:
        return None
    found = _LOCATION.search(answer.headers.get("Location", ""))
    if request.method == "DELETE" or found is None:
        return None
    return _record(caller, "read", None, [(found[1], found[2], int(found[3]))])


def _shown(
    caller: Caller, request: Request, where: Place, code: str, answer: Answer
) -> Record | None:
    trail = caller.trail or Trail()
    places = sorted(trail.places)
    if code in _INSTANCE:
        return _record(caller, code, None, [(where.type, where.id, _version(where, answer))])
    if code in _BUNDLES:
        seen = bool(places or trail.keys)
        return _record(caller, code, None, places, sorted(trail.keys)) if seen else None
    if where.id and where.shape == "operation":
        places.append((where.type, where.id, 0))
    code = f"${where.operation}" if where.shape == "operation" else code
    return _record(caller, code, _query(request), places, sorted(trail.keys))


def _version(where: Place, answer: Answer) -> int:
    if where.version.isdecimal():
        return int(where.version)
    found = _ETAG.match(answer.headers.get("ETag", ""))
    return int(found[1]) if found else 0


def _query(request: Request) -> str:
    path = "/".join(request.segments)
    return f"{path}?{urlencode(request.pairs)}" if request.pairs else path


def _record(
    caller: Caller,
    code: str,
    query: str | None,
    places: Sequence[tuple[str, str, int]],
    keys: Sequence[int] = (),
) -> Record:
    trail = caller.trail
    return Record(
        code,
        who(caller),
        request=trail.request if trail else None,
        query=query,
        places=list(places),
        keys=list(keys),
    )
