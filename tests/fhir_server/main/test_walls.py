"""What an operator is told of the second wall."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from fhir_server.api.app import create_app
from fhir_server.config import Settings
from fhir_server.database import Database
from fhir_server.errors import Unavailable
from fhir_server.main import walls
from fhir_server.main.refused import Refused
from fhir_server.main.startable import check_wall
from fhir_server.second_wall import Reach
from fhir_server.server import Server

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


ANYHOW = Settings.model_validate({"security": {"second_wall": "where possible"}})


def given(**more: Any) -> Settings:
    """Settings of a database that is not embedded."""
    return Settings.model_validate({"database_url": "postgresql://elsewhere/hospital", **more})


@pytest.mark.parametrize(
    ("settings", "required"),
    [
        pytest.param(Settings(), True, id="embedded"),
        pytest.param(Settings(demo=True), True, id="embedded demonstration"),
        pytest.param(
            Settings(security={"second_wall": "where possible"}),
            True,
            id="embedded whatever is said",
        ),
        pytest.param(given(), True, id="given"),
        pytest.param(given(demo=True), False, id="given to a demonstration"),
        pytest.param(given(security={"second_wall": "where possible"}), False, id="done without"),
        pytest.param(
            given(demo=True, security={"second_wall": "required"}), True, id="required by word"
        ),
    ],
)
def test_it_is_required_but_where_somebody_does_without(
    settings: Settings, server_uri: str, own_database: str, *, required: bool
) -> None:
    empty = make_conninfo(server_uri, dbname="template1")
    check_wall(settings, own_database)
    assert walls.warning(own_database) == ""
    with (
        pytest.raises(Refused, match=r"is missing: .*sangam migrate") if required else nullcontext()
    ):
        check_wall(settings, empty)
    assert walls.warning(empty).startswith("!! THE SECOND WALL is missing: the table body")


@pytest.mark.parametrize(
    ("walled", "status", "told"),
    [
        (False, 200, {"status": "ready", "warning": "there is no second wall"}),
        (True, 503, {"status": "the second wall is missing"}),
    ],
)
async def test_readiness_tells_of_a_database_without_one(
    server: Server, server_uri: str, status: int, told: dict[str, str], *, walled: bool
) -> None:
    empty = make_conninfo(server_uri, dbname="template1")
    database = Database(empty, size=2, idle_seconds=5, walled=walled)
    await database.open()
    transport = httpx.ASGITransport(app=create_app(replace(server, database=database)))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
        answer = await http.get("/health/ready")
    await database.close()
    assert (answer.status_code, answer.json()) == (status, told)


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
