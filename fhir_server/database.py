"""Connections to PostgreSQL.

psycopg executes; SQLAlchemy only declares and composes (docs/architecture.md).
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from fhir_server.errors import Unavailable

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

# Parallel workers take longer to start than a search may last, and the cores have other
# connections to serve.
SESSION = (
    "-c jit=off -c timezone=UTC -c idle_in_transaction_session_timeout=60s"
    " -c max_parallel_workers_per_gather=0"
)
# Searches run with `prepare=False`, each planned for its own values. Planning the one statement
# of a write takes longer than running it, and PostgreSQL, left to choose, plans it anew each
# time (docs/decisions/0002).
GENERIC = f"{SESSION} -c plan_cache_mode=force_generic_plan"

OWN = "hashtextextended(current_schema, 0)"
"""SQL of what tells the advisory locks of tenants apart, to be combined with `#`.

Such locks belong to the database and know no schemas: two tenants that count their
messages from 1 would wait for each other.
"""

ASIDE = 2
"""Connections for a word aside, fewer beside small pools."""


class Database:
    """Pools of asynchronous connections: for reading, for writing, and for a word aside.

    They differ in how long a statement may take (seconds).
    """

    def __init__(
        self,
        conninfo: str,
        *,
        size: int = 16,
        read_seconds: int = 10,
        write_seconds: int = 60,
        idle_seconds: float | None = None,
    ) -> None:
        """Make the pools; with `idle_seconds` they keep no connection unused for longer."""
        self.conninfo = conninfo
        reading = f"{SESSION} -c statement_timeout={read_seconds}s"
        writing = f"{GENERIC} -c statement_timeout={write_seconds}s"
        few = max(1, min(ASIDE, size - 1))
        least, idle = (1, 600.0) if idle_seconds is None else (0, idle_seconds)
        self._pools = (
            _pool(conninfo, size, reading, least=least, idle=idle),
            _pool(conninfo, size, writing, least=least, idle=idle),
            _pool(conninfo, few, writing, least=0, idle=idle),
        )
        self._reading: _Lender
        self._writing: _Lender
        self._aside: _Lender
        self._reading, self._writing, self._aside = self._pools

    async def open(self) -> None:
        """Open the pools; PoolTimeout when the database does not answer within 30 s."""
        reading, writing, aside = self._pools
        await reading.open(wait=True)
        await writing.open(wait=True)
        await aside.open()

    async def close(self) -> None:
        """Close every connection."""
        for pool in self._pools:
            await pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Lend a connection for reading, in autocommit."""
        async with _lent(self._reading) as connection:
            yield connection

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Connection]:
        """Lend a connection for writing, in autocommit: each statement is a transaction."""
        async with _lent(self._writing) as connection:
            yield connection

    @asynccontextmanager
    async def aside(self) -> AsyncIterator[Connection]:
        """Lend a connection for one statement beside a transaction under way, in autocommit.

        Who holds one waits for no other, so that it comes even when all writers wait.
        """
        async with _lent(self._aside) as connection:
            yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Lend a connection inside one READ COMMITTED transaction, committed at the end.

        Deadlocks, serialization failures and unique races come out as psycopg's
        errors (store/attempts.py tries again).
        """
        async with _lent(self._writing) as connection, connection.transaction():
            yield connection
            if connection.info.transaction_status == TransactionStatus.INERROR:
                # COMMIT would roll back and say nothing.
                raise Unavailable("A statement of the transaction failed")

    @asynccontextmanager
    async def trial(self) -> AsyncIterator["Database"]:
        """Lend a database whose connections are all one transaction, which is undone at the end.

        What is done with it, one thing after another, sees itself and leaves nothing.
        """
        async with (
            _lent(self._writing) as connection,
            connection.transaction(force_rollback=True),
        ):
            tried = Database.__new__(Database)
            tried.conninfo = self.conninfo
            # What it lends is open already, and is closed by its pool.
            tried._reading = tried._writing = tried._aside = _One(connection)  # noqa: SLF001
            yield tried


class _Lender(Protocol):
    """What lends connections: a pool, or what stands in for one."""

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection."""


@dataclass(frozen=True, slots=True)
class _One:
    """One connection that is lent again and again, each time under a savepoint."""

    lent: Connection

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        async with self.lent.transaction():
            yield self.lent


def with_options(conninfo: str, options: str) -> str:
    """Return the options of a session, after those that the conninfo has already.

    Those of a tenant are its role and its schema: who connects by its conninfo is the tenant.
    """
    return f"{conninfo_to_dict(conninfo).get('options') or ''} {options}".strip()


def _pool(
    conninfo: str, size: int, options: str, *, least: int, idle: float
) -> AsyncConnectionPool[Connection]:
    return AsyncConnectionPool(
        conninfo,
        min_size=least,
        max_size=size,
        max_idle=idle,
        open=False,
        kwargs={"autocommit": True, "options": with_options(conninfo, options)},
    )


@asynccontextmanager
async def _lent(pool: _Lender) -> AsyncIterator[Connection]:
    try:
        async with pool.connection() as connection:
            yield connection
    except (errors.DeadlockDetected, errors.SerializationFailure):
        raise
    except errors.QueryCanceled as error:
        raise Unavailable(
            "The database took too long", code="timeout", headers={"Retry-After": "5"}
        ) from error
    except (psycopg.OperationalError, PoolTimeout) as error:
        raise Unavailable("The database is away", headers={"Retry-After": "1"}) from error


async def plan_for_values(connection: Connection) -> None:
    """Let the rest of the transaction be planned for its own values, as searches need it."""
    await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
