import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from adapters.hl7.inbox.receive import store
from adapters.hl7.mllp.examine import examine
from adapters.hl7.mllp.framing import Frame, Kind
from adapters.hl7.operators.cli import app
from adapters.hl7.operators.overview import span
from fhir_server.config import Settings
from fhir_server.database import Database
from fhir_server.hl7_settings import Hl7Settings
from fhir_server.main import wiring
from fhir_server.main.cli import app as sangam_app
from fhir_server.server import Server

MSH = "MSH|^~\\&|LIS|LAB|EHR|H|2026||{}|{}|P|2.5.1\r"
FRAMES = [
    Frame(Kind.WHOLE, (MSH.format("ORU^R01", "C1") + "PID|1||P1\rOBR|1\r").encode()),
    Frame(Kind.WHOLE, MSH.format("BAR^P01", "C2").encode()),
    Frame(Kind.WHOLE, (MSH.format("ORU^R01", "C3") + "OBR|1\r").encode()),
    Frame(Kind.JUNK, b"GET /"),
]
Invoke = Callable[..., str]


@pytest.fixture
def sangam(database_url: str) -> Invoke:
    """The commands over an inbox of four rows: stored, rejected, rejected, dead."""

    @asynccontextmanager
    async def opening() -> AsyncIterator[Database]:
        database = Database(database_url, size=2)
        await database.open()
        try:
            yield database
        finally:
            await database.close()

    async def fill() -> None:
        async with opening() as database:
            now = datetime.now(UTC)
            group = [(examine(frame, Hl7Settings(), now), "test") for frame in FRAMES]  # type: ignore[call-arg]
            await store(database, "mllp", group)

    def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        asyncio.run(work())

    def invoke(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(app, arguments, obj=opening, env={"COLUMNS": "200"})
        assert result.exit_code == code, result.output
        return result.output

    run(fill)
    return invoke


def states(database_url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database_url) as connection:
        return connection.execute("SELECT state, reason FROM hl7_message ORDER BY id").fetchall()


def test_list_shows_the_newest_first(sangam: Invoke) -> None:
    lines = [line for line in sangam("list").splitlines() if "LIS-LAB" in line]
    assert [line.split("│")[4].strip() for line in lines] == ["ORU^R01", "BAR^P01", "ORU^R01"]


def test_list_can_be_narrowed(sangam: Invoke) -> None:
    shown = sangam("list", "--state", "rejected", "--reason", "NO_PATIENT_ID")
    assert "PID: The PID segment is missing" in shown
    assert "BAR^P01" not in shown


def test_list_goes_on_before_an_id(sangam: Invoke) -> None:
    assert "ORU^R01" in sangam("list", "--before", "2", "--sender", "LIS-LAB")
    assert "BAR^P01" not in sangam("list", "--before", "2")
    assert "LIS-LAB" not in sangam("list", "--sender", "nobody")


def test_sources_tell_what_waits(sangam: Invoke) -> None:
    rows = [[c.strip() for c in line.split("│")[1:-1]] for line in sangam("sources").splitlines()]
    (found,) = [row for row in rows if row and row[0] == "LIS-LAB"]
    assert found[1] == "mllp"
    assert found[3:6] == ["3", "0", "1"]
    assert found[7] == "0"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-1, "0 s"), (59, "59 s"), (90, "2 min"), (7_200, "2 h"), (200_000, "2 days")],
)
def test_times_are_told_as_persons_do(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_unmapped_sums_by_field(sangam: Invoke, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        leaves = '[["ZXX[1]-2[1].1.1", "z_segment"], ["ZXX[2]-2[1].1.1", "z_segment"]]'
        connection.execute("UPDATE hl7_message SET unmapped = %s WHERE id = 1", (leaves,))
    rows = [[c.strip() for c in line.split("│")[1:-1]] for line in sangam("unmapped").splitlines()]
    assert ["LIS-LAB", "ZXX-2", "local segment; a profile can map it", "2", "1"] in rows


def test_status_counts(sangam: Invoke) -> None:
    rows = [[c.strip() for c in line.split("│")[1:-1]] for line in sangam("status").splitlines()]
    assert [row for row in rows if row and row[0] in {"dead", "rejected", "stored"}] == [
        ["dead", "FRAMING_NO_START", "1"],
        ["rejected", "NO_PATIENT_ID", "1"],
        ["rejected", "UNSUPPORTED_MESSAGE", "1"],
        ["stored", "", "1"],
    ]


def test_show_tells_what_became_of_a_message(sangam: Invoke) -> None:
    assert '"reason": "UNSUPPORTED_MESSAGE"' in sangam("show", "2")
    assert "no such message" in sangam("show", "99", code=2)


def test_replay_by_id(sangam: Invoke, database_url: str) -> None:
    assert "1 messages" in sangam("replay", "3")
    assert states(database_url)[2] == ("stored", None)
    assert states(database_url)[1] == ("rejected", "UNSUPPORTED_MESSAGE")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param(("replay", "3", "99"), ["1 messages", "There is no message 99."], id="replay"),
        pytest.param(
            ("replay", "3", "1", "--preview"),
            ["Message 1 is stored, and was not previewed."],
            id="preview",
        ),
        pytest.param(
            ("dismiss", "4", "3", "--comment", "no"),
            ["1 messages are", "Message 3 is rejected, and was not dismissed."],
            id="dismiss",
        ),
        pytest.param(
            ("release", "4", "98"),
            ["Message 4 is dead, and was not released: it holds nothing.", "no message 98."],
            id="release",
        ),
    ],
)
def test_named_messages_that_are_left_are_told_and_end_with_one(
    command: tuple[str, ...], said: list[str], sangam: Invoke, database_url: str, settings: Settings
) -> None:
    env = {"SANGAM_DATABASE_URL": database_url, "SANGAM_DATA_DIR": str(settings.data_dir)}
    result = CliRunner().invoke(sangam_app, ["hl7", *command], env={**env, "COLUMNS": "200"})
    assert result.exit_code == 1, result.output
    for one in said:
        assert one in result.output


def test_replay_by_reason(sangam: Invoke, database_url: str) -> None:
    sangam("replay", "--state", "rejected", "--reason", "UNSUPPORTED_MESSAGE")
    assert [state for state, _ in states(database_url)] == [
        *("stored", "stored", "rejected", "dead")
    ]


def test_replay_leaves_what_is_no_message(sangam: Invoke, database_url: str) -> None:
    assert "0 messages" in sangam("replay", "--all")
    assert states(database_url)[3] == ("dead", "FRAMING_NO_START")


def test_replay_of_everything_must_be_meant(sangam: Invoke) -> None:
    assert "--all" in sangam("replay", code=2)


def test_replay_is_recorded_and_leaves_a_job(sangam: Invoke, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM job")
    sangam("replay", "2", "3")
    with psycopg.connect(database_url) as connection:
        jobs = connection.execute("SELECT kind, dedupe_key FROM job").fetchall()
        query = "SELECT jsonb_array_length(replays) FROM hl7_message WHERE id IN (2, 3)"
        replays = connection.execute(query).fetchall()
    assert jobs == [("hl7.process", "inbox")]
    assert replays == [(1,), (1,)]


def test_dismiss_needs_a_dead_letter_and_a_comment(sangam: Invoke, database_url: str) -> None:
    assert "--comment" in sangam("dismiss", "4", code=2)
    assert "1 messages" in sangam("dismiss", "1", "4", "--comment", "noise", code=1)
    assert [state for state, _ in states(database_url)] == [
        *("stored", "rejected", "rejected", "dismissed")
    ]


def test_release_is_for_what_holds(sangam: Invoke, database_url: str) -> None:
    assert "0 messages" in sangam("release", "4", code=1)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE hl7_message SET holds = true WHERE id = 4")
    assert "1 messages" in sangam("release", "4")


def test_replay_can_be_limited_in_time(sangam: Invoke) -> None:
    assert "0 messages" in sangam("replay", "--state", "rejected", "--until", "2020-01-01")
    assert "2 messages" in sangam("replay", "--state", "rejected", "--since", "2020-01-01")


def test_preview_shows_and_changes_nothing(
    sangam: Invoke, database_url: str, settings: Settings
) -> None:
    class Target:
        @asynccontextmanager
        async def server(self) -> AsyncIterator[Server]:
            async with wiring.running(settings, database_url, "http://x/fhir") as server:
                yield server

    assert "1 messages" in sangam("replay", "3")
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE hl7_message SET state = 'dead' WHERE id IN (1, 3)")
    arguments = ["replay", "1", "3", "--preview"]
    shown = CliRunner().invoke(app, arguments, obj=Target(), env={"COLUMNS": "200"}).output
    assert "message 1 would be done" in shown
    assert "create Patient/" in shown
    assert "message 3 would be dead NO_PATIENT_ID" in shown
    assert [state for state, _ in states(database_url)] == ["dead", "rejected", "dead", "dead"]


def test_commands_open_what_they_need(database_url: str, settings: Settings) -> None:
    env = {"SANGAM_DATABASE_URL": database_url, "SANGAM_DATA_DIR": str(settings.data_dir)}

    def said(*arguments: str) -> str:
        result = CliRunner().invoke(sangam_app, ["hl7", *arguments], env=env)
        return result.output

    assert "survivor" in said("merges")
    assert "There is no such merge" in said("unmerge", "1")
    assert said("replay", "--all", "--preview") == ""
