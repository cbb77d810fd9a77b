"""The job that turns stored messages into FHIR resources.

Messages are taken in the order of receipt; those of one patient never overtake
one another, those of others are written side by side, by any number of processes. A
merge is a barrier for both of its patients.
"""

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from adapters.hl7.inbox import retention, turns
from adapters.hl7.inbox.apply import Work, apply, begin
from adapters.hl7.inbox.lanes import Choice, Line, choose
from adapters.hl7.inbox.receive import JOB
from fhir_server.database import Connection
from fhir_server.jobs import Job, enqueue
from fhir_server.server import Server

_GROUP_BYTES: Final = 32 << 20  # a message may have 64 MiB: at least one is taken
# What another process writes is looked for so often, in seconds, when all else waits for it.
_PAUSE: Final = 0.01
# What another process had is asked for again after so many seconds: it may be gone.
_DOUBT: Final = 1.0

# While answers come first, groups that took a second are followed by three of rest, of which
# there are at most so many in one piece.
_REST: Final = 3.0
_LONGEST_REST: Final = 1.0
# It is asked after so much work, in seconds, whether answers come first.
_STRETCH: Final = 0.05

_CAME: Final = """
SELECT count(*) FROM (
    SELECT FROM hl7_message WHERE received_at > now() - interval '1 second' LIMIT %s
) AS came
"""

_LEFT: Final = """
SELECT EXISTS (
    SELECT FROM hl7_message WHERE state = 'stored'
    AND coalesce(next_attempt <= now(), true) AND id <> ALL(%s::bigint[])
), (
    SELECT min(next_attempt) FROM hl7_message WHERE state = 'stored' AND next_attempt > now()
), now()
"""


async def run(server: Server, payload: dict[str, object]) -> None:  # noqa: ARG001  (a job's form)
    """Process all stored messages that are due.

    Other processes may do the same: what they have begun is waited for. When messages wait
    for another try, the job comes back for the first of them.
    """
    while True:
        due, wait = await _left(server, await drain(server))
        if not due:
            break
    async with server.database.statement() as connection:
        again = [Job(JOB.kind, {}, JOB.dedupe_key, delay_seconds=wait)] if wait else []
        await enqueue(connection, [*again, retention.JOB])


async def _left(server: Server, blocked: Collection[int]) -> tuple[bool, float]:
    """Return whether a message came that can be taken now, and the seconds to the next try."""
    async with server.database.connection() as connection:
        cursor = await connection.execute(_LEFT, (list(blocked),))
        row = await cursor.fetchone()
    assert row is not None
    due, again, now = row
    return bool(due), max(0.01, (again - now).total_seconds()) if again else 0.0


@dataclass(slots=True)
class _Lanes:
    """Groups that are being written side by side by this process.

    `elsewhere` are messages that other processes had at the time `asked`. `after` is the
    last message that this pass leaves, with all before it, to its time; `blocked` are the
    claims of these, and `left` those that wait behind them.
    """

    work: Work
    claiming: Connection
    flying: dict[asyncio.Task[set[str]], list[int]] = field(default_factory=dict)
    elsewhere: set[int] = field(default_factory=set)
    asked: float = 0.0
    after: int = 0
    blocked: set[str] = field(default_factory=set)
    left: set[int] = field(default_factory=set)
    rested: float = field(default_factory=time.monotonic)
    holding: Mapping[str, int] = field(default_factory=dict)

    @property
    def server(self) -> Server:
        """The server of the work."""
        return self.work.server

    async def step(self) -> bool:
        """Start a group, or wait for one that ends; return False when nothing is left to do."""
        await self._rest()
        found = await turns.line(self.server, self.claiming, self.after)
        choice = await self._claimed(Line(found, self.blocked, self.holding))
        if choice.group:
            await self._start([place.id for place in choice.group])
            if len(self.flying) >= self.server.settings.hl7.workers:
                await self._land()
        elif choice.busy:
            await self._land(_PAUSE if self.elsewhere or not self.flying else None)
            self._ask_again()
        else:
            self.after, self.blocked = choice.passed or self.after, choice.blocked
            self.left |= choice.left
            return len(found) == turns.WINDOW
        return True

    async def _rest(self) -> None:
        """Let those who wait for an answer have the machine while very many messages come."""
        burst, worked = self.server.settings.hl7.burst_messages, time.monotonic() - self.rested
        if not burst or worked < _STRETCH:
            return
        cursor = await self.claiming.execute(_CAME, (burst,))
        if await cursor.fetchone() == (burst,):
            await asyncio.sleep(rest(worked))
        self.rested = time.monotonic()

    async def _claimed(self, line: Line) -> Choice:
        """Return the next group that nobody else has."""
        if time.monotonic() - self.asked > _DOUBT:
            self._ask_again()
        while True:
            own = {id_ for ids in self.flying.values() for id_ in ids}
            size = self.server.settings.hl7.batch_messages
            choice = choose(line, own | self.elsewhere, most=size, most_bytes=_GROUP_BYTES)
            if not choice.group:
                return choice
            wanted = [place.id for place in choice.group]
            won = set(await turns.claim(self.claiming, wanted))
            self.elsewhere.update(id_ for id_ in wanted if id_ not in won)
            won -= await self._met(line, won)
            if won:
                choice.group = [place for place in choice.group if place.id in won]
                return choice

    async def _met(self, line: Line, won: Collection[int]) -> set[int]:
        """Give up what would meet a later message that another process has; return that.

        A replayed message comes before those that were taken while it was not in the line.
        """
        others = await turns.elsewhere(self.claiming) & {place.id for place in line.places}
        self.elsewhere |= others
        held = {one for place in line.places if place.id in others for one in place.claims.holds}
        met = [one.id for one in line.places if one.id in won and one.claims.waits & held]
        await turns.release(self.claiming, met)
        return set(met)

    def _ask_again(self) -> None:
        self.elsewhere.clear()
        self.asked = time.monotonic()

    async def _start(self, ids: Sequence[int]) -> None:
        """Write messages beside the others; what another process has finished since is left out."""
        rows = await turns.load(self.server, ids)
        self.flying[asyncio.create_task(apply(self.work, rows))] = list(ids)

    async def _land(self, seconds: float | None = None) -> None:
        """Wait until one of the groups is written, or for a while."""
        if not self.flying:
            await asyncio.sleep(seconds or 0)
            return
        landed, _ = await asyncio.wait(
            self.flying, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
        )
        for task in landed:
            ids = self.flying.pop(task)
            task.result()
            await turns.release(self.claiming, ids)
        if landed and self.server.settings.hl7.on_dead == "hold":
            self.holding = await turns.holding(self.server, self.claiming)

    async def abandon(self) -> None:
        """Let go of what is being written; what is not committed stays stored."""
        for task in self.flying:
            task.cancel()
        await asyncio.gather(*self.flying, return_exceptions=True)
        await turns.release_all(self.claiming)


def rest(worked: float) -> float:
    """Return how long to rest after so much work while answers come first; both in seconds."""
    return min(_REST * worked, _LONGEST_REST)


async def drain(server: Server) -> set[int]:
    """Process what is stored until nothing can be taken; return what waits behind others."""
    work = await begin(server)
    async with server.database.statement() as claiming:
        lanes = _Lanes(work, claiming, holding=await turns.holding(server, claiming))
        try:
            while await lanes.step():
                pass
        finally:
            await lanes.abandon()
    return lanes.left
