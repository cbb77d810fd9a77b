"""The outbox: jobs written in the transaction of the change that causes them.

The row is the truth, the broker only carries its id. The states of a row:

    ready ──claim──> running ──finish──> (no row)
      ^                 │
      └──fail, worker lost: later, with one attempt more
    parked: an operator took it out (until he makes it ready again)

A job that is ready absorbs another of equal kind and key, and keeps its row locked
until the absorbed one's transaction ends, so that it cannot start before it can see
that change. One that is running absorbs nothing, and the next of its key waits for
its end. A running row belongs to a live worker: each holds an advisory lock on its
number for as long as it lives.

https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from fhir_server.database import Connection

TOLD = "SELECT pg_notify('sangam_job_' || current_schema, '')"
"""The statement by which who waits for jobs is told of new ones.

Channels belong to the database and know no schemas, so each tenant has one of its own.
"""
_CHANNEL = "SELECT 'sangam_job_' || current_schema"
# The class of the advisory locks that say which workers live.
LOCK_CLASS = 7_261_964
# A message that the broker lost is published again after this time.
PUBLISH_AGAIN_SECONDS = 30
# So many may wait in the broker: what is in there twice costs little.
IN_FLIGHT = 500
LONGEST_BACKOFF_SECONDS = 600.0
# What a worker knew a moment ago does not name what it has claimed since.
DOUBT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Job:
    """Work to be done after the transaction commits.

    `kind` names the function in the table of `main.wiring`; `payload` is its JSON
    argument; jobs of equal kind and `dedupe_key` that wait are one job;
    `delay_seconds` is how long it waits at least.
    """

    kind: str
    payload: dict[str, Any]
    dedupe_key: str | None = None
    delay_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that this worker carries out now; `attempt` counts from 1."""

    id: int
    kind: str
    payload: dict[str, Any]
    attempt: int


# A row in backoff (attempts > 0) keeps its time: else each new message would try at once
# what just failed. The row is locked also where WHERE leaves it as it is.
ADD = """
INSERT INTO job (kind, dedupe_key, payload, due_at)
SELECT j.kind, j.dedupe_key, j.payload, now() + j.delay * interval '1 second'
FROM {jobs} AS j(kind, dedupe_key, payload, delay)
ON CONFLICT (kind, dedupe_key) WHERE state = 'ready'
DO UPDATE SET due_at = excluded.due_at
WHERE job.attempts = 0 AND job.due_at > excluded.due_at
"""
"""The statement that adds jobs, for a larger one; `jobs` are rows of SQL in one order of keys.

Who waits for jobs is told by `TOLD`.
"""

_GIVEN = "unnest(%s::text[], %s::text[], %s::jsonb[], %s::float8[])"
_INSERT = f"WITH added AS ({ADD.format(jobs=_GIVEN)}) {TOLD}"

_NOT_BESIDE_RUNNING = """
NOT EXISTS (
    SELECT FROM job AS other
    WHERE other.state = 'running' AND other.kind = job.kind AND other.dedupe_key = job.dedupe_key
)
"""

_PUBLISH = f"""
WITH waiting AS (
    SELECT count(*) AS n FROM job
    WHERE state = 'ready' AND published_at >= now() - %(again)s * interval '1 second'
), due AS (
    SELECT id FROM job
    WHERE state = 'ready' AND due_at <= now()
      AND (published_at IS NULL OR published_at < now() - %(again)s * interval '1 second')
      AND {_NOT_BESIDE_RUNNING}
    ORDER BY due_at, id
    LIMIT greatest(0, %(room)s - (SELECT n FROM waiting))
    FOR UPDATE SKIP LOCKED
)
UPDATE job SET published_at = now() FROM due WHERE job.id = due.id RETURNING job.id
"""

_UNPUBLISH = "UPDATE job SET published_at = NULL WHERE state = 'ready' AND id = ANY(%s)"

_FORGET_PUBLISHED = "UPDATE job SET published_at = NULL WHERE published_at IS NOT NULL"

_NEXT_DUE = """
SELECT extract(epoch FROM min(due_at) - now())::float8 FROM job
WHERE state = 'ready' AND published_at IS NULL AND due_at > now()
"""

# `due_at` of a running row is when it was claimed.
_CLAIM = f"""
UPDATE job SET state = 'running', worker = %s, attempts = attempts + 1, published_at = NULL,
               due_at = clock_timestamp()
WHERE id = %s AND state = 'ready' AND {_NOT_BESIDE_RUNNING}
RETURNING id, kind, payload, attempts
"""

_FINISH = "DELETE FROM job WHERE id = %s AND state = 'running' AND worker = %s"

# A new row takes the place of the old one, so that it merges with a job that became
# ready meanwhile; the jitter keeps many that failed together from returning together.
_RETRY = """
WITH gone AS (DELETE FROM job WHERE {which} RETURNING *)
INSERT INTO job (kind, dedupe_key, payload, attempts, due_at, created_at, error)
SELECT kind, dedupe_key, payload, attempts,
       clock_timestamp() + least(%(longest)s, 0.5 * 2 ^ least(attempts - 1, 20))
                         * (0.5 + random() / 2) * interval '1 second',
       created_at, %(error)s
FROM gone
ON CONFLICT (kind, dedupe_key) WHERE state = 'ready'
DO UPDATE SET attempts = greatest(job.attempts, excluded.attempts), error = excluded.error,
              due_at = greatest(job.due_at, excluded.due_at)
"""

_FAIL = _RETRY.format(which="id = %(id)s AND state = 'running' AND worker = %(worker)s")

_ADOPT = _RETRY.format(
    which="""state = 'running' AND CASE
    WHEN worker = %(worker)s
    THEN id <> ALL(%(known)s::bigint[]) AND due_at < now() - %(doubt)s * interval '1 second'
    ELSE NOT EXISTS (
        SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND classid = %(class)s AND objid = job.worker
          AND objsubid = 2
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
    END"""
)

_BACKLOG = """
SELECT states.state, count(job.id),
       coalesce(extract(epoch FROM clock_timestamp() - min(job.created_at) FILTER (
           WHERE job.attempts > 0 OR job.due_at <= clock_timestamp()
       )), 0)::float8
FROM unnest(ARRAY['ready', 'running', 'parked']) AS states(state) LEFT JOIN job USING (state)
GROUP BY 1
"""

_PARK = """
UPDATE job SET state = 'parked' WHERE id = %s AND state = 'ready'
"""

_UNPARK = f"""
WITH gone AS (DELETE FROM job WHERE id = %s AND state = 'parked' RETURNING *), added AS (
    INSERT INTO job (kind, dedupe_key, payload, created_at)
    SELECT kind, dedupe_key, payload, created_at FROM gone
    ON CONFLICT (kind, dedupe_key) WHERE state = 'ready' DO UPDATE SET due_at = excluded.due_at
)
{TOLD} FROM gone
"""


async def enqueue(connection: Connection, jobs: Sequence[Job]) -> None:
    """Write the jobs inside the caller's transaction."""
    if jobs:
        await connection.execute(_INSERT, _values(jobs))


def enqueue_sync(connection: psycopg.Connection[Any], jobs: Sequence[Job]) -> None:
    """Write the jobs inside the caller's transaction on a synchronous connection."""
    if jobs:
        connection.execute(_INSERT, _values(jobs))


def _values(jobs: Sequence[Job]) -> tuple[Any, ...]:
    """Return the columns: one row for each key, in one order in every transaction.

    Two transactions that absorb the same two jobs would else wait for each other.
    """
    keyed = {(job.kind, job.dedupe_key or n): job for n, job in enumerate(jobs)}
    rows = sorted(keyed.values(), key=lambda job: (job.kind, job.dedupe_key or ""))
    return (
        [job.kind for job in rows],
        [job.dedupe_key for job in rows],
        [Jsonb(job.payload) for job in rows],
        [float(job.delay_seconds) for job in rows],
    )


async def listen(connection: Connection) -> None:
    """Have the connection told of new jobs of its tenant (`connection.notifies`)."""
    row = await (await connection.execute(_CHANNEL)).fetchone()
    assert row is not None
    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(row[0])))


async def take_number(connection: Connection, worker: int) -> None:
    """Hold the worker's number for as long as `connection` lives."""
    await connection.execute("SELECT pg_advisory_lock(%s, %s)", (LOCK_CLASS, worker))


async def publish_due(connection: Connection) -> list[int]:
    """Mark what is due as published and return the ids, those that wait longest first."""
    given = {"again": PUBLISH_AGAIN_SECONDS, "room": IN_FLIGHT}
    cursor = await connection.execute(_PUBLISH, given)
    return sorted(row[0] for row in await cursor.fetchall())


async def unpublish(connection: Connection, ids: Sequence[int]) -> None:
    """Take back that these were published: the broker did not take them."""
    await connection.execute(_UNPUBLISH, (list(ids),))


async def forget_published(connection: Connection) -> None:
    """Have everything published again, for a broker that starts empty."""
    await connection.execute(_FORGET_PUBLISHED)


async def seconds_to_next(connection: Connection) -> float | None:
    """Return when the next waiting job is due, None when none waits."""
    row = await (await connection.execute(_NEXT_DUE)).fetchone()
    return None if row is None or row[0] is None else float(row[0])


async def claim(connection: Connection, id_: int, worker: int) -> Claimed | None:
    """Make a ready job this worker's, or return None when it is no longer to be done.

    Waits for a transaction that absorbs another job into it.
    """
    row = await (await connection.execute(_CLAIM, (worker, id_))).fetchone()
    return None if row is None else Claimed(row[0], row[1], row[2], row[3])


async def finish(connection: Connection, id_: int, worker: int) -> None:
    """Remove a job that was carried out."""
    await connection.execute(_FINISH, (id_, worker))


async def fail(connection: Connection, id_: int, worker: int, error: str) -> None:
    """Make a job ready again for later: half a second, doubled by each attempt, to 10 minutes."""
    given = {"id": id_, "worker": worker, "error": error, "longest": LONGEST_BACKOFF_SECONDS}
    await connection.execute(_FAIL, given)


async def adopt(connection: Connection, worker: int, known: Collection[int]) -> int:
    """Make ready again what runs nowhere; return how many jobs that were.

    These are the jobs of workers that no longer live, and those that the database has
    held for a while to be this worker's and it does not know of (`known` are those it
    runs): the answer to its claim was lost.
    """
    given = {
        "worker": worker,
        "known": list(known),
        "class": LOCK_CLASS,
        "doubt": DOUBT_SECONDS,
        "error": "The worker ended",
        "longest": LONGEST_BACKOFF_SECONDS,
    }
    return (await connection.execute(_ADOPT, given)).rowcount


async def backlog(connection: Connection) -> dict[str, tuple[int, float]]:
    """Return for each state how many jobs are in it and how old the oldest is, in seconds.

    One that is to be done later is not old before its time.
    """
    rows = await (await connection.execute(_BACKLOG)).fetchall()
    return {row[0]: (row[1], row[2]) for row in rows}


async def park(connection: Connection, id_: int) -> bool:
    """Take a waiting job out of the way; False when it does not wait."""
    return (await connection.execute(_PARK, (id_,))).rowcount == 1


async def unpark(connection: Connection, id_: int) -> bool:
    """Make a parked job ready now; False when it is not parked."""
    return (await connection.execute(_UNPARK, (id_,))).rowcount == 1
