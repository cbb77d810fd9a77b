"""The job that sees to it that critical results are acknowledged.

A result is acknowledged when its CommunicationRequest is completed by REST, or when a
completed Communication is based on it. While any is awaited the job comes back.

https://hl7.org/fhir/R4/communication-definitions.html#Communication.basedOn
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from adapters.hl7 import metrics
from adapters.hl7.laboratory.critical import FOLLOW, end, present, write_task
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.interactions.search import search_on
from fhir_server.jobs import Job, enqueue
from fhir_server.r4 import json
from fhir_server.server import Server

_BATCH: Final = 50
_PAGE: Final = "1000"
_CALLER: Final = Caller("hl7", "worker")
_REQUEST: Final = "CommunicationRequest"

# A message that changes one at this moment is not waited for; the next look finds it.
_OPEN: Final = """
SELECT observation_id, flag_id, request_id, task_id, recipient, raised_at
FROM hl7_critical WHERE state = 'open' AND (raised_at, observation_id) > (%s, %s)
ORDER BY raised_at, observation_id LIMIT %s FOR UPDATE SKIP LOCKED
"""
_ENDED: Final = """
UPDATE hl7_critical SET state = 'acknowledged', ended_at = now() WHERE observation_id = %s
"""
_TASK: Final = """
UPDATE hl7_critical SET task_id = %s, escalated_at = now() WHERE observation_id = %s
"""
_WAITING: Final = "SELECT EXISTS (SELECT FROM hl7_critical WHERE state = 'open')"

_Row = tuple[str, str, str, str | None, str | None, datetime]


async def run(server: Server, payload: dict[str, object]) -> None:  # noqa: ARG001  (a job's form)
    """Close what was acknowledged, escalate what was not, and come back while any is open."""
    after: tuple[datetime, str] = (datetime.min.replace(tzinfo=UTC), "")
    while True:
        async with server.database.transaction() as connection:
            cursor = await connection.execute(_OPEN, (*after, _BATCH))
            rows: list[_Row] = await cursor.fetchall()
            if rows:
                await _see_to(server, connection, rows)
        if len(rows) < _BATCH:
            break
        after = (rows[-1][5], rows[-1][0])
    async with server.database.transaction() as connection:
        row = await (await connection.execute(_WAITING)).fetchone()
        if row == (True,):
            later = server.settings.hl7.critical_poll_seconds
            await enqueue(connection, [Job(FOLLOW, {}, FOLLOW, delay_seconds=later)])


async def _see_to(server: Server, connection: Connection, rows: Sequence[_Row]) -> None:
    requests = [row[2] for row in rows]
    # Who ended the request in another way has seen it, too.
    answered = await _answered(server, connection, requests)
    answered |= await _ended(server, connection, requests)
    for row in rows:
        if row[2] in answered:
            await _acknowledge(server, connection, row)
        elif row[3] is None and _is_late(server, row[5]):
            await _escalate(server, connection, row)


async def _escalate(server: Server, connection: Connection, row: _Row) -> None:
    """Make a Task of a request that nobody answers; one that was deleted awaits no answer."""
    request = await present(server, connection, _CALLER, _REQUEST, row[2])
    if request is None:
        await _acknowledge(server, connection, row)
        return
    owner = {"reference": row[4]} if row[4] else None
    task = await write_task(server, connection, _CALLER, request, row[2], owner)
    await connection.execute(_TASK, (task, row[0]))
    metrics.critical_escalated.inc()


def _is_late(server: Server, raised: datetime) -> bool:
    seconds = server.settings.hl7.critical_escalation_seconds
    return bool(seconds) and datetime.now(UTC) - raised >= timedelta(seconds=seconds)


async def _ended(server: Server, connection: Connection, requests: Sequence[str]) -> set[str]:
    """Return those of the requests that somebody has ended."""
    ended = "completed,revoked,entered-in-error"
    pairs = [("_id", ",".join(requests)), ("status", ended), ("_elements", "status")]
    return {one["id"] for one in await _found(server, connection, _REQUEST, pairs)}


async def _answered(server: Server, connection: Connection, requests: Sequence[str]) -> set[str]:
    """Return those of the requests on which a completed Communication is based."""
    asked = ",".join(f"{_REQUEST}/{id_}" for id_ in requests)
    pairs = [("based-on", asked), ("status", "completed"), ("_elements", "basedOn")]
    return {
        based["reference"].rpartition("/")[2]
        for one in await _found(server, connection, "Communication", pairs)
        for based in one.get("basedOn", ())
        if based.get("reference", "").rpartition("/")[0].endswith(_REQUEST)
    }


async def _found(
    server: Server, connection: Connection, kind: str, pairs: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Return the first page of a search; what is on no page is found at the next look."""
    page = await search_on(server, connection, _CALLER, kind, [*pairs, ("_count", _PAGE)])
    entries = json.decode(page).get("entry", ())
    return [one["resource"] for one in entries if one["resource"]["resourceType"] == kind]


async def _acknowledge(server: Server, connection: Connection, row: _Row) -> None:
    wanted = [("Flag", row[1], "inactive"), (_REQUEST, row[2], "completed")]
    if row[3] is not None:
        wanted.append(("Task", row[3], "completed"))
    await end(server, connection, _CALLER, wanted)
    await connection.execute(_ENDED, (row[0],))
