"""AuditEvents made of what was recorded, and chained.

https://profiles.ihe.net/ITI/BALP/content.html
"""

import asyncio
import logging
import math
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

import msgspec
from psycopg import Error

from fhir_server import feed_readers
from fhir_server.access import glass
from fhir_server.audit import chain
from fhir_server.audit.emergency import purposed
from fhir_server.audit.event import Manner, events
from fhir_server.audit.record import AUDIT_EVENT, Record, read
from fhir_server.audit.tables import PARTITIONS, SLOTS
from fhir_server.caller import trusted
from fhir_server.changes import Cursor
from fhir_server.database import Connection
from fhir_server.errors import SangamError
from fhir_server.interactions.draft import Draft, keep, write
from fhir_server.server import Server
from fhir_server.store import coverage
from fhir_server.store.transact import Method, Write

READER: Final = "audit"
CALLER: Final = trusted("audit", "worker")
_AT_ONCE: Final = 200
_WRITTEN_AT_ONCE: Final = 400
# So many days are kept although their AuditEvents are made.
_KEPT_DAYS: Final = 3
_EMPTY_SECONDS: Final = 3_600.0

log = logging.getLogger(__name__)

_NEXT: Final = """
SELECT feed_xid::text::bigint, position, at, said FROM audit_record
WHERE (feed_xid, position) > (%s::text::xid8, %s)
  AND feed_xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY feed_xid, position LIMIT %s
"""
# What was deleted since was shown as it was before.
_KEYS: Final = """
SELECT r.type_id, r.id, b.json FROM resource r
     CROSS JOIN LATERAL (
         SELECT json FROM body
         WHERE body.key = r.key AND json <> '' ORDER BY body.version DESC LIMIT 1
     ) AS b
WHERE r.key = ANY(%s::bigint[])
"""
# Of a deletion, what was deleted; of version 0, the present one.
_PLACES: Final = """
SELECT r.type_id, r.id, b.json FROM unnest(%s::smallint[], %s::text[], %s::int[])
         AS t(type_id, id, version)
     JOIN resource r USING (type_id, id)
     CROSS JOIN LATERAL (
         SELECT json FROM body
         WHERE body.key = r.key AND json <> ''
           AND body.version <= CASE t.version WHEN 0 THEN r.version ELSE t.version END
         ORDER BY body.version DESC LIMIT 1
     ) AS b
"""
_USED: Final = f"SELECT ((extract(epoch FROM now()) / 86400)::bigint % {SLOTS})::int"


async def serve(server: Server, stop: asyncio.Event) -> None:
    """Make AuditEvents of what is recorded until `stop` is set."""
    emptied = -math.inf
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        began, found = loop.time(), 0
        try:
            found = await step(server)
            while await link(server):
                pass
            if loop.time() - emptied > _EMPTY_SECONDS:
                await empty(server)
                emptied = loop.time()
        except (Error, SangamError) as error:
            log.warning("AuditEvents wait: %s", type(error).__name__)
        # Who takes messages and answers comes first: no more than half of the time.
        pause = loop.time() - began if found >= _AT_ONCE else server.settings.audit.fold_seconds
        try:
            async with asyncio.timeout(pause):
                await stop.wait()
        except TimeoutError:
            continue


async def step(server: Server, *, wait: bool = False) -> int:
    """Make the AuditEvents of some records; return how many records those were."""
    async with server.database.transaction() as connection:
        if not await chain.alone(connection, wait=wait):
            return 0
        return await _fold(server, connection)


async def link(server: Server, *, wait: bool = False) -> int:
    """Chain the AuditEvents that are written; return how many there were."""
    type_id = server.definitions.type_ids[AUDIT_EVENT]
    async with server.database.transaction() as connection:
        if not await chain.alone(connection, wait=wait):
            return 0
        return await chain.lengthen(connection, server.registry.context.page_key, type_id)


async def settle(server: Server) -> None:
    """Make and chain all AuditEvents that are yet to be made."""
    while await step(server, wait=True):
        pass
    while await link(server, wait=True):
        pass


async def _fold(server: Server, connection: Connection) -> int:
    place = await feed_readers.place(connection, READER) or Cursor()
    given = (str(place.feed_xid), place.position, _AT_ONCE)
    rows = await (await connection.execute(_NEXT, given)).fetchall()
    if not rows:
        return 0
    registry = await coverage.refresh(server, connection, after=math.inf)
    writes: list[Write] = []
    for row in rows:
        writes += await _writes(server, connection, row[2], read(row[3]))
    for start in range(0, len(writes), _WRITTEN_AT_ONCE):
        piece = writes[start : start + _WRITTEN_AT_ONCE]
        await keep(server, connection, piece, registry.version, caller=CALLER)
    await feed_readers.move(connection, READER, Cursor(rows[-1][0], rows[-1][1]))
    return len(rows)


async def _writes(
    server: Server, connection: Connection, at: datetime, record: Record
) -> list[Write]:
    """Return the writes of the AuditEvents of a record from a time.

    One of which they cannot be made keeps no other from becoming any: it is told without
    what it names.
    """
    settings = server.settings.audit
    manner = Manner(server.base, settings.patients, settings.entities)
    patients = await _patients(server, connection, record)
    # A query names what it found by its patients alone.
    known = {(kind, id_) for kind, id_, _ in record.places}
    shown = [place for place in patients if place not in known]
    record.places += [(kind, id_, 0) for kind, id_ in shown if not record.writes]
    named = {f"{kind}/{id_}": found for (kind, id_), found in patients.items()}
    user = record.who.user
    opened = await glass.open_at(connection, user, at) if user else ()
    try:
        found = events(manner, record, at, named)
        return [_write(server, purposed(one, opened)) for one in found]
    except (SangamError, LookupError, ValueError) as error:
        log.error("a record became a bare AuditEvent: %s", type(error).__name__)  # noqa: TRY400
        bare = Record("read", record.who, outcome=record.outcome, request=record.request)
        return [_write(server, one) for one in events(manner, bare, at, {})]


async def _patients(
    server: Server, connection: Connection, record: Record
) -> dict[tuple[str, str], list[str]]:
    """Return the patients of each resource (type, id) that the record names."""
    names, ids = server.definitions.type_names, server.definitions.type_ids
    found: list[tuple[int, str, str]] = []
    if record.keys:
        found += await (await connection.execute(_KEYS, (record.keys,))).fetchall()
    named = [*record.places, *((kind, id_, v) for _, kind, id_, v in record.writes)]
    places = [place for place in named if place[0] in ids]
    if places:
        columns = ([ids[p[0]] for p in places], [p[1] for p in places], [p[2] for p in places])
        found += await (await connection.execute(_PLACES, columns)).fetchall()
    made: dict[tuple[str, str], list[str]] = {}
    for type_id, id_, text in found:
        place = (names[type_id], id_)
        known = made.setdefault(place, [])
        known += [one for one in patients_of(server.bases, *place, text) if one not in known]
    return made


def patients_of(bases: Iterable[str], type_name: str, id_: str, text: str) -> list[str]:
    """Return the ids of the patients whom a resource is, or refers to, in their order."""
    if type_name == "Patient":
        return [id_]
    local = "|".join(re.escape(f"{base}/") for base in bases)
    pattern = rf'"reference":"(?:{local})?Patient\\?/([A-Za-z0-9\-.]{{1,64}})[/"\\]'
    return list(dict.fromkeys(re.findall(pattern, text)))


def _write(server: Server, event: dict[str, Any]) -> Write:
    """Return the write of an event; what it names may be gone, which is no fault of it."""
    draft = Draft(AUDIT_EVENT, event, msgspec.json.encode(event), ())
    made = write(server, draft, server.new_id(), Method.POST, None)
    assert made is not None
    return made


async def empty(server: Server) -> None:
    """Empty the days of the ring whose AuditEvents are made, but for the last ones."""
    async with server.database.transaction() as connection:
        if not await chain.alone(connection):
            return
        place = await feed_readers.place(connection, READER)
        row = await (await connection.execute(_USED)).fetchone()
        if place is None or row is None:
            return
        recent = {(row[0] + 1 - back) % SLOTS for back in range(_KEPT_DAYS + 2)}
        for slot in set(range(SLOTS)) - recent:
            await _empty(connection, PARTITIONS[slot], place)


async def _empty(connection: Connection, table: str, place: Cursor) -> None:
    left = f"""
    SELECT EXISTS (SELECT FROM {table} WHERE (feed_xid, position) > (%s::text::xid8, %s)),
           EXISTS (SELECT FROM {table})
    """
    given = (str(place.feed_xid), place.position)
    row = await (await connection.execute(left, given)).fetchone()
    if row == (False, True):
        await connection.execute(f"TRUNCATE {table}")
