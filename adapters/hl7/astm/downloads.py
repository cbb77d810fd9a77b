"""Orders that analyzers are sent without asking: queued durably, and sent in their order.

The change feed tells of new orders and of those that were taken back; each is queued
once for each analyzer that has them sent.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any, Final

from adapters.hl7.astm import work
from adapters.hl7.laboratory import specimen_orders
from adapters.hl7.laboratory.specimen_orders import Found
from adapters.hl7.outbound.gather import gather, last
from adapters.hl7.profiles.analyzer_tests import Tests
from adapters.hl7.profiles.read import Loaded
from adapters.hl7.recorded import Sent
from adapters.hl7.records.answer import Action, encoded, orders
from adapters.hl7.records.files import records as records_of
from fhir_server import changes
from fhir_server.database import Connection
from fhir_server.feed_readers import take
from fhir_server.server import Server

_LONGEST_WAIT: Final = 300

_READER: Final = "hl7.astm"
_QUEUE: Final = """
INSERT INTO hl7_astm_order (sender, reference, action, records, state)
SELECT %(sender)s, %(reference)s, %(action)s, %(records)s, 'queued'
WHERE %(action)s = 'N' OR EXISTS (
    SELECT FROM hl7_astm_order
    WHERE sender = %(sender)s AND reference = %(reference)s AND action = 'N' AND state = 'sent'
)
ON CONFLICT (sender, reference, action) DO NOTHING
"""
_WITHDRAW: Final = """
UPDATE hl7_astm_order SET state = 'withdrawn', finished_at = now()
WHERE sender = %s AND reference = %s AND action = 'N' AND state = 'queued'
"""
_NEXT: Final = """
SELECT DISTINCT ON (sender) sender, id, records, coalesce(next_attempt <= now(), true), attempts
FROM hl7_astm_order WHERE state = 'queued' AND sender = ANY(%s) ORDER BY sender, id
"""
_SENT: Final = """
UPDATE hl7_astm_order SET state = 'sent', attempts = attempts + 1, detail = NULL,
    next_attempt = NULL, finished_at = now()
WHERE id = %s AND state = 'queued'
"""
_AGAIN: Final = """
UPDATE hl7_astm_order SET attempts = attempts + 1, detail = %(why)s,
    state = CASE WHEN attempts + 1 >= %(most)s THEN 'dead' ELSE state END,
    next_attempt = now() + least(%(longest)s, 2 ^ attempts) * interval '1 second',
    finished_at = CASE WHEN attempts + 1 >= %(most)s THEN now() END
WHERE id = %(id)s AND state = 'queued'
"""


@dataclass(frozen=True, slots=True)
class Queued:
    """A message for an analyzer: its row, and its records as bytes, each with CR."""

    id: int
    records: tuple[bytes, ...]


async def look(server: Server, analyzers: Sequence[tuple[Loaded, tzinfo]]) -> bool:
    """Queue what has changed since the last look; return whether there may be more.

    The first look of all begins with what comes after it.
    """
    types = [server.definitions.type_ids["ServiceRequest"]]
    async with server.database.transaction() as connection:
        page = await take(connection, _READER, types, specimen_orders.MOST)
        ids = list((await changes.named(connection, page.changes)).values())
        if ids:
            await _queue(server, connection, ids, analyzers)
        return page.more


async def _deleted(server: Server, connection: Connection, ids: Iterable[str]) -> Iterable[Found]:
    """Return orders that were deleted as they were at last, with what they speak of."""
    told = [await last(server, connection, f"ServiceRequest/{id_}") for id_ in ids]
    return [Found((one,), (await gather(server, connection, one)).others) for one in told if one]


async def _queue(
    server: Server,
    connection: Connection,
    ids: Sequence[str],
    analyzers: Sequence[tuple[Loaded, tzinfo]],
) -> None:
    """Queue those orders that are active, and cancel those that are no longer wanted or there."""
    changed = [("_id", ",".join(ids))]
    wanted = await specimen_orders.of(server, changed)
    revoked = await specimen_orders.of(server, changed, "revoked,entered-in-error")
    there = {one["id"] for found in (wanted, revoked) for one in found.requests}
    gone = await _deleted(server, connection, sorted(set(ids) - there))
    sent = Sent()
    for loaded, zone in analyzers:
        await _each(connection, loaded, zone, wanted, "N", sent)
        for found in (revoked, *gone):
            await _withdraw(connection, loaded, zone, found, sent)
    await sent.record(connection)


async def _withdraw(
    connection: Connection, loaded: Loaded, zone: tzinfo, found: Found, sent: Sent
) -> None:
    """Forget orders that were not sent yet, and cancel those that were."""
    for request in found.requests:
        reference = f"ServiceRequest/{request['id']}"
        await connection.execute(_WITHDRAW, (loaded.sender, reference))
    await _each(connection, loaded, zone, found, "C", sent)


async def _each(
    connection: Connection,
    loaded: Loaded,
    zone: tzinfo,
    found: Found,
    action: Action,
    sent: Sent,
) -> None:
    tests = Tests(loaded.profile)
    for request in found.requests:
        one = Found((request,), found.others)
        for ordered in work.ordered(one, "", tests, (), zone):
            now = datetime.now(zone)
            number = f"{request['id']}-{action}"
            records = orders([ordered], now, number, action=action, queried=False)
            values = {
                "sender": loaded.sender,
                "reference": f"ServiceRequest/{request['id']}",
                "action": action,
                "records": b"".join(encoded(records, codec_of(loaded))),
            }
            if (await connection.execute(_QUEUE, values)).rowcount:
                patient = str(request.get("subject", {}).get("reference", ""))
                sent.add(loaded.sender, (patient, f"ServiceRequest/{request['id']}"))


def codec_of(loaded: Loaded | None) -> str:
    """Return the Python codec in which an analyzer is written to."""
    return (loaded.profile.text.fallback if loaded else "") or "utf-8"


async def due(server: Server, senders: Collection[str]) -> dict[str, Queued]:
    """Return the next message of each analyzer that has one to be sent now."""
    async with server.database.connection() as connection:
        cursor = await connection.execute(_NEXT, (list(senders),), binary=True)
        rows: list[tuple[Any, ...]] = await cursor.fetchall()
    return {
        sender: Queued(id_, tuple(records_of(bytes(records))))
        for sender, id_, records, now, _ in rows
        if now
    }


async def settle(server: Server, id_: int, *, ok: bool, why: str) -> None:
    """Note how a message went; one that did not is tried again, more and more patiently."""
    async with server.database.statement() as connection:
        if ok:
            await connection.execute(_SENT, (id_,))
            return
        most = server.settings.hl7.attempts
        values = {"id": id_, "why": why, "most": most, "longest": _LONGEST_WAIT}
        await connection.execute(_AGAIN, values)
