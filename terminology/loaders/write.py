"""A release written beside those that serve, and switched on as a whole.

A row of `tx.code_system` in state `loading` comes first, then the partitions are filled by
COPY, indexed and attached, and one transaction makes the release `current` and its namesake
`retired`. Whatever ends the load before that leaves what serves as it was; what is left behind
by a killed process is removed by the next load, which holds the lock that tells that none is
under way.

https://www.postgresql.org/docs/current/populate.html
"""

import asyncio
import hashlib
from array import array
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from psycopg import AsyncConnection, errors
from psycopg.sql import SQL, Identifier, Literal
from psycopg.types.json import Jsonb

from terminology.concepts import Json
from terminology.loaders.ancestors import Cycle, Parents, closure_lines, parents_of, refuse_cycles
from terminology.loaders.release import Release
from terminology.loaders.report import LoadRefused, Progress, Report, Step, silent
from terminology.loaders.spool import COLUMNS, Spool, dangling
from terminology.postgres.partitions import (
    attach_partition,
    create_partitions,
    drop_partitions,
    partition,
)

Connection = AsyncConnection[Any]

# Any 64-bit number, the same in every version: two loads must meet on it.
LOCK: Final = 7_261_964_023
WRITERS = 2
GRACE_SECONDS = 5.0
"""So long a release that was replaced stays, for requests that began with it."""
_SESSION: Final = (
    "-c statement_timeout=0 -c maintenance_work_mem=256MB -c synchronous_commit=off"
    " -c idle_in_transaction_session_timeout=0 -c jit=off -c default_statistics_target=100"
)
_EDGES = 50_000
MAX_PAIRS = 200_000_000
"""Pairs of a concept and an ancestor; SNOMED CT has some 6 million, a chain of 20,000 so many."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of a load: `id` is None when it was there already, or only tried."""

    canonical: str
    id: int | None
    concepts: int
    edges: int
    report: Report


async def load_release(
    conninfo: str,
    release: Release,
    *,
    accepted: bool = False,
    skip_bad_rows: bool = False,
    grace: float = GRACE_SECONDS,
    progress: Progress = silent,
) -> Loaded:
    """Load a release so that it serves; LoadRefused leaves everything as it was.

    A release that was loaded from the same files is left as it is.
    """
    source = await asyncio.to_thread(_source, release, accepted)
    async with locked(conninfo) as connection:
        await remove_leftovers(connection)
        if source["files"] and (known := await _same(connection, release, source["sha256"])):
            return Loaded(release.canonical, None, known, 0, release.report)
        cs_id = await _begin(connection, release)
        writing = _Writing(conninfo, cs_id, release, skip_bad_rows=skip_bad_rows, progress=progress)
        try:
            await writing.run()
            old = await _switch(connection, writing, source)
        except BaseException:
            with suppress(errors.Error):
                # What cannot be removed now the next load removes.
                await drop_partitions(connection, cs_id)
            raise
        finally:
            writing.spool.close()
        if old:
            await asyncio.sleep(grace)
            await remove_leftovers(connection)
    return writing.loaded(cs_id)


async def try_release(release: Release, *, progress: Progress = silent) -> Loaded:
    """Read a release and write nothing; LoadRefused for what a load would refuse."""
    writing = _Writing("", 0, release, skip_bad_rows=False, progress=progress)
    try:
        await asyncio.to_thread(writing.dry)
    finally:
        writing.spool.close()
    return writing.loaded(None)


async def remove_release(conninfo: str, url: str, version: str, *, grace: float) -> bool:
    """Take a release out of service and drop its rows; False when there is none."""
    async with locked(conninfo) as connection:
        done = await connection.execute(
            "UPDATE tx.code_system SET state = 'retired'"
            " WHERE url = %s AND version = %s AND state = 'current'",
            [url, version],
        )
        if done.rowcount:
            await asyncio.sleep(grace)
        await remove_leftovers(connection)
    return bool(done.rowcount)


@asynccontextmanager
async def locked(conninfo: str) -> AsyncIterator[Connection]:
    """Lend a connection that holds the lock of loads; LoadRefused when another load has it."""
    async with await _connect(conninfo) as connection:
        found = await connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        if (await found.fetchone()) != (True,):
            raise LoadRefused("another load is under way in this database")
        try:
            yield connection
        finally:
            # PostgreSQL ends a closed session in its own time, and the next load may come sooner.
            with suppress(errors.Error):
                await connection.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


async def remove_leftovers(connection: Connection) -> None:
    """Drop what ended loads left and what was replaced; the lock is held."""
    query = "SELECT id FROM tx.code_system WHERE state <> 'current'"
    for (cs_id,) in await (await connection.execute(query)).fetchall():
        await drop_partitions(connection, cs_id)


async def _connect(conninfo: str) -> Connection:
    return await AsyncConnection.connect(conninfo, autocommit=True, options=_SESSION)


def _source(release: Release, accepted: bool) -> Json:  # noqa: FBT001 - stored as it is
    """What the release is made from, with a checksum that does not depend on names."""
    files: list[Json] = []
    for file in release.files:
        with file.open() as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        files.append({"name": file.name, "size": file.size, "sha256": digest})
    whole = hashlib.sha256("\n".join(sorted(one["sha256"] for one in files)).encode()).hexdigest()
    licence = {"licence": release.licence, "accepted": accepted} if release.licence else {}
    return {"files": files, "sha256": whole, **licence}


async def _same(connection: Connection, release: Release, digest: str) -> int | None:
    """How many concepts the release has when it serves already, from the same files."""
    query = """
        SELECT concepts FROM tx.code_system
        WHERE url = %s AND version = %s AND tenant = '' AND state = 'current'
              AND source ->> 'sha256' = %s
    """
    resource = release.resource
    found = await connection.execute(query, [resource["url"], resource["version"], digest])
    row = await found.fetchone()
    return row[0] if row else None


async def _begin(connection: Connection, release: Release) -> int:
    resource = release.resource
    async with connection.transaction():
        found = await connection.execute(
            "INSERT INTO tx.code_system (url, version, resource) VALUES (%s, %s, %s) RETURNING id",
            [resource["url"], resource["version"], Jsonb(resource)],
        )
        row = await found.fetchone()
        assert row is not None
        cs_id: int = row[0]
        await create_partitions(connection, cs_id)
        for table in (*COLUMNS, "edge", "closure"):
            await connection.execute(
                SQL("ALTER TABLE {} ALTER cs_id SET DEFAULT {}").format(
                    partition(table, cs_id), Literal(cs_id)
                )
            )
    return cs_id


async def _switch(connection: Connection, writing: "_Writing", source: Json) -> int:
    """Make the release current; returns how many it replaces."""
    resource, spool = writing.release.resource, writing.spool
    report = writing.release.report
    rows = {**spool.rows, "edge": len(spool.children), "closure": writing.pairs}
    resource = {**resource, "property": spool.properties, "count": len(spool.codes)}
    source = {**source, "rows": rows, "problems": dict(report.counts)}
    source["loaded"] = datetime.now(UTC).isoformat(timespec="seconds")
    async with connection.transaction():
        old = await connection.execute(
            "UPDATE tx.code_system SET state = 'retired'"
            " WHERE url = %s AND version = %s AND tenant = '' AND state = 'current'",
            [resource["url"], resource["version"]],
        )
        await connection.execute(
            """
            UPDATE tx.code_system
            SET state = 'current', content = %s, case_sensitive = %s, hierarchy_meaning = %s,
                hierarchical = %s, grammar = %s, status = %s, language = %s, resource = %s,
                uses = %s, source = %s, concepts = %s, loaded_at = now()
            WHERE id = %s
            """,
            [
                resource["content"],
                resource["caseSensitive"],
                resource.get("hierarchyMeaning"),
                bool(spool.children),
                resource.get("compositional", False),
                resource["status"],
                resource.get("language"),
                Jsonb(resource),
                Jsonb(spool.uses),
                Jsonb(source),
                len(spool.codes),
                writing.cs_id,
            ],
        )
    return old.rowcount


class _Writing:
    """The rows of one release under way: tables are sent while others are still read."""

    def __init__(
        self,
        conninfo: str,
        cs_id: int,
        release: Release,
        *,
        skip_bad_rows: bool,
        progress: Progress,
    ) -> None:
        self.release, self.cs_id = release, cs_id
        self.spool = Spool()
        self.pairs = 0
        self._conninfo, self._skip, self._progress = conninfo, skip_bad_rows, progress
        self._places = asyncio.Semaphore(WRITERS)

    def loaded(self, cs_id: int | None) -> Loaded:
        """What came of it."""
        release = self.release
        release.report.rows.update(self.spool.rows)
        release.report.rows["closure"] = self.pairs
        edges = len(self.spool.children)
        return Loaded(release.canonical, cs_id, len(self.spool.codes), edges, release.report)

    def dry(self) -> None:
        """Read everything and look for what a load refuses."""
        for _ in self.release.fill(self.spool):
            pass
        self._settle(None if self.spool.codes.fixed else self.spool.codes.final())
        self._hierarchy(None)

    async def run(self) -> None:
        """Read and write everything."""
        filling = self.release.fill(self.spool)
        try:
            async with asyncio.TaskGroup() as tasks:
                sent: set[str] = set()
                while table := await asyncio.to_thread(next, filling, None):
                    sent.add(table)
                    self._start(tasks, table, None)
                final = None if self.spool.codes.fixed else self.spool.codes.final()
                self._settle(final)
                for table in {*COLUMNS, "edge"} - sent:
                    self._start(tasks, table, final)
        except* LoadRefused as group:
            raise group.exceptions[0] from None
        except* (OSError, errors.OperationalError) as group:
            # Such as a full disk, or a database that went away.
            raise LoadRefused(f"the load broke off: {group.exceptions[0]}") from group

    def _settle(self, final: "array[int] | None") -> None:
        """Refuse a release with bad rows or without a concept."""
        report = self.release.report
        bad = report.counts["bad row"]
        if bad and not self._skip:
            first = "; ".join(map(str, report.bad_rows[:3]))
            raise LoadRefused(f"{bad:,} rows cannot be read: {first}")
        if not len(self.spool.codes):
            raise LoadRefused("no concept is in the files")
        if final is not None:
            dangling(self.spool, report, self.release.canonical)

    def _start(self, tasks: asyncio.TaskGroup, table: str, final: "array[int] | None") -> None:
        if table == "edge":
            tasks.create_task(self._edges(final))
        else:
            tasks.create_task(self._table(table, lambda: self.spool.lines(table, final)))

    async def _edges(self, final: "array[int] | None") -> None:
        """Write the edges, and every ancestor of every concept."""
        parents, size = await asyncio.to_thread(self._hierarchy, final)
        self._progress(Step("hierarchy", 0, size, 0))
        await self._table("edge", lambda: _edge_lines(parents), ("child", "parent"))
        columns = ("ancestor", "descendant", "depth")
        await self._table("closure", lambda: self._pairs(parents), columns)

    def _hierarchy(self, final: "array[int] | None") -> tuple[Parents, int]:
        children, parents = self.spool.children, self.spool.parents
        if final is not None:
            children, parents = _exchanged(children, parents, final)
        size = len(self.spool.codes.numbers)
        near = parents_of(size, children, parents)
        try:
            refuse_cycles(near)
        except Cycle as cycle:
            wanted = set(cycle.numbers)
            numbers = self.spool.codes.numbers
            codes = sorted(
                code
                for code, number in numbers.items()
                if (number if final is None else final[number]) in wanted
            )
            text = f"{cycle.count:,} concepts are their own ancestors: {', '.join(codes)}"
            raise LoadRefused(text) from None
        return near, size

    def _pairs(self, parents: Parents) -> Iterator[bytes]:
        size = len(parents)
        for number, block in closure_lines(parents):
            self.pairs += block.count(b"\n")
            if self.pairs > MAX_PAIRS:
                raise LoadRefused(f"concepts have more than {MAX_PAIRS:,} ancestors in all")
            self._progress(Step("hierarchy", number, size, self.pairs))
            yield block

    async def _table(
        self,
        table: str,
        blocks: Callable[[], Iterator[bytes]],
        columns: Sequence[str] | None = None,
    ) -> None:
        """Fill the empty table by one COPY, index and attach it."""
        own = partition(table, self.cs_id)
        names = SQL(", ").join(map(Identifier, columns or COLUMNS[table]))
        # Frozen rows need no second pass of VACUUM; only a table that was emptied in the same
        # transaction takes them.
        statement = SQL("COPY {} ({}) FROM STDIN (FREEZE)").format(own, names)
        async with self._places, await _connect(self._conninfo) as connection:
            try:
                async with connection.transaction():
                    await connection.execute(SQL("TRUNCATE {}").format(own))
                    lines = blocks()
                    async with connection.cursor().copy(statement) as copy:
                        while block := await asyncio.to_thread(next, lines, None):
                            await copy.write(block)
                await attach_partition(connection, table, self.cs_id)
            except (errors.DataError, errors.IntegrityError, errors.ProgramLimitExceeded) as error:
                # Such as a code that is longer than an index takes.
                raise LoadRefused(f"the database does not take a row of {table}: {error}") from None


def _exchanged(
    children: "array[int]", parents: "array[int]", final: "array[int]"
) -> tuple["array[int]", "array[int]"]:
    """The edges with final numbers; those of codes that are no concepts left out."""
    below, above = array("i"), array("i")
    for child, parent in zip(children, parents, strict=True):
        if final[child] and final[parent]:
            below.append(final[child])
            above.append(final[parent])
    return below, above


def _edge_lines(parents: Parents) -> Iterator[bytes]:
    lines: list[str] = []
    for child, near in enumerate(parents):
        lines += [f"{child}\t{parent}\n" for parent in near]
        if len(lines) >= _EDGES:
            yield "".join(lines).encode()
            lines.clear()
    if lines:
        yield "".join(lines).encode()
