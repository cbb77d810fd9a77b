"""The job that sees to it that critical results are acknowledged.

A result is acknowledged when its CommunicationRequest is completed by REST, or when a
completed Communication is based on it. The change feed tells of both, an index of those that
nobody acknowledged in time; while any is awaited the job comes back.

https://hl7.org/fhir/R4/communication-definitions.html#Communication.basedOn
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from adapters.hl7 import metrics
from adapters.hl7.laboratory.critical import FOLLOW, end, present, write_task
from fhir_server import changes, feed_readers
from fhir_server.caller import trusted
from fhir_server.changes import Change
from fhir_server.database import Connection
from fhir_server.errors import SangamError, Unavailable
from fhir_server.interactions.search import search_on
from fhir_server.interactions.vread import versions_on
from fhir_server.jobs import Job, enqueue
from fhir_server.r4 import json
from fhir_server.server import Server

_BATCH: Final = 50
_CALLER: Final = trusted("hl7", "worker")
_REQUEST: Final = "CommunicationRequest"
_COMMUNICATION: Final = "Communication"
# Who ended the request in another way has seen it, too.
_ENDINGS: Final = frozenset(("completed", "revoked", "entered-in-error"))
_READER: Final = "hl7.critical"

_log = logging.getLogger(__name__)

_OPEN: Final = """
SELECT observation_id, raised_at FROM hl7_critical
WHERE state = 'open' AND (raised_at, observation_id) > (%s, %s)
ORDER BY raised_at, observation_id LIMIT %s
"""
_ASKED_BY: Final = """
SELECT observation_id FROM hl7_critical WHERE state = 'open' AND request_id = ANY(%s)
"""
_DUE: Final = """
SELECT observation_id FROM hl7_critical
WHERE state = 'open' AND task_id IS NULL AND raised_at <= now() - %s * interval '1 second'
    AND NOT observation_id = ANY(%s)
ORDER BY raised_at LIMIT %s
"""
# A message that holds one may wait for what a lock taken here holds.
_HOLD: Final = """
SELECT observation_id, flag_id, request_id, task_id, recipient, raised_at
FROM hl7_critical WHERE observation_id = %s AND state = 'open' FOR UPDATE SKIP LOCKED
"""
_IS_OPEN: Final = "SELECT FROM hl7_critical WHERE observation_id = %s AND state = 'open'"
_ENDED: Final = """
UPDATE hl7_critical SET state = 'acknowledged', ended_at = now() WHERE observation_id = %s
"""
_TASK: Final = """
UPDATE hl7_critical SET task_id = %s, escalated_at = now() WHERE observation_id = %s
"""
_WAITING: Final = "SELECT EXISTS (SELECT FROM hl7_critical WHERE state = 'open')"


@dataclass(frozen=True, slots=True)
class _Awaited:
    """A critical result that nobody has acknowledged, held for this transaction."""

    observation_id: str
    flag_id: str
    request_id: str
    task_id: str | None
    recipient: str | None
    raised_at: datetime


async def run(server: Server, payload: dict[str, object]) -> None:  # noqa: ARG001  (a job's form)
    """Close what was acknowledged, escalate what was not, and come back while any is open."""
    async with server.database.connection() as connection:
        known = await feed_readers.place(connection, _READER)
        start = known or await changes.latest(connection)
    if known is None:
        if await _look_at_all(server):
            await _move(server, start)
    else:
        await _look_at_changed(server, known)
    await _escalate_due(server)
    async with server.database.transaction() as connection:
        row = await (await connection.execute(_WAITING)).fetchone()
        if row == (True,):
            later = server.settings.hl7.critical_poll_seconds
            await enqueue(connection, [Job(FOLLOW, {}, FOLLOW, delay_seconds=later)])
        else:  # the first that is raised again is looked at as it is
            await feed_readers.forget(connection, _READER)


async def _move(server: Server, reached: changes.Cursor) -> None:
    async with server.database.statement() as connection:
        await feed_readers.move(connection, _READER, reached)


async def _look_at_all(server: Server) -> bool:
    """Close what was acknowledged before changes were read; False where one is to be seen again."""
    after: tuple[datetime, str] = (datetime.min.replace(tzinfo=UTC), "")
    done = True
    while True:
        async with server.database.connection() as connection:
            cursor = await connection.execute(_OPEN, (*after, _BATCH))
            rows: list[tuple[str, datetime]] = await cursor.fetchall()
        for id_, _ in rows:
            done &= await _close(server, id_)
        if len(rows) < _BATCH:
            return done
        after = (rows[-1][1], rows[-1][0])


async def _look_at_changed(server: Server, place: changes.Cursor) -> None:
    """Close what changes since a place acknowledge; what a message holds is seen again."""
    ids = server.definitions.type_ids
    types, more = [ids[_REQUEST], ids[_COMMUNICATION]], True
    while more:
        async with server.database.connection() as connection:
            page = await changes.read(connection, place, _BATCH, types)
            requests = await _answered(server, connection, page.changes)
            cursor = await connection.execute(_ASKED_BY, (list(requests),))
            rows: list[tuple[str]] = await cursor.fetchall()
        closed = [await _close(server, id_) for (id_,) in rows]
        if not all(closed):
            return
        if page.reached != place:
            await _move(server, page.reached)
        place, more = page.reached, page.more


async def _answered(server: Server, connection: Connection, found: Sequence[Change]) -> set[str]:
    """Return the requests that changed versions answer, and those that were deleted."""
    ids, names = await changes.named(connection, found), server.definitions.type_names
    wanted = [(names[one.type_id], ids[one.key], one.version) for one in found if one.key in ids]
    stored = await versions_on(server, connection, _CALLER, wanted)
    resources = [json.decode(one.body) for one in stored.values()]
    gone = {id_ for kind, id_, at in wanted if kind == _REQUEST and (kind, id_, at) not in stored}
    return gone.union(*map(_answers, resources))


def _answers(resource: dict[str, Any]) -> Iterator[str]:
    """Yield the ids of the requests that a request or Communication says are answered."""
    if resource["resourceType"] == _REQUEST:
        if resource.get("status") in _ENDINGS:
            yield resource["id"]
    elif resource.get("status") == "completed":
        for based in resource.get("basedOn", ()):
            one = str(based.get("reference", "")).partition("/_history/")[0]
            kind, _, id_ = one.rpartition("/")
            if kind.endswith(_REQUEST):
                yield id_


async def _close(server: Server, observation_id: str) -> bool:
    """End a result's alert if it is acknowledged; False where a message holds it now."""
    try:
        async with server.database.transaction() as connection:
            row = await _held(connection, observation_id)
            if row is None:
                open_ = await connection.execute(_IS_OPEN, (observation_id,))
                return await open_.fetchone() is None
            if await _is_answered(server, connection, row):
                await _acknowledge(server, connection, row)
    except SangamError as error:
        _refused(observation_id, error)
    return True


async def _held(connection: Connection, observation_id: str) -> _Awaited | None:
    row = await (await connection.execute(_HOLD, (observation_id,))).fetchone()
    return _Awaited(*row) if row else None


async def _is_answered(server: Server, connection: Connection, row: _Awaited) -> bool:
    """Whether the request was ended or deleted, or a Communication answers it.

    A request that was raised again is answered by nothing that was said before.
    """
    request = await present(server, connection, _CALLER, _REQUEST, row.request_id)
    if request is None or request.get("status") in _ENDINGS:
        return True
    pairs = [
        ("based-on", f"{_REQUEST}/{row.request_id}"),
        ("status", "completed"),
        ("_lastUpdated", f"ge{row.raised_at.isoformat(timespec='milliseconds')}"),
        ("_count", "1"),
    ]
    page = await search_on(server, connection, _CALLER, _COMMUNICATION, pairs)
    return bool(json.decode(page).get("entry"))


async def _escalate_due(server: Server) -> None:
    """Make a Task of each result that nobody acknowledged in time."""
    seconds = server.settings.hl7.critical_escalation_seconds
    seen: list[str] = []
    while seconds:
        async with server.database.connection() as connection:
            cursor = await connection.execute(_DUE, (seconds, seen, _BATCH))
            rows: list[tuple[str]] = await cursor.fetchall()
        for (id_,) in rows:
            seen.append(id_)
            await _escalate_one(server, id_)
        if len(rows) < _BATCH:
            return


async def _escalate_one(server: Server, observation_id: str) -> None:
    """Make a Task of a result; one that cannot be made keeps none of the others waiting."""
    try:
        async with server.database.transaction() as connection:
            row = await _held(connection, observation_id)
            if row is not None and row.task_id is None:
                await _escalate(server, connection, row)
    except SangamError as error:
        _refused(observation_id, error)


def _refused(observation_id: str, error: SangamError) -> None:
    """Tell the operator; the result stays open, and the next look for what is due tries again."""
    if isinstance(error, Unavailable):  # the database: the job is done again as it is
        raise error
    _log.error("Critical result %s: %s %s", observation_id, type(error).__name__, error.code)


async def _escalate(server: Server, connection: Connection, row: _Awaited) -> None:
    """Make a Task of a request that nobody answers."""
    request = await present(server, connection, _CALLER, _REQUEST, row.request_id)
    # Its answer may be committed, and not yet shown by the feed.
    if request is None or await _is_answered(server, connection, row):
        await _acknowledge(server, connection, row)
        return
    seen = f"Observation/{row.observation_id}"
    task = await write_task(
        server, connection, _CALLER, request, row.request_id, seen, row.recipient
    )
    await connection.execute(_TASK, (task, row.observation_id))
    metrics.critical_escalated.inc()


async def _acknowledge(server: Server, connection: Connection, row: _Awaited) -> None:
    wanted = [("Flag", row.flag_id, "inactive"), (_REQUEST, row.request_id, "completed")]
    if row.task_id is not None:
        wanted.append(("Task", row.task_id, "completed"))
    await end(server, connection, _CALLER, wanted)
    await connection.execute(_ENDED, (row.observation_id,))
