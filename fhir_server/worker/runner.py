"""The life of a worker: it publishes what is due and carries out what it is given.

Any number of workers may live; jobs.py tells how they keep out of each other's way.
"""

import asyncio
import logging
import secrets
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg

from fhir_server import jobs
from fhir_server.background import end
from fhir_server.database import Connection
from fhir_server.errors import Unavailable
from fhir_server.server import Server
from fhir_server.worker import metrics
from fhir_server.worker.broker import Broker

Function = Callable[[Server, dict[str, Any]], Awaitable[None]]

POLL_SECONDS = 1.0
ADOPT_SECONDS = 5.0
# What is under way when the worker is told to stop has this long to finish.
GRACE_SECONDS = 4.0

log = logging.getLogger(__name__)


async def work(
    server: Server, functions: Mapping[str, Function], broker_url: str, stop: asyncio.Event
) -> None:
    """Carry out jobs until `stop` is set; `functions` tells which kind is which function."""
    async with carrying(broker_url) as carrier:
        await carrier.work(server, functions, stop)


@asynccontextmanager
async def carrying(broker_url: str) -> AsyncIterator["Carrier"]:
    """Lend the carrier of this process's jobs, while it takes ids from the broker."""
    carrier = Carrier(broker_url)
    await asyncio.to_thread(carrier.broker.start)
    try:
        yield carrier
    finally:
        await asyncio.to_thread(carrier.broker.stop, GRACE_SECONDS)


class Carrier:
    """The broker of a process, and the workers for which it takes ids: one of each tenant."""

    def __init__(self, broker_url: str) -> None:
        self.workers: dict[str, Worker] = {}
        self.loop = asyncio.get_running_loop()
        self.broker = Broker(broker_url, self.called)

    async def work(
        self, server: Server, functions: Mapping[str, Function], stop: asyncio.Event
    ) -> None:
        """Carry out the jobs of the server's tenant until `stop` is set."""
        worker = self.workers[server.tenant] = Worker(server, functions, self.broker)
        try:
            while not stop.is_set():
                try:
                    await worker.live(stop)
                except (psycopg.OperationalError, Unavailable):
                    log.warning("the database is away, the worker waits for it")
                    await asyncio.sleep(POLL_SECONDS)
        finally:
            del self.workers[server.tenant]

    def called(self, id_: int, tenant: str) -> None:
        """Carry out a job; runs in a thread of Celery's and waits for the end.

        The id of a tenant that this process does not serve is dropped: it is published again.
        """
        worker = self.workers.get(tenant)
        if worker is not None:
            with suppress(asyncio.CancelledError):
                asyncio.run_coroutine_threadsafe(worker.taken(id_), self.loop).result()


class Worker:
    """One worker: its number, what it runs now, and its broker."""

    def __init__(self, server: Server, functions: Mapping[str, Function], broker: Broker) -> None:
        self.server = server
        self.functions = functions
        self.number = 0
        self.numbered = asyncio.Event()
        self.known: dict[int, asyncio.Task[None]] = {}
        self.wake = asyncio.Event()
        self.broker = broker

    async def live(self, stop: asyncio.Event) -> None:
        """Work under one number for as long as its connection lives, or until `stop`.

        Raises what ended the connection.
        """
        connection = await psycopg.AsyncConnection.connect(
            self.server.database.conninfo, autocommit=True
        )
        loops: list[asyncio.Task[Any]] = []
        try:
            number = secrets.randbelow(1 << 31)
            await jobs.take_number(connection, number)
            self.number = number
            self.numbered.set()
            await jobs.listen(connection)
            if self.broker.starts_empty:
                await jobs.forget_published(connection)
            loops = [
                asyncio.create_task(coroutine)
                for coroutine in (self.listen(connection), self.publish(), self.adopt())
            ]
            ended = asyncio.create_task(stop.wait())
            done, _ = await asyncio.wait([*loops, ended], return_when="FIRST_COMPLETED")
            ended.cancel()
            for task in done:
                task.result()
            await self.drain()
        finally:
            self.numbered.clear()
            await end((*loops, *self.known.values()))
            await connection.close()

    async def drain(self) -> None:
        """Give what is under way a little time to finish."""
        if self.known:
            await asyncio.wait(self.known.values(), timeout=GRACE_SECONDS)

    async def listen(self, connection: Connection) -> None:
        """Wake the publisher at each notification."""
        async for _ in connection.notifies():
            self.wake.set()

    async def publish(self) -> None:
        """Send to the broker what is due, at each notification and at least each second."""
        while True:
            self.wake.clear()
            async with self.server.database.statement() as connection:
                ids = await jobs.publish_due(connection)
                sent = await self.sent(ids)
                if sent < len(ids):
                    log.warning("the broker took %d of %d jobs", sent, len(ids))
                    await jobs.unpublish(connection, ids[sent:])
                    pause = POLL_SECONDS
                else:
                    pause = await jobs.seconds_to_next(connection) or POLL_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(min(pause, POLL_SECONDS)):
                    await self.wake.wait()

    async def sent(self, ids: list[int]) -> int:
        """Send the ids to the broker and return how many it took."""
        if not ids:
            return 0
        return await asyncio.to_thread(self.broker.publish, ids, self.server.tenant)

    async def adopt(self) -> None:
        """Make ready again, every few seconds, what workers left that no longer live."""
        while True:
            if not self.broker.takes:
                raise RuntimeError("Celery's consumer ended")
            async with self.server.database.statement() as connection:
                adopted = await jobs.adopt(connection, self.number, self.known)
            if adopted:
                log.warning("%d jobs of workers that ended are ready again", adopted)
                self.wake.set()
            await asyncio.sleep(ADOPT_SECONDS)

    async def taken(self, id_: int) -> None:
        """Carry out a job unless it is under way here already."""
        if id_ in self.known:
            return
        task = asyncio.create_task(self.carry_out(id_))
        self.known[id_] = task
        try:
            await asyncio.wait([task])
        finally:
            del self.known[id_]
            self.wake.set()

    async def carry_out(self, id_: int) -> None:
        """Claim, run, and finish or fail a job.

        When the database is away after the claim, the job is adopted later. What is
        claimed under a number that no lock holds yet would be adopted at once.
        """
        await self.numbered.wait()
        database = self.server.database
        with suppress(Unavailable):
            async with database.statement() as connection:
                claimed = await jobs.claim(connection, id_, self.number)
            if claimed is None:
                return
            error = await self.run(claimed)
            async with database.statement() as connection:
                if error is None:
                    await jobs.finish(connection, id_, self.number)
                else:
                    await jobs.fail(connection, id_, self.number, error)

    async def run(self, claimed: jobs.Claimed) -> str | None:
        """Run the job's function and return why it failed, None when it did not."""
        function = self.functions.get(claimed.kind)
        if function is None:
            return "No function of this kind"
        started = time.perf_counter()
        try:
            await function(self.server, claimed.payload)
        except Exception as error:  # noqa: BLE001  (whatever a job raises, it is tried again)
            reason = where(error)
            log.warning("job %d %s failed: %s", claimed.id, claimed.kind, reason)
            metrics.jobs.labels(claimed.kind, "failed").inc()
            return reason
        metrics.jobs.labels(claimed.kind, "done").inc()
        metrics.job_seconds.labels(claimed.kind).observe(time.perf_counter() - started)
        return None


def where(error: BaseException) -> str:
    """Return type and place of an error; its message might quote a patient."""
    frames = traceback.extract_tb(error.__traceback__)
    last = f" at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{last}"
