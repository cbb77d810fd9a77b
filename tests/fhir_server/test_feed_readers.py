"""Readers of the change feed that act in a transaction, beside others and beside writers."""

import asyncio

import psycopg
import pytest

from fhir_server import changes, feed_readers
from fhir_server.changes import Cursor
from fhir_server.database import Database
from tests.cluster import no_others

_INSERT = """
INSERT INTO change (feed_xid, key, version, type_id, method, at)
SELECT pg_current_xact_id(), key, 1, %s, 1, now() - interval '60 s'
FROM unnest(%s::bigint[]) AS key
"""


async def write(database: Database, type_id: int, *keys: int) -> None:
    async with database.transaction() as connection:
        await connection.execute(_INSERT, (type_id, list(keys)))
    await no_others(database)


async def took(
    database: Database, name: str = "reader", types: tuple[int, ...] | None = None, limit: int = 10
) -> list[int]:
    async with database.transaction() as connection:
        page = await feed_readers.take(connection, name, types, limit, Cursor())
    return [one.key for one in page.changes]


async def test_each_reader_takes_each_change_once_and_in_order(database: Database) -> None:
    await write(database, 1, 3, 1, 2)
    first = [await took(database, "one", limit=2), await took(database, "one", limit=2)]
    assert (first, await took(database, "one")) == ([[3, 1], [2]], [])
    assert await took(database, "two") == [3, 1, 2]


async def test_what_a_transaction_took_and_undid_comes_again(database: Database) -> None:
    await write(database, 1, 1)
    await took(database, limit=1)
    await write(database, 1, 2)

    async def fails() -> None:
        async with database.transaction() as connection:
            assert (await feed_readers.take(connection, "reader")).changes[0].key == 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    assert (await took(database), await took(database)) == ([2], [])


async def test_a_new_reader_begins_with_what_comes_after_it(database: Database) -> None:
    await write(database, 1, 1)
    async with database.transaction() as connection:
        assert (await feed_readers.take(connection, "reader")).changes == ()
    await write(database, 1, 2)
    assert await took(database) == [2]


async def test_changes_of_other_types_are_passed_over_for_good(database: Database) -> None:
    await write(database, 1, 1)
    await write(database, 2, 2)
    await write(database, 1, 3)
    assert await took(database, types=(2,), limit=1) == [2]
    assert await took(database, types=(2,)) == []
    async with database.connection() as connection:
        assert await feed_readers.lags(connection) == [("reader", 0.0)]
    assert await took(database, types=None) == []


@pytest.mark.parametrize(
    ("limit", "more"), [pytest.param(2, True, id="full"), pytest.param(3, False, id="not_full")]
)
async def test_a_full_page_says_that_there_may_be_more(
    database: Database, limit: int, *, more: bool
) -> None:
    await write(database, 1, 1, 2)
    async with database.transaction() as connection:
        page = await feed_readers.take(connection, "reader", (1,), limit, Cursor())
    assert (len(page.changes), page.more) == (2, more)


async def test_a_page_without_a_wanted_type_says_that_there_may_be_more(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "_SCANNED", 2)
    await write(database, 1, 1, 2)
    await write(database, 2, 3)
    async with database.transaction() as connection:
        first = await feed_readers.take(connection, "reader", (2,), 1, Cursor())
        second = await feed_readers.take(connection, "reader", (2,), 1)
    assert (first.changes, first.more) == ((), True)
    assert [one.key for one in second.changes] == [3]


async def test_deletions_alone_can_be_taken(database: Database) -> None:
    await write(database, 1, 1, 2)
    async with database.statement() as connection:
        await connection.execute("UPDATE change SET method = 3 WHERE key = 2")
    await no_others(database)
    async with database.transaction() as connection:
        page = await feed_readers.take(connection, "reader", begin=Cursor(), deletions=True)
    assert [one.key for one in page.changes] == [2]
    assert await took(database) == []


async def test_two_processes_of_one_reader_take_turns(database: Database) -> None:
    await write(database, 1, 1)
    async with database.transaction() as connection:
        await feed_readers.take(connection, "reader", None, 1, Cursor())
        other = asyncio.create_task(took(database))
        while True:
            row = await (
                await connection.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            ).fetchone()
            if row and row[0]:
                break
    assert await other == []


async def test_a_late_commit_is_taken_later(database: Database) -> None:
    await took(database)
    late = await psycopg.AsyncConnection.connect(database.conninfo)
    await late.execute(_INSERT, (1, [1]))
    async with database.transaction() as connection:
        await connection.execute(_INSERT, (1, [2]))
    assert await took(database) == []
    await late.commit()
    await late.close()
    await no_others(database)
    assert await took(database) == [1, 2]


async def test_the_lag_of_a_reader_is_the_age_of_what_it_has_not_passed(database: Database) -> None:
    await took(database)
    await write(database, 1, 1)
    async with database.connection() as connection:
        assert await feed_readers.lags(connection) == [("reader", pytest.approx(60, abs=5))]


async def test_the_lag_of_the_audit_is_that_of_what_was_recorded(database: Database) -> None:
    async with database.transaction() as connection:
        await feed_readers.move(connection, "audit", Cursor())
    await write(database, 1, 1)
    async with database.transaction() as connection:
        assert await feed_readers.lags(connection) == [("audit", 0.0)]
        await connection.execute(
            "INSERT INTO audit_record (position, at, said) VALUES (1, now() - interval '30 s', '')"
        )
        assert await feed_readers.lags(connection) == [("audit", pytest.approx(30, abs=5))]


async def test_a_forgotten_reader_is_new_again(database: Database) -> None:
    await took(database)
    async with database.statement() as connection:
        known = await feed_readers.place(connection, "reader")
        await feed_readers.forget(connection, "reader")
        assert known is not None
        assert await feed_readers.place(connection, "reader") is None


async def test_who_acts_elsewhere_moves_when_he_has_acted(database: Database) -> None:
    await write(database, 1, 1)
    async with database.statement() as connection:
        page = await changes.read(connection, Cursor(), 10)
        await feed_readers.move(connection, "reader", page.reached)
        assert await feed_readers.place(connection, "reader") == page.reached
    assert await took(database) == []
