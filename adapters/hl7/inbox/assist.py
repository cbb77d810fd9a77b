"""The life of a process that only helps to turn messages into FHIR resources.

The job (inbox/process) sees to it that all is processed, and how many help it makes no
difference but to the time that it takes.

https://www.postgresql.org/docs/current/sql-listen.html
"""

import asyncio
import logging
from contextlib import suppress
from typing import Final

import psycopg

from adapters.hl7.inbox.process import drain
from fhir_server import jobs
from fhir_server.background import end
from fhir_server.database import Connection
from fhir_server.errors import Unavailable
from fhir_server.server import Server

# Without a notification it looks so often, in seconds: some may have come before it listened.
_POLL: Final = 5.0
# After a failure it waits so long, while the job goes on.
_PAUSE: Final = 1.0

_ANY: Final = """
SELECT EXISTS (
    SELECT FROM hl7_message WHERE state = 'stored' AND coalesce(next_attempt <= now(), true)
)
"""

_log = logging.getLogger(__name__)


async def assist(server: Server, stop: asyncio.Event) -> None:
    """Process stored messages whenever some may have come, until `stop` is set."""
    working = asyncio.create_task(_live(server))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
    await end((working, stopped))
    with suppress(asyncio.CancelledError):
        await working


async def _live(server: Server) -> None:
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(
                server.database.conninfo, autocommit=True
            ) as connection:
                await _follow(server, connection)
        except (psycopg.OperationalError, Unavailable):
            _log.warning("the database is away, the mapper waits for it")
        except Exception as error:  # noqa: BLE001  (it is the job that tells of it, and tries again)
            _log.warning("the messages are left to the job: %s", type(error).__name__)
        await asyncio.sleep(_PAUSE)


async def _follow(server: Server, connection: Connection) -> None:
    """Process what is there, and again after each word of new jobs."""
    await jobs.listen(connection)
    while True:
        # Most jobs are of other kinds.
        cursor = await connection.execute(_ANY)
        if await cursor.fetchone() == (True,):
            await drain(server)
        async for _ in connection.notifies(timeout=_POLL, stop_after=1):
            pass
