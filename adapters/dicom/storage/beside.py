"""The instance index as a thread beside the event loop writes it."""

import asyncio
from typing import Any

import psycopg

from adapters.dicom.storage.again import Steps, Verdict, again, rejected
from adapters.dicom.storage.index import INSERT, Row, Rules, written
from fhir_server import jobs
from fhir_server.database import Connection, Database

_WAIT_SECONDS = 60.0
_REFUSED = frozenset((Verdict.REJECTED, Verdict.TAKEN))


class Beside:
    """The index, by connections that the loop lends; `add` is not to be called on the loop."""

    def __init__(
        self,
        database: Database,
        loop: asyncio.AbstractEventLoop,
        *,
        quiet_seconds: float,
        rules: Rules,
    ) -> None:
        self._database = database
        self._loop = loop
        self._quiet_seconds = quiet_seconds
        self._rules = rules

    def add(self, row: Row) -> tuple[Verdict, bool]:
        """Do as `Index.add` does."""
        adding = asyncio.run_coroutine_threadsafe(self._add(row), self._loop)
        return adding.result(_WAIT_SECONDS)

    async def _add(self, row: Row) -> tuple[Verdict, bool]:
        values, work = written(row, self._rules, self._quiet_seconds)
        try:
            async with self._database.transaction() as connection:
                cursor = await connection.execute(INSERT, values)
                if cursor.rowcount:
                    await jobs.enqueue(connection, work)
                    return Verdict.STORED, True
                found = await _carried_out(connection, again(values, self._rules.on_conflict))
                if found[0] not in _REFUSED:
                    await jobs.enqueue(connection, row.recorded)
                return found
        except psycopg.errors.NotNullViolation:
            async with self._database.statement() as connection:
                return await _carried_out(connection, rejected(values))


async def _carried_out(connection: Connection, steps: Steps) -> tuple[Verdict, bool]:
    """Execute the statements and return what they end with."""
    row: tuple[Any, ...] | None = None
    while True:
        try:
            sql, values = steps.send(row)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        cursor = await connection.execute(sql, values)
        row = await cursor.fetchone() if cursor.description else None
