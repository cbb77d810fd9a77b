"""The schema that migrations make."""

from collections.abc import Iterator

import psycopg
import pytest
from alembic.script import ScriptDirectory
from psycopg import conninfo, sql

from fhir_server.main import migrate, schema


def test_the_migrated_database_equals_the_declared_one(database_url: str) -> None:
    assert migrate.differences(database_url) == []


def test_a_migrated_database_is_current_and_migrating_again_changes_nothing(
    database_url: str,
) -> None:
    assert migrate.is_current(database_url)
    migrate.migrate(database_url)
    assert migrate.is_current(database_url)


def test_a_start_finds_the_newest_revision_without_alembic(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(schema, "found", lambda place: asked.append(place) or asked.append)
    with psycopg.connect(database_url) as connection:
        assert schema.is_newest(connection)
    schema.migrate(database_url)
    assert asked == []
    assert [schema.newest()] == ScriptDirectory(str(schema.SCRIPTS)).get_heads()


def test_a_schema_that_was_never_migrated_is_not_taken_for_the_one_beside_it(
    database_url: str,
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE SCHEMA apart")
        connection.execute("SET LOCAL search_path TO apart, public")
        assert not schema.is_newest(connection)
        connection.rollback()


@pytest.fixture
def empty_url(server_uri: str, worker_id: str) -> Iterator[str]:
    """A database without a table."""
    name = sql.Identifier(f"sangam_migrate_{worker_id}")
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name)
    with psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(drop)
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        yield conninfo.make_conninfo(server_uri, dbname=f"sangam_migrate_{worker_id}")
        connection.execute(drop)


def test_readers_of_the_change_feed_go_on_from_where_they_were(empty_url: str) -> None:
    migrate.migrate(empty_url, "0021")
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("INSERT INTO hl7_law_feed VALUES (1, 71, 5)")
        connection.execute("INSERT INTO hl7_outbound_feed VALUES (1, 72, 6)")
        migrate.migrate(empty_url, "0022")
        query = "SELECT name, feed_xid::text, position FROM feed_reader ORDER BY name"
        rows = connection.execute(query).fetchall()
    assert rows == [("hl7.law", "71", 5), ("hl7.outbound", "72", 6)]


def test_database_of_the_first_dicom_release_gets_every_table(empty_url: str) -> None:
    """Revisions 0019 to 0021 were given away empty, and databases are at them."""
    migrate.migrate(empty_url, "0018")
    with psycopg.connect(empty_url, autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0021'")
    migrate.migrate(empty_url)
    assert migrate.differences(empty_url) == []
