"""What is kept of an access or a change until it is an AuditEvent.

A record is a line of JSON, in a row that is written in the transaction of what it tells of,
or committed before an answer is sent. It has no resource in it, only where they are.

https://profiles.ihe.net/ITI/BALP/content.html
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeAlias

import msgspec
from psycopg import Connection as Session
from psycopg import Error

from fhir_server.caller import Caller
from fhir_server.database import Connection, Database
from fhir_server.errors import SangamError, Unavailable

AUDIT_EVENT: Final = "AuditEvent"
SUCCESS, MINOR, SERIOUS = 0, 4, 8
"""Outcomes of an AuditEvent."""

HIDING: Final = frozenset((401, 403, 404, 410))
"""Statuses that keep something from who asked, or hide that it is there."""

_CONFLICT: Final = 409

_INSERT: Final = """
INSERT INTO audit_record (position, said) VALUES (nextval('audit_position'), %s)
"""
# Of the time of a commit, that the next one may wait for more; and seconds that it may at most, as
# a commit may have waited for a lock.
_PATIENCE: Final = 0.5
_LONGEST: Final = 0.005
_AWAY: Final = "The access cannot be recorded, so nothing is shown"


def refuses(status: int, caller: Caller | None) -> bool:
    """Return whether an answer keeps something from who asked, so that it is recorded and counted.

    To who does not see everything a conflict, as of an identifier that another resource has
    alone, tells that there is one.
    """
    restricted = caller is not None and bool(caller.rights.walls)
    return status in HIDING or (status == _CONFLICT and restricted)


class Who(msgspec.Struct, omit_defaults=True):
    """A caller as AuditEvents name him."""

    name: str
    door: str = "rest"
    user: str | None = None
    client: str | None = None
    purpose: str = ""
    token: str | None = None
    address: str | None = None


class Record(msgspec.Struct, omit_defaults=True):
    """What happened: an interaction's code, who, on what request, and to what.

    `places` are [type, id, version] (version 0: the present one), `keys` of resources that
    were shown, `writes` [method, type, id, version]. `happening` is of what is no
    interaction (happening.py), `about` references that it concerns, `detail` its reason.
    `query` is the request's path and query, `asked` what a message asks (peers.py).
    """

    code: str
    who: Who
    outcome: int = SUCCESS
    request: str | None = None
    query: str | None = None
    asked: bytes | None = None
    places: list[tuple[str, str, int]] = []
    keys: list[int] = []
    writes: list[tuple[int, str, str, int]] = []
    happening: str | None = None
    about: list[str] = []
    detail: str | None = None


_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Record)


def who(caller: Caller) -> Who:
    """Return the caller as it is recorded."""
    return Who(
        name=caller.name,
        door=caller.door,
        user=caller.user,
        client=caller.client,
        purpose=caller.purpose,
        token=caller.token,
        address=caller.address,
    )


def written(record: Record) -> str:
    """Return the text of a record; no null character, which PostgreSQL's texts cannot hold."""
    return _encoder.encode(record).decode().replace("\\u0000", "\\ufffd")


def read(said: str) -> list[Record]:
    """Return the records of a row, which are a line each."""
    return _decoder.decode_lines(said)


def of_writes(caller: Caller, writes: Iterable[tuple[int, str, str, int]]) -> str | None:
    """Return the record of (method, type, id, version) that a caller writes.

    None where there is nothing but AuditEvents, of which no further ones are made.
    """
    found = [one for one in writes if one[1] != AUDIT_EVENT]
    if not found:
        return None
    trail = caller.trail
    request = trail.request if trail else None
    return written(Record("write", who(caller), request=request, writes=found))


async def keep(connection: Connection, said: Sequence[str]) -> None:
    """Write records as one row, in the caller's transaction if there is one."""
    await connection.execute(_INSERT, ("\n".join(said),))


def keep_beside(session: Session[tuple[Any, ...]], said: Sequence[str]) -> None:
    """Write records as `keep` does, from a thread."""
    session.execute(_INSERT, ("\n".join(said),))


class Recorder:
    """Commits the records of requests: those that come while it commits go together by the next.

    What goes together is one row, as a row for each would cost more than all else of it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[_Waiting] = []
        self._committing: asyncio.Task[None] | None = None
        self._expected, self._took = 1, 0.0
        self._all_there = asyncio.Event()

    async def keep(self, records: Sequence[Record]) -> None:
        """Return when the records are on disk; Unavailable when they cannot be."""
        said = [written(one) for one in records]
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((said, kept))
        if len(self._waiting) >= self._expected:
            self._all_there.set()
        if self._committing is None:
            # It begins when all that is ready to run now has had its turn, and may have come.
            self._committing = asyncio.create_task(self._commit())
        if not await kept:
            raise Unavailable(_AWAY, headers={"Retry-After": "1"})

    async def _commit(self) -> None:
        try:
            while self._waiting:
                await self._gather()
                batch, self._waiting = self._waiting, []
                began = time.perf_counter()
                await _commit(self._database, batch)
                self._took = time.perf_counter() - began
                self._expected = len(batch) + len(self._waiting)
        finally:
            # Only who ends the process leaves any.
            left, self._waiting, self._committing = self._waiting, [], None
            _tell(left, kept=False)

    async def _gather(self) -> None:
        """Wait for as many as came of late, for half of the time that a commit took.

        Who has just been answered asks again, and else would wait for the commit of the others
        who came meanwhile: two would take turns, each with half of all.
        """
        if len(self._waiting) >= self._expected:
            return
        self._all_there.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(min(_LONGEST, self._took * _PATIENCE)):
                await self._all_there.wait()


_Waiting: TypeAlias = tuple[list[str], "asyncio.Future[bool]"]


async def _commit(database: Database, batch: Sequence[_Waiting]) -> None:
    """Commit a batch, and tell each who waits for it whether that was done."""
    kept = False
    try:
        # Who reads does not wait for who writes.
        async with database.aside() as connection:
            await keep(connection, [one for said, _ in batch for one in said])
        kept = True
    except (Error, SangamError):
        # It may be committed all the same; nothing is shown of what may not be.
        pass
    finally:
        _tell(batch, kept=kept)


def _tell(batch: Sequence[_Waiting], *, kept: bool) -> None:
    for _, waiting in batch:
        if not waiting.done():  # who asked may have gone
            waiting.set_result(kept)
