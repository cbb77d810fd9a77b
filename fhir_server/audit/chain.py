"""The chain of digests that shows whether an AuditEvent was changed, removed or put in.

A link is the digest of the link before it and of an event; the end of each day is sealed
under the key of the installation, which is not in the database where a file holds it.

https://www.rfc-editor.org/rfc/rfc6962#section-2
"""

import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import msgspec

from fhir_server import feed_readers
from fhir_server.audit_settings import SIX_YEARS
from fhir_server.changes import Change, Cursor
from fhir_server.database import Connection
from fhir_server.seal import derived

READER: Final = "audit.chain"
START: Final = bytes(32)

log = logging.getLogger(__name__)

_AT_ONCE: Final = 500
# Any number, the same in every process: one lengthens the chain at a time.
_LOCK: Final = 7_261_965

_WAIT: Final = "SELECT pg_advisory_xact_lock(%s, hashtext(current_schema()))"
_TRY: Final = "SELECT pg_try_advisory_xact_lock(%s, hashtext(current_schema()))"
_TEXTS: Final = """
SELECT b.key, b.version, b.json FROM unnest(%s::bigint[], %s::int[]) AS t(key, version)
     JOIN body b USING (key, version)
"""
_LAST: Final = "SELECT day, links, chain FROM audit_head ORDER BY day DESC LIMIT 1"
_END: Final = "SELECT day, number, chain FROM audit_link ORDER BY day DESC, number DESC LIMIT 1"
_TODAY: Final = "SELECT greatest(current_date, (SELECT max(day) FROM audit_head))"
_LINKED: Final = "SELECT key FROM audit_link WHERE key = ANY(%s)"
_ADD: Final = """
INSERT INTO audit_link (day, number, key, version, erased, event, chain)
SELECT %s, * FROM unnest(%s::int[], %s::bigint[], %s::int[], %s::bool[], %s::bytea[], %s::bytea[])
"""
_HEAD: Final = """
INSERT INTO audit_head (day, links, chain, seal) VALUES (%s, %s, %s, %s)
ON CONFLICT (day) DO UPDATE
SET links = excluded.links, chain = excluded.chain, seal = excluded.seal
"""


@dataclass(frozen=True, slots=True)
class Link:
    """One link: its number in its day, the event's key and version, the digests."""

    number: int
    key: int
    version: int
    erased: bool
    event: bytes
    chain: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a day's chain."""

    day: date
    links: int
    chain: bytes
    seal: bytes = b""


@dataclass(frozen=True, slots=True)
class Fault:
    """What does not fit: the day, the id of the AuditEvent if there is one, and what is wrong."""

    day: date | None
    id: str
    what: str


def digest(text: str) -> bytes:
    """Return the digest of an event by its canonical JSON: members sorted, no white space."""
    said = msgspec.json.encode(msgspec.json.decode(text), order="sorted")
    return hashlib.sha256(said).digest()


def chained(before: bytes, key: int, version: int, event: bytes, *, erased: bool) -> bytes:
    """Return the digest of a link after another."""
    place = f"{key}/{version}/{int(erased)}/".encode()
    return hashlib.sha256(before + place + event).digest()


def sealed(secret: bytes, head: Head) -> bytes:
    """Return the seal of the end of a day."""
    said = f"{head.day.isoformat()}/{head.links}/".encode() + head.chain
    return hmac.digest(derived(secret, "audit seal"), said, "sha256")


async def alone(connection: Connection, *, wait: bool = False) -> bool:
    """Whether nobody else works on the audit until this transaction ends; or `wait` for that."""
    if wait:
        await connection.execute(_WAIT, (_LOCK,))
        return True
    row = await (await connection.execute(_TRY, (_LOCK,))).fetchone()
    return bool(row and row[0])


async def lengthen(connection: Connection, secret: bytes, type_id: int) -> int:
    """Link the AuditEvents (`type_id`) that were written since, in the open transaction.

    Returns how many those are; the caller has seen to it that it is `alone`. A chain whose end
    is not as it was sealed is not lengthened: that would hide what was done to it.
    """
    row = await (await connection.execute(_LAST)).fetchone()
    end = await (await connection.execute(_END)).fetchone()
    if end is not None and row != end:
        log.error("the chain of AuditEvents was changed; sangam audit verify says where")
        return 0
    page = await feed_readers.take(connection, READER, [type_id], _AT_ONCE, Cursor())
    if not page.changes:
        return 0
    texts = await _texts(connection, page.changes)
    keys = [one.key for one in page.changes]
    known = {row[0] for row in await (await connection.execute(_LINKED, (keys,))).fetchall()}
    today = await (await connection.execute(_TODAY)).fetchone()
    assert today is not None
    day, last = today[0], Head(*row) if row else None
    count = last.links if last is not None and last.day == day else 0
    before = last.chain if last else START
    links: list[Link] = []
    for one in page.changes:
        text = texts.get((one.key, one.version))
        if text is None:  # a version that erasure took away since
            continue
        event, erased = digest(text), one.key in known
        known.add(one.key)
        before = chained(before, one.key, one.version, event, erased=erased)
        count += 1
        links.append(Link(count, one.key, one.version, erased, event, before))
    await _add(connection, secret, Head(day, count, before), links)
    return len(page.changes)


async def _texts(connection: Connection, changes: Sequence[Change]) -> dict[tuple[int, int], str]:
    values = ([one.key for one in changes], [one.version for one in changes])
    rows = await (await connection.execute(_TEXTS, values)).fetchall()
    return {(row[0], row[1]): row[2] for row in rows if row[2]}


async def _add(connection: Connection, secret: bytes, head: Head, links: Sequence[Link]) -> None:
    if not links:
        return
    columns: list[list[Any]] = [
        [one.number for one in links],
        [one.key for one in links],
        [one.version for one in links],
        [one.erased for one in links],
        [one.event for one in links],
        [one.chain for one in links],
    ]
    await connection.execute(_ADD, (head.day, *columns))
    values = (head.day, head.links, head.chain, sealed(secret, head))
    await connection.execute(_HEAD, values)


_HEADS: Final = "SELECT day, links, chain, seal FROM audit_head ORDER BY day"
_LINKS: Final = """
SELECT l.number, l.key, l.version, l.erased, l.event, l.chain,
       coalesce(r.id, ''), b.json,
       EXISTS (SELECT FROM audit_link later WHERE later.key = l.key
               AND (later.day, later.number) > (l.day, l.number))
FROM audit_link l LEFT JOIN resource r ON r.key = l.key
     LEFT JOIN body b ON b.key = r.key AND b.version = r.version AND b.version = l.version
WHERE l.day = %s AND l.number > %s ORDER BY l.number LIMIT 500
"""
_KEPT_SINCE: Final = "SELECT current_date - %s::int"
_STRAY_DAYS: Final = """
SELECT DISTINCT day FROM audit_link l
WHERE NOT EXISTS (SELECT FROM audit_head h WHERE h.day = l.day)
"""
# What is newer than the chain's place in the feed is linked in a moment.
_UNLINKED: Final = """
SELECT r.id FROM resource r
WHERE r.type_id = %s AND r.key > 0 AND NOT r.deleted
  AND NOT EXISTS (SELECT FROM audit_link l WHERE l.key = r.key)
  AND NOT EXISTS (SELECT FROM change c WHERE c.key = r.key
                  AND (c.feed_xid, c.position) > (%s::text::xid8, %s))
ORDER BY r.key LIMIT 100
"""


async def verify(connection: Connection, secret: bytes, type_id: int) -> list[Fault]:
    """Return what shows that the AuditEvents (`type_id`) are not as they were written."""
    faults: list[Fault] = []
    before, begun = START, False
    kept = await (await connection.execute(_KEPT_SINCE, (SIX_YEARS,))).fetchone()
    assert kept is not None
    for row in await (await connection.execute(_HEADS)).fetchall():
        head = Head(row[0], row[1], bytes(row[2]), bytes(row[3]))
        if not hmac.compare_digest(sealed(secret, head), head.seal):
            faults.append(Fault(head.day, "", "The end of the day was changed"))
        found = [one async for one in _day(connection, head, before)]
        # The first days were forgotten as a whole, if they are old enough (retention.py).
        if found == [_emptied(head)] and not begun and head.day < kept[0]:
            found = []
        else:
            begun = True
        faults += found
        before = head.chain
    strays = await (await connection.execute(_STRAY_DAYS)).fetchall()
    faults += [Fault(row[0], "", "The end of the day was removed") for row in strays]
    place = await feed_readers.place(connection, READER) or Cursor()
    given = (type_id, str(place.feed_xid), place.position)
    rows = await (await connection.execute(_UNLINKED, given)).fetchall()
    return faults + [Fault(None, row[0], "The event was put in") for row in rows]


def _emptied(head: Head) -> Fault:
    return Fault(head.day, "", "The links of the day were removed")


async def _day(connection: Connection, head: Head, before: bytes) -> AsyncIterator[Fault]:
    """Yield what is wrong with a day; `before` is the end of the day before."""
    count, last = 0, before
    while rows := await (await connection.execute(_LINKS, (head.day, count))).fetchall():
        for number, key, version, erased, event, chain, id_, text, superseded in rows:
            count += 1
            if number != count:
                yield Fault(head.day, id_, "A link was removed")
                count = number
            if chained(last, key, version, bytes(event), erased=erased) != bytes(chain):
                yield Fault(head.day, id_, "The chain is broken")
            last = bytes(chain)
            if not superseded and text is None:
                yield Fault(head.day, id_, "The event was removed, or has another version")
            elif not superseded and digest(text) != bytes(event):
                yield Fault(head.day, id_, "The event was changed")
    if count and (count, last) != (head.links, head.chain):
        yield Fault(head.day, "", "Links at the end of the day were removed")
    elif not count:
        yield _emptied(head)
