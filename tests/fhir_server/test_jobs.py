"""The outbox: what waits, what absorbs, what is claimed by whom."""

import asyncio
from typing import Any

import psycopg
import pytest

from fhir_server import jobs
from fhir_server.database import Connection, Database
from fhir_server.jobs import Job

FOLD = Job("fold", {"study": "1"}, dedupe_key="1")


async def enqueued(database: Database, *given: Job) -> None:
    async with database.transaction() as connection:
        await jobs.enqueue(connection, given)


async def rows(database: Database, columns: str = "kind, state, attempts") -> list[Any]:
    async with database.connection() as connection:
        cursor = await connection.execute(f"SELECT {columns} FROM job ORDER BY id")
        return await cursor.fetchall()


async def published(database: Database) -> list[int]:
    async with database.statement() as connection:
        return await jobs.publish_due(connection)


async def claimed(database: Database, id_: int, worker: int = 1) -> jobs.Claimed | None:
    async with database.statement() as connection:
        return await jobs.claim(connection, id_, worker)


async def living(database: Database, worker: int) -> Connection:
    connection = await psycopg.AsyncConnection.connect(database.conninfo, autocommit=True)
    await jobs.take_number(connection, worker)
    return connection


async def ended(dying: Connection, other: Connection) -> None:
    """End a session and wait until PostgreSQL has let go of what it held."""
    await other.execute("SELECT pg_terminate_backend(%s, 5000)", (dying.info.backend_pid,))
    await dying.close()


async def test_a_rolled_back_transaction_leaves_no_job(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as connection:
            await jobs.enqueue(connection, [FOLD])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await rows(database) == []


async def test_jobs_of_equal_kind_and_key_that_wait_are_one(database: Database) -> None:
    await enqueued(database, FOLD, FOLD)
    await enqueued(database, FOLD, Job("fold", {"study": "2"}, "2"), Job("send", {}, "1"))
    assert await rows(database, "kind, dedupe_key") == [
        ("fold", "1"),
        ("fold", "2"),
        ("send", "1"),
    ]


async def test_jobs_without_a_key_are_all_kept(database: Database) -> None:
    await enqueued(database, Job("send", {"n": 1}), Job("send", {"n": 2}))
    assert await rows(database, "payload") == [({"n": 1},), ({"n": 2},)]


async def test_enqueue_sync_writes_the_same_row(database: Database) -> None:
    with psycopg.connect(database.conninfo) as connection:
        jobs.enqueue_sync(connection, [FOLD])
    assert await rows(database) == [("fold", "ready", 0)]


async def test_a_due_job_is_published_once(database: Database) -> None:
    await enqueued(database, FOLD, Job("later", {}, delay_seconds=60))
    assert await published(database) == [1]
    assert await published(database) == []
    async with database.connection() as connection:
        assert await jobs.seconds_to_next(connection) == pytest.approx(60, abs=5)


async def test_what_was_published_long_ago_is_published_again(database: Database) -> None:
    await enqueued(database, FOLD)
    await published(database)
    async with database.statement() as connection:
        await connection.execute("UPDATE job SET published_at = now() - interval '31 s'")
    assert await published(database) == [1]


async def test_no_more_are_published_than_may_be_in_flight(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "IN_FLIGHT", 3)
    await enqueued(database, *(Job("send", {}) for _ in range(5)))
    assert await published(database) == [1, 2, 3]
    assert await published(database) == []
    await claimed(database, 1)
    assert await published(database) == [4]


async def test_a_claimed_job_is_claimed_by_nobody_else(database: Database) -> None:
    await enqueued(database, FOLD)
    assert await claimed(database, 1, worker=7) == jobs.Claimed(1, "fold", {"study": "1"}, 1)
    assert await claimed(database, 1, worker=8) is None


async def test_only_its_worker_finishes_a_job(database: Database) -> None:
    await enqueued(database, FOLD)
    await claimed(database, 1, worker=7)
    async with database.statement() as connection:
        await jobs.finish(connection, 1, 8)
        assert await rows(database) == [("fold", "running", 1)]
        await jobs.finish(connection, 1, 7)
    assert await rows(database) == []


async def test_a_job_enqueued_while_one_runs_waits_and_then_runs(database: Database) -> None:
    await enqueued(database, FOLD)
    await claimed(database, 1)
    await enqueued(database, FOLD)
    assert await rows(database, "id, state") == [(1, "running"), (2, "ready")]
    assert await published(database) == []
    assert await claimed(database, 2) is None
    async with database.statement() as connection:
        await jobs.finish(connection, 1, 1)
    assert await published(database) == [2]
    assert await claimed(database, 2) is not None


async def test_a_job_starts_only_when_what_it_absorbed_is_committed(database: Database) -> None:
    await enqueued(database, FOLD)
    async with database.transaction() as connection:
        await jobs.enqueue(connection, [FOLD])
        claim = asyncio.create_task(claimed(database, 1))
        done, _ = await asyncio.wait([claim], timeout=0.3)
        assert done == set()
    assert await asyncio.wait_for(claim, 5) is not None


async def test_transactions_that_absorb_the_same_jobs_do_not_deadlock(database: Database) -> None:
    pair = (Job("a", {}, "1"), Job("b", {}, "1"))
    await enqueued(database, *pair)
    await asyncio.gather(
        *(enqueued(database, *pair[:: 1 if n % 2 else -1]) for n in range(20)),
    )
    assert await rows(database, "kind") == [("a",), ("b",)]


async def test_a_failed_job_comes_back_later_and_later(database: Database) -> None:
    await enqueued(database, Job("send", {"n": 1}))
    for attempt, longest in ((1, 0.5), (2, 1.0), (3, 2.0)):
        async with database.statement() as connection:
            (id_,) = (await rows(database, "id"))[0]
            taken = await jobs.claim(connection, id_, 1)
            assert taken == jobs.Claimed(id_, "send", {"n": 1}, attempt)
            await jobs.fail(connection, id_, 1, "Broken at f:1")
        found = await rows(
            database, "state, error, extract(epoch FROM due_at - clock_timestamp())::float8"
        )
        assert [row[:2] for row in found] == [("ready", "Broken at f:1")]
        assert longest / 2 - 0.2 < found[0][2] <= longest


async def test_the_longest_pause_is_ten_minutes(database: Database) -> None:
    await enqueued(database, Job("send", {}))
    async with database.statement() as connection:
        await connection.execute("UPDATE job SET attempts = 100000")
        await jobs.claim(connection, 1, 1)
        await jobs.fail(connection, 1, 1, "Broken")
    ((seconds,),) = await rows(database, "extract(epoch FROM due_at - now())::float8")
    assert 290 < seconds <= 601


async def test_a_failed_job_merges_with_the_one_that_waits(database: Database) -> None:
    await enqueued(database, FOLD)
    await claimed(database, 1)
    await enqueued(database, FOLD)
    async with database.statement() as connection:
        await jobs.fail(connection, 1, 1, "Broken")
    assert await rows(database, "id, state, attempts, error") == [(2, "ready", 1, "Broken")]


async def test_new_work_does_not_shorten_a_backoff(database: Database) -> None:
    await enqueued(database, FOLD)
    await claimed(database, 1)
    async with database.statement() as connection:
        await jobs.fail(connection, 1, 1, "Broken")
        await connection.execute("UPDATE job SET due_at = now() + interval '5 min'")
    await enqueued(database, FOLD)
    assert await published(database) == []


async def test_new_work_shortens_a_delay(database: Database) -> None:
    await enqueued(database, Job("fold", {}, "1", delay_seconds=60))
    await enqueued(database, Job("fold", {}, "1"))
    assert await published(database) == [1]


async def test_the_jobs_of_a_dead_worker_are_adopted_and_those_of_a_live_one_not(
    database: Database,
) -> None:
    await enqueued(database, Job("send", {}), Job("send", {}))
    async with await living(database, 1), await living(database, 2) as dying:
        await claimed(database, 1, worker=1)
        await claimed(database, 2, worker=2)
        async with database.statement() as connection:
            assert await jobs.adopt(connection, 1, {1}) == 0
            await ended(dying, connection)
            assert await jobs.adopt(connection, 1, {1}) == 1
        found = await rows(database, "state, worker, attempts, error")
        assert found == [("running", 1, 1, None), ("ready", None, 1, "The worker ended")]


async def test_a_worker_adopts_what_it_has_long_not_known_to_run(database: Database) -> None:
    await enqueued(database, FOLD)
    async with await living(database, 1):
        await claimed(database, 1, worker=1)
        async with database.statement() as connection:
            assert await jobs.adopt(connection, 1, ()) == 0
            await connection.execute("UPDATE job SET due_at = now() - interval '31 s'")
            assert await jobs.adopt(connection, 1, {1}) == 0
            assert await jobs.adopt(connection, 1, ()) == 1
        assert await rows(database) == [("fold", "ready", 1)]


async def test_a_parked_job_waits_for_the_operator(database: Database) -> None:
    await enqueued(database, FOLD)
    async with database.statement() as connection:
        assert await jobs.park(connection, 1)
        assert not await jobs.park(connection, 1)
        assert await published(database) == []
        assert await claimed(database, 1) is None
        assert await jobs.unpark(connection, 1)
        assert not await jobs.unpark(connection, 1)
    assert await rows(database) == [("fold", "ready", 0)]
    assert await published(database) == [2]


async def test_the_backlog_counts_each_state_and_the_age_of_its_oldest(database: Database) -> None:
    await enqueued(database, Job("send", {}), Job("send", {}), Job("send", {}))
    await claimed(database, 3)
    async with database.statement() as connection:
        await connection.execute("UPDATE job SET created_at = now() - interval '60 s'")
        found = await jobs.backlog(connection)
    assert {state: count for state, (count, _) in found.items()} == {
        "ready": 2,
        "running": 1,
        "parked": 0,
    }
    assert found["ready"][1] == pytest.approx(60, abs=5)
    assert found["parked"][1] == 0


async def test_a_job_of_later_is_not_old_before_its_time(database: Database) -> None:
    await enqueued(database, Job("sweep", {}, delay_seconds=3600))
    async with database.statement() as connection:
        await connection.execute("UPDATE job SET created_at = now() - interval '60 s'")
        assert (await jobs.backlog(connection))["ready"] == (1, 0.0)
