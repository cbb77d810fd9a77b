"""Sessions with a worker's database that one test leaves to the next.

A new one costs PostgreSQL several milliseconds, and as much again until it knows the
catalogue: more than most tests do there. What a session keeps is undone between tests.
"""

from functools import partial
from typing import Any, ClassVar, Self

import psycopg
from psycopg._acompat import ALock
from psycopg.pq import ConnStatus, TransactionStatus
from psycopg_pool import AsyncConnectionPool

from fhir_server import database

MOST = 6
"""Sessions of one kind that are kept."""
_AGAIN = (
    "SET SESSION AUTHORIZATION DEFAULT; RESET ROLE; RESET ALL; UNLISTEN *; DISCARD TEMP;"
    " SELECT pg_advisory_unlock_all()"
)


class Left(psycopg.AsyncConnection[Any]):
    """A connection that is put by when a pool closes it."""

    of: ClassVar[str | None] = None
    """The conninfo whose sessions are kept."""
    kept: ClassVar[dict[str, list["Left"]]] = {}
    kind: str = ""

    @classmethod
    async def connect(cls, conninfo: str = "", **given: Any) -> Self:
        """Take one that was left and still lives, or make one."""
        kind = given.get("options", "") if conninfo == cls.of else ""
        left = cls.kept.get(kind, [])
        while left:
            one = left.pop()
            # It was made, and may have waited, under the event loop of another test.
            one.lock = ALock()
            try:
                await one.execute(_AGAIN)
            except psycopg.Error:
                one.finish()
            else:
                return one
        made = await super().connect(conninfo, **given)
        made.kind = kind
        return made

    async def close(self) -> None:
        """Keep it unless something is under way, or something else is wrong with it."""
        left = self.kept.setdefault(self.kind, [])
        well = self.pgconn.status == ConnStatus.OK
        idle = well and self.pgconn.transaction_status == TransactionStatus.IDLE
        if idle and self.kind and self not in left and len(left) < MOST:
            left.append(self)
        else:
            await super().close()

    def finish(self) -> None:
        """End the session."""
        self._closed = True
        self.pgconn.finish()


def keep(conninfo: str) -> None:
    """From now on let the pools of the product take and leave sessions of this database."""
    Left.of = conninfo
    database.AsyncConnectionPool = partial(AsyncConnectionPool, connection_class=Left)


def end() -> None:
    """Keep none any more."""
    Left.of = None
    forget()


def forget() -> None:
    """End every session that is kept, so that the next is new."""
    for left in Left.kept.values():
        while left:
            left.pop().finish()
