"""What is kept of an access or a change until it is an AuditEvent.

A record is a row of JSON, written in the transaction of what it tells of, or committed
before an answer is sent. It has no resource in it, only where they are.

https://profiles.ihe.net/ITI/BALP/content.html
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from psycopg import Error

from fhir_server.caller import Caller
from fhir_server.database import Connection, Database
from fhir_server.errors import SangamError, Unavailable

AUDIT_EVENT: Final = "AuditEvent"
SUCCESS, MINOR, SERIOUS = 0, 4, 8
"""Outcomes of an AuditEvent."""

HIDING: Final = frozenset((401, 403, 404, 410))
"""Statuses that keep something from who asked, or hide that it is there."""

_INSERT: Final = """
INSERT INTO audit_record (position, said)
SELECT nextval('audit_position'), said FROM unnest(%s::text[]) AS s(said)
"""
_AWAY: Final = "The access cannot be recorded, so nothing is shown"


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
    `query` is the request's path and query.
    """

    code: str
    who: Who
    outcome: int = SUCCESS
    request: str | None = None
    query: str | None = None
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


def read(said: str) -> Record:
    """Return the record of a text."""
    return _decoder.decode(said)


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
    """Write records, in the caller's transaction if there is one."""
    await connection.execute(_INSERT, (list(said),))


class _Batch:
    """Records that are to be committed together."""

    __slots__ = ("done", "said")

    def __init__(self) -> None:
        self.said: list[str] = []
        self.done = False


class Recorder:
    """Commits the records of requests, those that come at one time by one statement."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open = _Batch()
        self._one_at_a_time = asyncio.Lock()

    async def keep(self, records: Sequence[Record]) -> None:
        """Return when the records are on disk; Unavailable when they cannot be."""
        batch = self._open
        batch.said += map(written, records)
        async with self._one_at_a_time:
            if batch.done:
                return
            if batch is self._open:
                self._open = _Batch()
            # After a failure each of the batch tries for itself; twice told is no harm.
            await _commit(self._database, batch.said)
            batch.done = True


async def _commit(database: Database, said: Sequence[str]) -> None:
    try:
        async with database.statement() as connection:
            await keep(connection, said)
    except (Error, SangamError) as error:
        raise Unavailable(_AWAY, headers={"Retry-After": "1"}) from error
