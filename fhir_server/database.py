"""Connections to PostgreSQL.

psycopg executes; SQLAlchemy only declares and composes (docs/architecture.md).
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import psycopg
from psycopg import errors
from psycopg.adapt import Buffer, Dumper
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Format, TransactionStatus
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from fhir_server import niceness
from fhir_server.bigints import Bigints
from fhir_server.errors import Unavailable
from fhir_server.second_wall import ENTER, LEAVE, STANDS, TELL, Reach

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

log = logging.getLogger(__name__)


class _AsItIs(Dumper):
    """Sends an array that is made already."""

    format = Format.BINARY
    oid = psycopg.adapters.types["int8"].array_oid

    def dump(self, obj: Bigints) -> Buffer:
        """Return the array."""
        return obj


psycopg.adapters.register_dumper(Bigints, _AsItIs)

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
# What is planned once, maybe when nothing was stored yet, must not go through whole tables.
KEPT = f"{GENERIC} -c enable_seqscan=off"

OWN = "hashtextextended(current_schema, 0)"
"""SQL of what tells the advisory locks of tenants apart, to be combined with `#`.

Such locks belong to the database and know no schemas: two tenants that count their
messages from 1 would wait for each other.
"""

PLANS_SECONDS = 20.0
"""So long a session keeps its plans: PostgreSQL makes them by how large tables are."""

ASIDE = 2
"""Connections for a word aside, fewer beside small pools."""


@dataclass(frozen=True, slots=True)
class Wall:
    """The second wall of a database: its reader, and the role that other sessions are in.

    The pools of sessions behind it are for searches, and for statements whose plans are kept.
    `told` is what each session was last told that it may reach; `entered` are transactions of
    others that are behind it for a while.
    """

    reader: str
    server: str
    pools: tuple[AsyncConnectionPool[Connection], AsyncConnectionPool[Connection]]
    told: WeakKeyDictionary[Connection, Reach] = field(default_factory=WeakKeyDictionary)
    entered: WeakKeyDictionary[Connection, Reach] = field(default_factory=WeakKeyDictionary)


class Database:
    """Pools of asynchronous connections: for reading, for writing, and for a word aside.

    They differ in how long a statement may take (seconds). Two more, for reading behind the
    second wall, are made when they are first asked for.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        size: int = 16,
        read_seconds: int = 10,
        write_seconds: int = 60,
        idle_seconds: float | None = None,
        walled: bool = False,
        keeper: str | None = None,
    ) -> None:
        """Make the pools; with `idle_seconds` they keep no connection unused for longer.

        `walled`: nothing is read for restricted callers where there is no second wall.
        `keeper` is the conninfo of the owner of what is stored, if another login serves it.
        """
        self.conninfo = conninfo
        self._keeper = conninfo if keeper is None else keeper
        reading = f"{SESSION} -c statement_timeout={read_seconds}s"
        writing = f"{GENERIC} -c statement_timeout={write_seconds}s"
        few = max(1, min(ASIDE, size - 1))
        least, idle = (1, 600.0) if idle_seconds is None else (0, idle_seconds)
        kept = f"{KEPT} -c statement_timeout={read_seconds}s"
        self._pools = (
            _pool(conninfo, size, reading, least=least, idle=idle),
            _pool(conninfo, size, kept, least=0, idle=idle),
            _pool(conninfo, size, writing, least=least, idle=idle),
            _pool(conninfo, few, writing, least=0, idle=idle),
        )
        self._reading: _Lender
        self._kept: _Lender
        self._writing: _Lender
        self._aside: _Lender
        self._reading, self._kept, self._writing, self._aside = self._pools
        self._size, self._idle, self._read_seconds = size, idle, read_seconds
        self._walled = walled
        self._wall: Wall | None = None
        self._looked = False
        self._looking = asyncio.Lock()
        self._planned: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()

    async def open(self) -> None:
        """Open the pools; PoolTimeout when the database does not answer within 30 s."""
        reading, kept, writing, aside = self._pools
        await reading.open(wait=True)
        await writing.open(wait=True)
        await kept.open()
        await aside.open()

    async def close(self) -> None:
        """Close every connection."""
        behind = self._wall.pools if self._wall else ()
        for pool in (*self._pools, *behind):
            await pool.close()

    @asynccontextmanager
    async def connection(self, *, kept: bool = False) -> AsyncIterator[Connection]:
        """Lend a connection for reading, in autocommit.

        With `kept` plans are made once for all values, by index alone.
        """
        async with _lent(self._kept if kept else self._reading) as connection:
            if kept:
                await self._plan_anew(connection)
            yield connection

    async def _plan_anew(self, connection: Connection) -> None:
        """Let a session forget plans of long ago: what was small then may be large."""
        now = time.monotonic()
        if now - self._planned.setdefault(connection, now) > PLANS_SECONDS:
            self._planned[connection] = now
            await connection.execute("DISCARD PLANS")

    @asynccontextmanager
    async def restricted(self, reach: Reach, *, kept: bool = False) -> AsyncIterator[Connection]:
        """Lend a connection for what a restricted caller reads, in autocommit.

        It fetches the bodies within his reach alone, if the database has a second wall. With
        `kept` plans are made once for all values, by index alone.
        """
        wall = await self.wall()
        if wall is None:
            async with self.connection(kept=kept) as connection:
                yield connection
            return
        async with _lent(wall.pools[kept]) as behind:
            if kept:
                await self._plan_anew(behind)
            # Mostly nothing is to be told: callers of one role and app have the same reach.
            if wall.told.get(behind) != reach:
                wall.told.pop(behind, None)  # the telling may be cut short
                await behind.execute(TELL, reach.said)
                wall.told[behind] = reach
            yield behind

    @asynccontextmanager
    async def behind(self, connection: Connection, reach: Reach) -> AsyncIterator[None]:
        """Let a transaction under way fetch the bodies within a reach alone, for a while.

        On a connection in autocommit it is a transaction meanwhile.
        """
        wall = await self.wall()
        if wall is None:
            yield
        elif connection.info.transaction_status == TransactionStatus.IDLE:
            # What is said for a transaction alone would be forgotten at once.
            async with connection.transaction(), _entered(wall, connection, reach):
                yield
        else:
            async with _entered(wall, connection, reach):
                yield

    async def wall(self) -> Wall | None:
        """Return the second wall; None where it does not stand (main/walls.py says why).

        Unavailable where it is required: a tenant may be made after the server was started.
        """
        if not self._looked:
            async with self._looking:
                if not self._looked:
                    self._wall = await self._found_wall()
                    self._looked = self._wall is not None or not self._walled
        if self._wall is None and self._walled:
            raise Unavailable("The second wall is missing, so nothing is shown")
        return self._wall

    async def _found_wall(self) -> Wall | None:
        async with _lent(self._reading) as connection:
            found = await (await connection.execute(STANDS)).fetchone()
        if found is None:
            log.warning("restricted callers read without a second wall; `sangam status` says more")
            return None
        reader, server = found
        seconds = f"-c statement_timeout={self._read_seconds}s -c role={reader}"
        searching, kept = (
            _pool(
                *(self.conninfo, max(2, self._size // 2), f"{one} {seconds}"),
                least=0,
                idle=self._idle,
            )
            for one in (SESSION, KEPT)
        )
        await searching.open()
        await kept.open()
        return Wall(reader, server, (searching, kept))

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
    async def keeping(self) -> AsyncIterator[Connection]:
        """Lend a transaction of the owner's, for what no session that serves may do: let audit go.

        The connection is made for it, as that is rare, and nothing else comes by it.
        """
        options = with_options(self._keeper, f"{GENERIC} -c sangam.keeping=on")
        try:
            async with await psycopg.AsyncConnection.connect(
                self._keeper, options=options
            ) as connection:
                yield connection
        except (errors.DeadlockDetected, errors.SerializationFailure):
            raise
        except psycopg.OperationalError as error:
            raise Unavailable("The database is away", headers={"Retry-After": "1"}) from error

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
            tried.conninfo, tried._keeper = self.conninfo, self._keeper  # noqa: SLF001
            # What it lends is open already, and is closed by its pool.
            one = _One(connection)
            tried._reading = tried._kept = tried._writing = tried._aside = one  # noqa: SLF001
            # Who tries does so for a sender of ours, whom no wall restricts; others read nothing.
            tried._wall, tried._looked, tried._walled = None, True, True  # noqa: SLF001
            tried._planned = self._planned  # noqa: SLF001
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
        configure=niceness.follow,
        kwargs={"autocommit": True, "options": with_options(conninfo, options)},
    )


@asynccontextmanager
async def _entered(wall: Wall, connection: Connection, reach: Reach) -> AsyncIterator[None]:
    outer = wall.entered.get(connection)
    await connection.execute(ENTER, (*reach.said, wall.reader))
    wall.entered[connection] = reach
    try:
        yield
    finally:
        if outer is None:
            wall.entered.pop(connection, None)
        else:
            wall.entered[connection] = outer
        # After an error of the database there is only rolling back, which undoes it too.
        if connection.info.transaction_status == TransactionStatus.INTRANS:
            back = (LEAVE, (wall.server,)) if outer is None else (ENTER, (*outer.said, wall.reader))
            await connection.execute(*back)


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
