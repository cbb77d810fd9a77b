"""The change feed under transactions that commit late and out of order."""

import psycopg
import pytest

from fhir_server import changes
from fhir_server.changes import Cursor
from fhir_server.database import Connection, Database
from tests.cluster import no_others

_INSERT = """
INSERT INTO change (feed_xid, key, version, type_id, method, at)
VALUES (pg_current_xact_id(), %s, 1, 1, 1, now())
"""


async def write(connection: Connection, key: int) -> None:
    await connection.execute(_INSERT, (key,))


async def written(database: Database, key: int) -> None:
    async with database.transaction() as connection:
        await write(connection, key)


async def keys(database: Database, after: Cursor, limit: int = 10) -> tuple[list[int], Cursor]:
    async with database.connection() as connection:
        page = await changes.read(connection, after, limit)
    return [change.key for change in page.changes], page.reached


async def test_changes_come_in_order_and_once(database: Database) -> None:
    for key in (3, 1, 2):
        await written(database, key)
    await no_others(database)
    first, reached = await keys(database, Cursor(), limit=2)
    second, end = await keys(database, reached)
    assert (first, second) == ([3, 1], [2])
    assert await keys(database, end) == ([], end)


async def test_a_late_commit_is_missed_by_no_reader(database: Database) -> None:
    late = await psycopg.AsyncConnection.connect(database.conninfo)
    await write(late, 1)
    await written(database, 2)
    nothing, reached = await keys(database, Cursor())
    assert (nothing, reached) == ([], Cursor())
    await late.commit()
    await late.close()
    await no_others(database)
    both, _ = await keys(database, reached)
    assert both == [1, 2]


async def test_a_transaction_older_than_a_reading_holds_back_only_what_is_younger(
    database: Database,
) -> None:
    await written(database, 1)
    late = await psycopg.AsyncConnection.connect(database.conninfo)
    await write(late, 2)
    await written(database, 3)
    await no_others(database)
    before, reached = await keys(database, Cursor())
    await late.rollback()
    await late.close()
    after, _ = await keys(database, reached)
    assert (before, after) == ([1], [3])


async def test_the_lag_is_the_age_of_the_oldest_change_held_back(database: Database) -> None:
    late = await psycopg.AsyncConnection.connect(database.conninfo)
    await write(late, 1)
    async with database.transaction() as connection:
        await write(connection, 2)
        await connection.execute("UPDATE change SET at = at - interval '60 s' WHERE key = 2")
    async with database.connection() as connection:
        assert await changes.lag_seconds(connection) == pytest.approx(60, abs=5)
        await late.rollback()
        await late.close()
        await no_others(database)
        assert await changes.lag_seconds(connection) == 0
