"""What an operator is told of the second wall."""

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from fhir_server.config import Settings
from fhir_server.database import Database
from fhir_server.errors import Unavailable
from fhir_server.main import walls
from fhir_server.main.opening import Refused, check_wall
from fhir_server.second_wall import Reach

LOGIN = "sangam_test_login"


@pytest.mark.parametrize(
    ("role", "told"),
    [
        pytest.param(None, "stands, but this login is a superuser", id="superuser"),
        pytest.param("GRANT sangam_reader TO {}", "stands", id="member of the reader"),
        pytest.param("REVOKE sangam_reader FROM {}", "may not become sangam_reader", id="not"),
    ],
)
async def test_status_tells_whether_it_stands_and_what_is_missing(
    database: Database, role: str | None, told: str
) -> None:
    async with database.transaction() as connection:
        if role is not None:
            await connection.execute(f"CREATE ROLE {LOGIN} NOINHERIT")
            await connection.execute(role.format(LOGIN))
            await connection.execute(f"SET LOCAL SESSION AUTHORIZATION {LOGIN}")
        found = await walls.second_wall(connection)
        await connection.execute("SET LOCAL SESSION AUTHORIZATION DEFAULT")
        await connection.execute(f"DROP ROLE IF EXISTS {LOGIN}")
    assert found == told if told == "stands" else told in found


async def test_status_of_a_database_without_a_policy(server_uri: str) -> None:
    empty = make_conninfo(server_uri, dbname="template1")
    async with await psycopg.AsyncConnection.connect(empty) as connection:
        assert "sangam migrate" in await walls.second_wall(connection)


def test_a_server_starts_without_one_unless_it_is_required(
    usual: Settings, own_database: str, server_uri: str
) -> None:
    security = usual.security.model_copy(update={"second_wall": "required"})
    required = usual.model_copy(update={"security": security})
    empty = make_conninfo(server_uri, dbname="template1")
    check_wall(required, own_database)
    check_wall(usual, empty)
    with pytest.raises(Refused, match="no second wall"):
        check_wall(required, empty)


async def test_where_it_is_required_and_missing_restricted_callers_read_nothing(
    server_uri: str,
) -> None:
    empty = make_conninfo(server_uri, dbname="template1")
    for walled, reads in ((True, False), (False, True)):
        database = Database(empty, size=2, idle_seconds=5, walled=walled)
        await database.open()
        try:
            assert await _reads(database) is reads
        finally:
            await database.close()


async def _reads(database: Database) -> bool:
    try:
        async with database.restricted(Reach("{}")) as connection:
            await connection.execute("SELECT 1")
    except Unavailable:
        return False
    return True
