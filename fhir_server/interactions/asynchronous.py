"""Asynchronous requests: taken now, carried out by a worker, asked after by the client.

Nothing is carried out twice, whenever a worker is killed: what a batch's entry
writes and the note of it are one transaction, as are what a transaction Bundle
writes and its answer. A request of which there is no note has done nothing.

https://hl7.org/fhir/R5/async-bundle.html
"""

import secrets
from dataclasses import dataclass, replace
from typing import Any

from fhir_server import jobs
from fhir_server.access import binding
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import NotFound, SangamError, Throttled, Unavailable
from fhir_server.jobs import Job
from fhir_server.server import Server
from fhir_server.store import asynchronous as store
from fhir_server.store.asynchronous import Answered, Deferred, State

CARRY_OUT = "asynchronous.request"
SWEEP = "asynchronous.sweep"
# A request that brought so many workers to fall, or failed so often, will not do better.
TRIES = 5
# What has expired at the same moment is swept at once.
_SWEEP_SECONDS = 60.0
_ALL = "all"
# A client's clock and the network make a poll come a little early.
_EARLY = 0.5


class Ended(Exception):
    """The request was cancelled, or another worker has carried it out."""


@dataclass(slots=True)
class Ledger:
    """The notes of a request under way: what of it is done, in the transaction that did it."""

    server: Server
    id: str
    attempts: int

    def tries_again(self, error: Exception) -> bool:
        """Whether a fault is a reason to try again later; else, or in the end, it is the answer."""
        if isinstance(error, Unavailable):
            may_pass = error.issues[0].code == Unavailable.code
        else:
            may_pass = not isinstance(error, SangamError)
        return may_pass and self.attempts < TRIES

    async def expect(self, entries: int) -> None:
        """Tell how many entries there are."""
        async with self.server.database.statement() as connection:
            await store.expect(connection, self.id, entries)

    async def noted(self, connection: Connection, index: int) -> bytes | None:
        """Return what became of an entry, None when it is yet to be carried out."""
        return await store.noted(connection, self.id, index)

    async def note(self, connection: Connection, index: int, answer: bytes) -> None:
        """Write, as the last thing of its transaction, what became of an entry.

        Ended rolls the transaction back when the request was cancelled.
        """
        if not await store.note(connection, self.id, index, answer):
            raise Ended
        self.attempts = 0

    async def note_alone(self, index: int, answer: bytes) -> None:
        """Write what became of an entry that wrote nothing."""
        async with self.server.database.statement() as connection:
            if await store.noted(connection, self.id, index) is None:
                await self.note(connection, index, answer)

    async def finish(self, connection: Connection, answered: Answered) -> None:
        """Write the answer, as the last thing of the transaction that it tells of; or Ended."""
        keep = self.server.settings.asynchronous.keep_seconds
        if not await store.finish(connection, self.id, answered, keep=keep):
            raise Ended


async def accept(server: Server, caller: Caller, request: Deferred) -> None:
    """Take a request durably, as the caller's; Throttled when it has too many that wait."""
    settings = server.settings.asynchronous
    async with server.database.transaction() as connection:
        lane = await store.add(
            connection,
            replace(request, caller=binding.of(caller)),
            lanes=settings.lanes,
            most=settings.max_waiting,
            keep=settings.keep_seconds,
        )
        if lane is None:
            text = f"{settings.max_waiting} asynchronous requests of yours wait already"
            raise Throttled(text, headers={"Retry-After": "60"})
        work = Job(CARRY_OUT, {"lane": lane}, dedupe_key=str(lane))
        later = settings.keep_seconds + _SWEEP_SECONDS
        await jobs.enqueue(connection, [work, Job(SWEEP, {}, _ALL, delay_seconds=later)])


def new_request_id() -> str:
    """Return the name of a request in its status URL, which nobody can guess."""
    return secrets.token_urlsafe(24)


async def begin(server: Server, lane: int) -> tuple[Deferred, Ledger] | None:
    """Return the next request of a lane with its ledger, None when none waits."""
    async with server.database.statement() as connection:
        found = await store.begin(connection, lane)
    return None if found is None else (found, Ledger(server, found.id, found.attempts))


async def finish(server: Server, id_: str, answered: Answered) -> None:
    """Write the answer of a request, unless it has one or is gone."""
    keep = server.settings.asynchronous.keep_seconds
    async with server.database.statement() as connection:
        await store.finish(connection, id_, answered, keep=keep)


async def poll(server: Server, caller: Caller, id_: str) -> State:
    """Return how far a request of this caller is.

    NotFound when there is none, or none any more; Throttled when the caller asked a
    moment ago.
    """
    pause = server.settings.asynchronous.poll_seconds
    async with server.database.statement() as connection:
        state = await store.poll(connection, id_, binding.of(caller), pause=pause * _EARLY)
    if state is None:
        raise _unknown()
    if state.hasty:
        raise Throttled("The status is asked for too often", headers=retry(server))
    return state


def retry(server: Server) -> dict[str, str]:
    """Return the header that tells when to poll again."""
    return {"Retry-After": str(max(1, round(server.settings.asynchronous.poll_seconds)))}


async def cancel(server: Server, caller: Caller, id_: str) -> None:
    """Forget a request and its answer; what is yet to be done of it is not done."""
    async with server.database.statement() as connection:
        if not await store.remove(connection, id_, binding.of(caller)):
            raise _unknown()


def _unknown() -> NotFound:
    return NotFound("There is no such asynchronous request, or its answer has expired")


async def sweep(server: Server, _: dict[str, Any]) -> None:
    """Remove what has expired, and come back when something else will have."""
    async with server.database.transaction() as connection:
        seconds = await store.sweep(connection)
        if seconds is not None:
            again = Job(SWEEP, {}, _ALL, delay_seconds=seconds + _SWEEP_SECONDS)
            await jobs.enqueue(connection, [again])
