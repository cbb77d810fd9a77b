"""The secret of a database: settled once, kept, and proved."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo, sql

from fhir_server.config import Settings
from fhir_server.database import Database
from fhir_server.errors import Conflict
from fhir_server.installation import Keys, keys
from fhir_server.main import migrate, preparing, wiring
from fhir_server.search.context import DEFAULT_SECRET
from tests.conftest import BASE

SECRET = b"a secret of this test, thirty-two bytes"
RESOURCE = """
INSERT INTO resource (key, type_id, id, version, last_updated, deleted, content_hash, feed_xid)
VALUES (1, 1, 'a', 1, now(), false, '', '1')
"""


async def settled(database: Database, given: bytes | None = None) -> Keys:
    async with database.statement() as connection:
        return await keys(connection, given)


async def run(database: Database, statement: str) -> None:
    async with database.statement() as connection:
        await connection.execute(statement)


async def test_the_first_start_makes_a_secret_and_the_next_find_it(database: Database) -> None:
    first = await settled(database)
    assert await settled(database) == first
    assert len({first.terms, first.pages, DEFAULT_SECRET}) == 3
    assert {len(first.terms), len(first.pages)} == {32}


async def test_servers_that_start_together_agree(database: Database) -> None:
    found = await asyncio.gather(*(settled(database) for _ in range(6)))
    assert len(set(found)) == 1


async def test_each_database_has_its_own(database: Database) -> None:
    first = await settled(database)
    await run(database, "DELETE FROM installation")
    assert await settled(database) != first


async def test_a_secret_in_a_file_is_not_in_the_database(database: Database) -> None:
    first = await settled(database, SECRET)
    assert await settled(database, SECRET) == first
    async with database.connection() as connection:
        row = await (
            await connection.execute("SELECT root, terms_key FROM installation")
        ).fetchone()
    assert row == (None, None)
    await run(database, "DELETE FROM installation")
    assert await settled(database, SECRET) == first


@pytest.mark.parametrize(
    ("first", "later", "text"),
    [
        (SECRET, SECRET[::-1], "does not hold this database's secret"),
        (SECRET, None, "name it by the setting secret_file"),
        (None, SECRET, "does not hold this database's secret"),
    ],
    ids=["another file", "no file", "a file where the database has one"],
)
async def test_another_secret_is_refused(
    database: Database, first: bytes | None, later: bytes | None, text: str
) -> None:
    await settled(database, first)
    with pytest.raises(Conflict, match=text):
        await settled(database, later)


async def test_resources_without_their_secret_are_refused(database: Database) -> None:
    await run(database, RESOURCE)
    with pytest.raises(Conflict, match="a table was not restored"):
        await settled(database)


@pytest.fixture
def before(server_uri: str) -> Iterator[str]:
    """A database as it was before there were secrets."""
    name = sql.Identifier(f"sangam_before_{os.environ.get('PYTEST_XDIST_WORKER', 'gw0')}")
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name)
    with psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(drop)
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        url = conninfo.make_conninfo(server_uri, dbname=name.as_string().strip('"'))
        migrate.migrate(url, "0003")
        yield url
        connection.execute(drop)


@pytest.mark.parametrize("given", [None, SECRET])
@pytest.mark.parametrize("resources", [1, 0])
async def test_a_database_that_was_indexed_keeps_its_first_key_and_no_other(
    before: str, resources: int, given: bytes | None
) -> None:
    if resources:
        with psycopg.connect(before) as connection:
            connection.execute(RESOURCE)
    migrate.migrate(before)
    async with await psycopg.AsyncConnection.connect(before, autocommit=True) as opened:
        found = await keys(opened, given)
        assert (found.terms == DEFAULT_SECRET) == bool(resources)
        assert found.pages != DEFAULT_SECRET
        assert await keys(opened, given) == found


async def test_a_server_reads_its_secret_from_the_file(
    database_url: str, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(SECRET + b"\n")
    own = settings.model_copy(update={"secret_file": str(file)})
    async with wiring.running(own, database_url, BASE) as server:
        context = server.registry.context
        async with server.database.statement() as connection:
            assert await keys(connection, SECRET) == Keys(context.secret, context.page_key)


@pytest.mark.parametrize(
    ("content", "text"), [(None, "cannot be read"), (b"short", "less than 32 bytes")]
)
def test_a_file_without_a_secret_is_refused(
    settings: Settings, tmp_path: Path, content: bytes | None, text: str
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(Conflict, match=text):
        wiring.secret(settings.model_copy(update={"secret_file": str(file)}))


def test_the_supervisor_does_not_start_on_another_secret(
    database_url: str, settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "secret"
    file.write_bytes(SECRET)
    preparing.check_secret(settings.model_copy(update={"secret_file": str(file)}), database_url)
    with pytest.raises(Conflict, match="name it by the setting secret_file"):
        preparing.check_secret(settings, database_url)
