"""Sessions behind the second wall when something goes wrong there: nobody gets another's reach."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from psycopg import errors

from fhir_server import second_wall
from fhir_server.database import Connection, Database
from fhir_server.errors import Unavailable
from fhir_server.second_wall import READER, Reach

PATIENTS = Reach("{103}")
BOTH = Reach("{96,103}")
NOTHING = Reach("{}")

MAKE = """
INSERT INTO resource (key, type_id, id, version, last_updated, deleted, content_hash, feed_xid)
SELECT n, CASE WHEN n <= 2 THEN 96 ELSE 103 END, 'x' || n, 1, now(), false, '', '1'
FROM generate_series(1, 5) AS n;
INSERT INTO body (key, version, last_updated, method, json)
SELECT n, 1, now(), 1, '{}' FROM generate_series(1, 5) AS n
"""
COUNT = "SELECT count(*), current_user::text FROM body"


@pytest.fixture
async def walled(database_url: str) -> AsyncIterator[Database]:
    """Pools over two resources of one type and three of another, walled; a second for a read."""
    opened = Database(database_url, size=2, read_seconds=1, walled=True)
    await opened.open()
    async with opened.statement() as connection:
        await connection.execute(MAKE)
    yield opened
    await opened.close()


async def counted(connection: Connection) -> tuple[int, bool]:
    """How many bodies a connection shows, and whether it is the reader's."""
    row = await (await connection.execute(COUNT)).fetchone()
    assert row is not None
    return row[0], row[1] == READER


async def seen(database: Database, reach: Reach) -> int:
    async with database.restricted(reach) as connection:
        found, behind = await counted(connection)
    assert behind
    return found


async def test_a_reader_who_is_cancelled_leaves_nobody_his_reach(walled: Database) -> None:
    async def slow() -> None:
        async with walled.restricted(BOTH) as connection:
            assert await counted(connection) == (5, True)
            await connection.execute("SELECT pg_sleep(0.9)")

    for _ in "twice":
        task = asyncio.create_task(slow())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [await seen(walled, one) for one in (NOTHING, PATIENTS, BOTH)] == [0, 3, 5]


async def test_telling_that_is_cut_short_is_told_again(
    walled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await seen(walled, PATIENTS) == 3
    execute: Any = psycopg.AsyncConnection.execute

    async def late(connection: Connection, query: str, *values: object, **how: object) -> object:
        done = await execute(connection, query, *values, **how)
        if query == second_wall.TELL:
            # The database has done it, and who asked has gone before he heard so.
            raise asyncio.CancelledError
        return done

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.AsyncConnection, "execute", late)
        with pytest.raises(asyncio.CancelledError):
            await seen(walled, BOTH)
    assert [await seen(walled, one) for one in (PATIENTS, PATIENTS, NOTHING)] == [3, 3, 0]


async def test_a_statement_that_lasts_too_long_leaves_nobody_its_reach(walled: Database) -> None:
    with pytest.raises(Unavailable):
        async with walled.restricted(BOTH) as connection:
            await connection.execute("SELECT pg_sleep(2)")
    assert [await seen(walled, one) for one in (PATIENTS, NOTHING)] == [3, 0]


@pytest.mark.parametrize(
    ("attempt", "left"),
    [
        ("RESET ROLE", 3),
        ("RESET SESSION AUTHORIZATION", 3),
        ("RESET ALL", 0),
        ("DISCARD ALL", 0),
    ],
)
async def test_a_session_that_is_reset_is_still_the_readers(
    walled: Database, attempt: str, left: int
) -> None:
    async with walled.restricted(PATIENTS) as connection:
        await connection.execute(attempt)
        assert await counted(connection) == (left, True)
    assert [await seen(walled, one) for one in (PATIENTS, NOTHING, BOTH)] == [left, 0, 5]


async def test_a_transaction_is_behind_it_for_a_while_alone(walled: Database) -> None:
    async with walled.transaction() as connection:
        async with walled.behind(connection, PATIENTS):
            assert await counted(connection) == (3, True)
            async with walled.behind(connection, NOTHING):
                assert await counted(connection) == (0, True)
            assert await counted(connection) == (3, True)
            with pytest.raises(errors.DivisionByZero):
                async with connection.transaction(), walled.behind(connection, BOTH):
                    await connection.execute("SELECT 1 / 0")
            assert await counted(connection) == (3, True)
        assert await counted(connection) == (5, False)


async def test_a_transaction_that_broke_behind_it_writes_nothing(walled: Database) -> None:
    async def broken() -> None:
        async with walled.transaction() as connection:
            await connection.execute("DELETE FROM body")
            with suppress(errors.InsufficientPrivilege):
                async with walled.behind(connection, PATIENTS):
                    await connection.execute("DELETE FROM body")

    with pytest.raises(Unavailable):
        await broken()
    async with walled.transaction() as connection:
        assert await counted(connection) == (5, False)


async def test_a_writer_who_is_cancelled_behind_it_leaves_no_reader(walled: Database) -> None:
    async def slow() -> None:
        async with walled.transaction() as connection, walled.behind(connection, PATIENTS):
            await connection.execute("SELECT pg_sleep(0.9)")

    task = asyncio.create_task(slow())
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with walled.statement() as first, walled.statement() as second:
        assert [await counted(one) for one in (first, second)] == [(5, False)] * 2


async def test_a_connection_in_autocommit_is_behind_it_too(walled: Database) -> None:
    async with walled.statement() as connection:
        async with walled.behind(connection, PATIENTS):
            assert await counted(connection) == (3, True)
        assert await counted(connection) == (5, False)


async def test_what_is_tried_for_a_sender_shows_a_restricted_caller_nothing(
    walled: Database,
) -> None:
    async with walled.trial() as tried:
        with pytest.raises(Unavailable):
            await seen(tried, BOTH)
        async with tried.transaction() as connection:
            with pytest.raises(Unavailable):
                async with tried.behind(connection, BOTH):
                    pass
