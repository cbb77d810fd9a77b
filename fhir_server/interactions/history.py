"""history: the versions of one resource, of a type, or of everything.

https://hl7.org/fhir/R4/http.html#history
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote, urlencode

from fhir_server.caller import Caller
from fhir_server.errors import BadRequest, NotFound
from fhir_server.search.date import interval
from fhir_server.server import Server
from fhir_server.store import history as store
from fhir_server.store.history import Version
from fhir_server.store.text import instant
from fhir_server.store.transact import Method

PARAMETERS = ("_count", "_since", "_at", "_format", "_pretty", "_cursor")
_SHOWN = {
    Method.POST: b"POST",
    Method.PUT: b"PUT",
    Method.DELETE: b"DELETE",
    Method.PATCH: b"PATCH",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """The parameters of a history: page size, bounds, and where to go on."""

    count: int
    since: datetime | None
    at: tuple[datetime, datetime] | None
    before: tuple[int, int] | None
    applied: tuple[tuple[str, str], ...]


async def history(
    server: Server,
    caller: Caller,  # noqa: ARG001  (rights come with the security issue)
    type_name: str | None,
    id_: str | None,
    pairs: Sequence[tuple[str, str]],
) -> bytes:
    """Return the text of a history Bundle, newest version first."""
    wanted = _wanted(server, pairs)
    type_id = server.definitions.type_ids[type_name] if type_name else None
    async with server.database.connection() as connection:
        total = None
        if type_id is not None and id_ is not None:
            total = await store.count(connection, type_id, id_)
            if not total:
                raise NotFound(f"There is no {type_name} with this id")
        versions = await store.versions(
            connection,
            limit=wanted.count + 1,
            type_id=type_id,
            id_=id_,
            since=wanted.since,
            at=wanted.at,
            before=wanted.before,
        )
    bounded = wanted.since or wanted.at
    return _bundle(server, (type_name, id_), wanted, versions, None if bounded else total)


def _wanted(server: Server, pairs: Sequence[tuple[str, str]]) -> Wanted:
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in PARAMETERS:
            known = ", ".join(PARAMETERS[:-1])
            raise BadRequest(f"Unknown parameter; a history takes {known}", expression=name)
        if name in given:
            raise BadRequest("The parameter may be given once", expression=name)
        given[name] = value
    if "_since" in given and "_at" in given:
        raise BadRequest("_since and _at exclude one another", expression="_at")
    settings = server.settings.search
    count = min(_number(given.get("_count"), settings.default_count), settings.max_count)
    zone = settings.timezone
    applied = tuple((name, given[name]) for name in ("_since", "_at") if name in given)
    return Wanted(
        count=count,
        since=interval(given["_since"], zone)[0] if "_since" in given else None,
        at=interval(given["_at"], zone) if "_at" in given else None,
        before=_cursor(given["_cursor"]) if "_cursor" in given else None,
        applied=(*applied, ("_count", str(count))),
    )


def _number(text: str | None, default: int) -> int:
    if text is None:
        return default
    if not text.isdecimal() or len(text) > 9:  # noqa: PLR2004  (more than any page)
        raise BadRequest("_count must be a whole number", code="value", expression="_count")
    return int(text)


def _cursor(text: str) -> tuple[int, int]:
    xid, dot, position = text.partition(".")
    if not dot or not all(p.isdecimal() and len(p) <= 18 for p in (xid, position)):  # noqa: PLR2004
        raise BadRequest("This page link is not one of ours", code="value", expression="_cursor")
    return int(xid), int(position)


def _bundle(
    server: Server,
    place: tuple[str | None, str | None],
    wanted: Wanted,
    versions: Sequence[Version],
    total: int | None,
) -> bytes:
    page = versions[: wanted.count]
    path = "/".join(part for part in (server.base, *place, "_history") if part)
    links = [_link("self", path, wanted.applied)]
    if len(versions) > wanted.count and page:
        cursor = ".".join(map(str, page[-1].cursor))
        links.append(_link("next", path, (*wanted.applied, ("_cursor", cursor))))
    return b'{"resourceType":"Bundle","type":"history"%b,"link":[%b]%b}' % (
        b"" if total is None else b',"total":%d' % total,
        b",".join(links),
        b',"entry":[%b]' % b",".join(_entry(server, one) for one in page) if page else b"",
    )


def _link(relation: str, path: str, pairs: Sequence[tuple[str, str]]) -> bytes:
    query = urlencode(pairs, quote_via=quote)
    return f'{{"relation":"{relation}","url":"{path}?{query}"}}'.encode()


def _entry(server: Server, one: Version) -> bytes:
    """Return an entry; bdl-3 and bdl-4 want request and response on each."""
    type_name = server.definitions.type_names[one.type_id]
    literal = f"{type_name}/{one.id}"
    url = type_name if one.method is Method.POST else literal
    if one.method is Method.DELETE:
        status = b"204 No Content"
    else:
        status = b"201 Created" if one.version == 1 else b"200 OK"
    return (
        f'{{"fullUrl":"{server.base}/{literal}",'.encode()
        + (b'"resource":%b,' % one.body if one.body else b"")
        + b'"request":{"method":"%b","url":"%b"},' % (_SHOWN[one.method], url.encode())
        + b'"response":{"status":"%b","etag":"W/\\"%d\\"","lastModified":"%b"}}'
        % (status, one.version, instant(one.last_updated).encode())
    )
