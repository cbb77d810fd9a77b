"""The job that removes what was kept long enough.

What nothing refers to any more goes with its history; AuditEvents go by whole days of their
chain, whose ends stay.
"""

from collections.abc import Sequence
from typing import Any, Final

from fhir_server import jobs
from fhir_server.audit.happening import ERASURE, happened
from fhir_server.audit.record import AUDIT_EVENT
from fhir_server.audit_settings import SIX_YEARS
from fhir_server.caller import trusted
from fhir_server.database import Connection
from fhir_server.interactions import erasure
from fhir_server.server import Server
from fhir_server.store import erase

KIND: Final = "retention"
CALLER: Final = trusted("retention", "worker")
_AT_ONCE: Final = 200

_OLD: Final = """
SELECT r.key FROM resource r
WHERE r.type_id = %(type)s AND r.key > 0
  AND r.last_updated < now() - %(days)s * interval '1 day'
  AND NOT EXISTS (
    SELECT FROM edge e JOIN resource s ON s.key = e.source_key
    WHERE e.target_type = r.type_id AND e.target_id = r.id AND s.type_id <> %(audit)s
      AND e.source_key <> r.key)
ORDER BY r.key LIMIT %(most)s
"""
_OLD_DAYS: Final = """
SELECT day FROM audit_link WHERE day < current_date - %s::int GROUP BY day ORDER BY day LIMIT 1
"""
_OF_DAY: Final = """
WITH gone AS (DELETE FROM audit_link WHERE day = %s RETURNING key)
SELECT DISTINCT key FROM gone
WHERE NOT EXISTS (SELECT FROM audit_link l WHERE l.key = gone.key AND l.day > %s)
"""


def job(hours: float) -> jobs.Job:
    """Return the job, which comes back by itself."""
    return jobs.Job(KIND, {}, KIND, hours * 3_600)


async def run(server: Server, _payload: dict[str, Any]) -> None:
    """Remove what may go, record how much that was, and come back."""
    settings = server.settings.retention
    report: dict[str, int] = {}
    for type_name, days in settings.days.items():
        if type_name == AUDIT_EVENT:
            report[type_name] = await _audit(server, max(days, SIX_YEARS))
        elif type_name in server.definitions.type_ids:
            report[type_name] = await _remove(server, type_name, days)
    async with server.database.transaction() as connection:
        told = [f"{name}: {count}" for name, count in sorted(report.items()) if count]
        if told:
            detail = f"kept long enough: {', '.join(told)}"
            await happened(connection, CALLER, ERASURE, detail=detail)
        await jobs.enqueue(connection, [job(settings.every_hours)])


async def begin(server: Server) -> None:
    """Have the job carried out, where types are named that do not stay for ever."""
    if server.settings.retention.days:
        async with server.database.statement() as connection:
            await jobs.enqueue(connection, [job(0)])


async def _remove(server: Server, type_name: str, days: int) -> int:
    ids = server.definitions.type_ids
    given = {"type": ids[type_name], "audit": ids[AUDIT_EVENT], "days": days, "most": _AT_ONCE}
    count = 0
    while True:
        async with server.database.transaction() as connection:
            rows = await (await connection.execute(_OLD, given)).fetchall()
            await _drop(server, connection, [row[0] for row in rows])
        count += len(rows)
        if len(rows) < _AT_ONCE:
            return count


async def _drop(server: Server, connection: Connection, keys: Sequence[int]) -> None:
    found = await erase.versions(connection, keys)
    await erase.remove(connection, keys)
    await erasure.drop_blobs(server, connection, found.values())


async def _audit(server: Server, days: int) -> int:
    count = 0
    while True:
        async with server.database.keeping() as connection:
            row = await (await connection.execute(_OLD_DAYS, (days,))).fetchone()
            if row is None:
                return count
            rows = await (await connection.execute(_OF_DAY, (row[0], row[0]))).fetchall()
            await erase.remove(connection, [one[0] for one in rows])
            count += len(rows)
