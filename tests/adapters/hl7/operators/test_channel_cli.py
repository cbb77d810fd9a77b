from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from adapters.hl7.operators.cli import app
from fhir_server.database import Database


@pytest.fixture
def place(database_url: str) -> str:
    """A database in which one channel has run."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM hl7_channel")
        insert = "INSERT INTO hl7_channel (name, state, port, seen_at) VALUES (%s, %s, %s, now())"
        connection.execute(insert, ("lab", "listening", 2576))
    return database_url


def sangam(place: str, *arguments: str) -> Result:
    @asynccontextmanager
    async def opening() -> AsyncIterator[Database]:
        database = Database(place, size=2)
        await database.open()
        try:
            yield database
        finally:
            await database.close()

    return CliRunner().invoke(app, ["channel", *arguments], obj=opening, env={"COLUMNS": "160"})


def stopped(place: str) -> list[tuple[bool, bool]]:
    with psycopg.connect(place) as connection:
        query = "SELECT stopped, stopped_by IS NOT NULL FROM hl7_channel"
        return connection.execute(query).fetchall()


def test_channels_are_listed(place: str) -> None:
    (line,) = [one for one in sangam(place, "list").output.splitlines() if "lab" in one]
    assert [cell.strip() for cell in line.split("│")[1:4]] == ["lab", "listening", "2576"]


def test_channel_is_stopped_and_started(place: str) -> None:
    assert sangam(place, "stop", "lab").exit_code == 0
    assert stopped(place) == [(True, True)]
    assert "to be stopped" in sangam(place, "list").output
    assert sangam(place, "start", "lab").exit_code == 0
    assert stopped(place) == [(False, True)]


def test_unknown_channel_is_refused(place: str) -> None:
    assert sangam(place, "stop", "lba").exit_code == 2
    assert stopped(place) == [(False, False)]
