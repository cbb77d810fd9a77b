"""What an operator sees at a glance."""

from typing import Any

import psutil
from rich.console import Group, RenderableType
from rich.table import Table

from fhir_server import feed_readers
from fhir_server.database import Connection, Database
from fhir_server.main import catching_up, walls
from fhir_server.main.databases import Running
from fhir_server.main.sealing import facts as sealed

_JOBS = "SELECT kind, state, count(*), min(created_at) FROM job GROUP BY 1, 2 ORDER BY 1, 2"
_INBOX = "SELECT state, coalesce(reason, ''), count(*) FROM hl7_message GROUP BY 1, 2 ORDER BY 1, 2"
_LAG = """
SELECT count(*), coalesce(extract(epoch FROM now() - min(at)), 0)
FROM change WHERE feed_xid >= pg_snapshot_xmin(pg_current_snapshot())
"""
# A negative key is that of a resource contained in another.
_SIZE = """
SELECT count(*), pg_size_pretty(pg_database_size(current_database())) FROM resource WHERE key > 0
"""
_CONNECTIONS = """
SELECT count(*), current_setting('max_connections') FROM pg_stat_activity
WHERE datname = current_database()
"""


async def overview(database: Database, server: Running | None) -> RenderableType:
    """Return tables of the processes, resources, jobs, messages and the feed."""
    async with database.connection() as connection:
        (resources, size), *_ = await _rows(connection, _SIZE)
        (waiting, lag), *_ = await _rows(connection, _LAG)
        facts = Table("what", "value", title="Sangam")
        facts.add_row("base", server.base if server else "not running")
        for name, port in (server.ports if server else {}).items():
            facts.add_row(f"{name} port", str(port))
        facts.add_row("resources", f"{resources:,}")
        facts.add_row("database", size)
        (open_, most), *_ = await _rows(connection, _CONNECTIONS)
        facts.add_row("connections", f"{open_} of {most}")
        facts.add_row("second wall", await walls.second_wall(connection))
        for name, value in await sealed(connection):
            facts.add_row(name, value)
        facts.add_row("change feed", f"{waiting} not yet visible, oldest {lag:.1f} s")
        for name, seconds in await feed_readers.lags(connection):
            facts.add_row(f"read by {name}", f"{seconds:.1f} s behind")
        for what, how in catching_up.told(await catching_up.look(connection)):
            facts.add_row(what, how)
        jobs = Table("kind", "state", "jobs", "oldest", title="Jobs")
        for kind, state, count, oldest in await _rows(connection, _JOBS):
            jobs.add_row(kind, state, str(count), f"{oldest:%Y-%m-%d %H:%M:%S}")
        inbox = Table("state", "reason", "messages", title="HL7 v2 inbox")
        for state, reason, count in await _rows(connection, _INBOX):
            inbox.add_row(state, reason, str(count))
    return Group(facts, _processes(server), jobs, inbox)


def _processes(server: Running | None) -> Table:
    table = Table("process", "pid", "memory", title="Processes")
    for name, pid in ({"supervisor": server.pid, **server.children} if server else {}).items():
        try:
            memory = f"{psutil.Process(pid).memory_info().rss / 2**20:.0f} MB"
        except psutil.NoSuchProcess:
            memory = "gone"
        table.add_row(name, str(pid), memory)
    return table


async def _rows(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(sql)
    return await cursor.fetchall()
