"""`sangam hl7 destinations` and `sangam hl7 outbound`: what operators see and do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from adapters.hl7.operators.cli import app
from fhir_server.database import Database

INSERT = """
INSERT INTO hl7_outbound (destination, kind, event, control_id, keys, reference, version,
                          content_sha256, payload, state, detail)
VALUES ('LIS', 'feed', 'ADT^A08', %s, '{Patient/1}', 'Patient/1 ADT', 1, '', 'MSH', %s, %s)
"""


@pytest.fixture
def place(database_url: str) -> str:
    """A queue of which one message waits, and one was refused."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(INSERT, ("C1", "queued", "Not reached: write [outbound.tls] [/x]"))
        connection.execute(INSERT, ("C2", "dead", "The answer is AE"))
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

    return CliRunner().invoke(app, arguments, obj=opening, env={"COLUMNS": "180"})


def cells(output: str) -> list[list[str]]:
    lines = [line for line in output.splitlines() if "LIS" in line]
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines]


def states(place: str) -> list[tuple[str, str]]:
    with psycopg.connect(place) as connection:
        query = "SELECT control_id, state FROM hl7_outbound ORDER BY id"
        return connection.execute(query).fetchall()


def test_destinations_show_what_waits_and_why(place: str) -> None:
    (row,) = cells(sangam(place, "destinations").output)
    assert row == ["LIS", "1", "0", "1", "", "Not reached: write [outbound.tls] [/x]"]


def test_dead_letters_are_listed_sent_again_and_dismissed(place: str) -> None:
    (row,) = cells(sangam(place, "outbound", "list", "--state", "dead").output)
    assert (row[0], row[2:5], row[-1]) == ("2", ["LIS", "ADT^A08", "dead"], "The answer is AE")
    assert "1 messages will be sent again" in sangam(place, "outbound", "retry", "2").output
    assert states(place) == [("C1", "queued"), ("C2", "queued")]
    result = sangam(place, "outbound", "dismiss", "1", "--comment", "told by telephone")
    assert "1 messages are dismissed" in result.output
    assert states(place) == [("C1", "dismissed"), ("C2", "queued")]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param(("retry", "2", "3"), "Message 3 is done, and was not sent again.", id="retry"),
        pytest.param(("retry", "99"), "There is no message 99.", id="retry_none"),
        pytest.param(("dismiss", "99", "--comment", "x"), "There is no message 99.", id="dismiss"),
    ],
)
def test_named_messages_that_are_left_are_told_and_end_with_one(
    command: tuple[str, ...], said: str, place: str
) -> None:
    with psycopg.connect(place, autocommit=True) as connection:
        connection.execute(INSERT, ("C3", "done", ""))
    result = sangam(place, "outbound", *command)
    assert result.exit_code == 1, result.output
    assert said in result.output
