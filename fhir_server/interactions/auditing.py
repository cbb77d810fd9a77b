"""AuditEvents made of what was recorded, and chained.

https://profiles.ihe.net/ITI/BALP/content.html
"""

import asyncio
import logging
import math
from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

import msgspec
from psycopg import Error

from fhir_server import feed_readers
from fhir_server.access import glass
from fhir_server.audit import chain
from fhir_server.audit.emergency import purposed
from fhir_server.audit.event import Manner, events
from fhir_server.audit.pace import Pace, pause
from fhir_server.audit.record import AUDIT_EVENT, Record, read
from fhir_server.audit.tables import PARTITIONS, SLOTS
from fhir_server.caller import trusted
from fhir_server.changes import Cursor
from fhir_server.database import Connection
from fhir_server.errors import SangamError
from fhir_server.interactions.concerned import Concerned, concerned
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
_USED: Final = f"SELECT ((extract(epoch FROM now()) / 86400)::bigint % {SLOTS})::int"


async def serve(server: Server, stop: asyncio.Event) -> None:
    """Make AuditEvents of what is recorded until `stop` is set."""
    emptied, pace = -math.inf, Pace()
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        began, found, rate = loop.time(), 0, 0.0
        try:
            found = await step(server)
            while await link(server):
                pass
            if loop.time() - emptied > _EMPTY_SECONDS:
                await empty(server)
                emptied = loop.time()
            async with server.database.connection() as connection:
                rate = await pace.rate(connection, loop.time())
        except (Error, SangamError) as error:
            log.warning("AuditEvents wait: %s", type(error).__name__)
        worked, more = loop.time() - began, found >= _AT_ONCE
        try:
            async with asyncio.timeout(pause(server.settings.audit, worked, rate, more=more)):
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
    found: list[tuple[datetime, Record]] = []
    for xid, position, at, said in rows:
        found += [(at, record) for record in read(said)]
        reached = Cursor(xid, position)
        if len(found) >= _AT_ONCE:
            break
    known = await concerned(server, connection, [record for _, record in found])
    writes: list[Write] = []
    users = {record.who.user for _, record in found if record.who.user}
    times = [at for at, _ in found]
    glasses = await glass.open_between(connection, users, min(times), max(times)) if users else {}
    for at, record in found:
        records = glasses.get(record.who.user or "", ())
        opened = {one.patient for one in records if one.since <= at < one.until}
        writes += _writes(server, at, record, known, opened)
    for start in range(0, len(writes), _WRITTEN_AT_ONCE):
        piece = writes[start : start + _WRITTEN_AT_ONCE]
        await keep(server, connection, piece, registry.version, caller=CALLER)
    await feed_readers.move(connection, READER, reached)
    return len(found)


def _writes(
    server: Server, at: datetime, record: Record, known: Concerned, opened: Collection[str]
) -> list[Write]:
    """Return the writes of the AuditEvents of a record from a time.

    `opened` are the patients whose records who asked had broken the glass of.

    One of which they cannot be made keeps no other from becoming any: it is told without
    what it names.
    """
    settings = server.settings.audit
    manner = Manner(server.base, settings.patients, settings.entities)
    patients = known.by(record)
    # A query names what it found by its patients alone.
    told = {(kind, id_) for kind, id_, _ in record.places}
    shown = [place for place in patients if place not in told]
    record.places += [(kind, id_, 0) for kind, id_ in shown if not record.writes]
    named = {f"{kind}/{id_}": found for (kind, id_), found in patients.items()}
    try:
        found = events(manner, record, at, named)
        return [_write(server, purposed(one, opened)) for one in found]
    except (SangamError, LookupError, ValueError) as error:
        log.error("a record became a bare AuditEvent: %s", type(error).__name__)  # noqa: TRY400
        bare = Record("read", record.who, outcome=record.outcome, request=record.request)
        return [_write(server, one) for one in events(manner, bare, at, {})]


def _write(server: Server, event: dict[str, Any]) -> Write:
    """Return the write of an event; what it names may be gone, which is no fault of it."""
    draft = Draft(AUDIT_EVENT, event, msgspec.json.encode(event), ())
    made = write(server, draft, server.new_id(), Method.POST, None)
    assert made is not None
    return made


async def empty(server: Server) -> None:
    """Empty the days of the ring whose AuditEvents are made, but for the last ones."""
    async with server.database.keeping() as connection:
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
