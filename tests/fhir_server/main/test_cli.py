"""The command line as the person at it meets it."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.main import get_command
from typer.testing import CliRunner

from fhir_server import jobs
from fhir_server.database import Database
from fhir_server.jobs import Job
from fhir_server.main.cli import app
from fhir_server.main.commands import COMMANDS
from fhir_server.main.data_dir import locked


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory without data and without settings."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def url(database_url: str, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The database that commands find in the environment."""
    monkeypatch.setenv("SANGAM_DATABASE_URL", database_url)
    return database_url


def sangam(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def commands(group: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    for key, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{name}{key} ")
        else:
            yield f"{name}{key}", command


ALL = dict(commands(get_command(app)))


def test_the_commands_are_these() -> None:
    names = {name for name in ALL if " " not in name}
    assert names == {"serve", "worker", "migrate", "load", "send-hl7", "send-astm", "status"}


@pytest.mark.parametrize("name", ALL)
def test_each_command_and_option_says_what_it_is_for(name: str) -> None:
    command = ALL[name]
    assert command.help
    options = [one for one in command.params if one.param_type_name == "option"]
    assert [one.name for one in options if not one.help] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_what_help_says_of_a_command_is_what_the_command_says_of_itself(name: str) -> None:
    real = get_command(app).commands[name]  # type: ignore[attr-defined]
    assert COMMANDS[name].help == " ".join(real.help.split("\n\n")[0].split())
    assert hasattr(real, "commands") == (COMMANDS[name].kind != "command")


def test_the_supervisor_and_the_list_of_commands_import_next_to_nothing() -> None:
    code = "import fhir_server.main.serve_command, fhir_server.main.cli, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    large = {"sqlalchemy", "alembic", "fastapi", "pydicom", "celery", "cryptography", "httpx"}
    known = set(done.stdout.split())
    assert known & {*large, "fhir_server.main.wiring", "fhir_server.server"} == set()
    assert "fhir_server.main.entry" in known


def test_loading_ends_with_counts_and_refusals(url: str, elsewhere: Path) -> None:
    file = elsewhere / "a.ndjson"
    good = {"resourceType": "Patient", "id": "p1"}
    file.write_text(json.dumps(good) + '\n{"resourceType":"Patient","birthDate":"yesterday"}\n')
    done = sangam("load", str(file))
    assert done.exit_code == 1
    assert "1 refused" in done.output
    assert "a.ndjson:2" in done.output
    assert "yesterday" not in done.output
    file.write_text(json.dumps(good))
    done = sangam("load", str(file))
    assert done.exit_code == 0
    assert "refused" not in done.output


def test_migrating_says_whether_there_was_anything_to_do(url: str) -> None:
    assert sangam("migrate").output == "The database is current.\n"


def test_jobs_are_listed_parked_and_made_ready_again(url: str) -> None:
    async def enqueued() -> None:
        database = Database(url, size=1)
        await database.open()
        async with database.transaction() as connection:
            await jobs.enqueue(connection, [Job("dicom.fold", {"study": "1.2"}, "1.2")])
        await database.close()

    asyncio.run(enqueued())
    assert "dicom.fold" in sangam("jobs", "list", "--state", "ready").output
    assert sangam("jobs", "park", "1").output == "Job 1 is parked.\n"
    assert "dicom.fold" in sangam("jobs", "list", "--state", "parked").output
    again = sangam("jobs", "park", "1")
    assert (again.exit_code, again.output) == (1, "Job 1 does not wait.\n")
    assert sangam("jobs", "unpark", "1").output == "Job 1 is ready again.\n"
    assert sangam("jobs", "unpark", "1").exit_code == 1


def test_the_status_of_a_database_by_url_shows_what_is_in_it(url: str) -> None:
    done = sangam("status")
    assert done.exit_code == 0
    assert "not running" in done.output
    assert "change feed" in done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("status",), "No server runs on"),
        (("worker",), "needs --database-url"),
        (("worker", "--database-url", "postgresql://127.0.0.1:1/x"), "--broker-url"),
        (("migrate", "--database-url", "postgresql://127.0.0.1:1/x"), "cannot be reached"),
        (("send-hl7", "--port", "1", "a.hl7"), "Is the server running?"),
        (("send-hl7", "--port", "1", "b.hl7"), "none begins with MSH"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    elsewhere: Path, arguments: tuple[str, ...], words: str
) -> None:
    (elsewhere / "a.hl7").write_text("MSH|^~\\&|A\r")
    (elsewhere / "b.hl7").write_text("nothing")
    done = sangam(*arguments)
    assert done.exit_code == 1
    assert words in " ".join(done.output.split())


def test_a_data_directory_that_another_holds_is_left_alone(elsewhere: Path) -> None:
    data = elsewhere / "sangam-data"
    data.mkdir()
    with locked(data):
        done = sangam("migrate")
    assert done.exit_code == 1
    assert "Another server runs" in done.output
    assert not (data / "postgres").exists()


def test_commands_where_no_server_ran_name_the_directory_and_make_none(elsewhere: Path) -> None:
    done = sangam("hl7", "list")
    assert done.exit_code == 1
    assert f"No data in {elsewhere / 'sangam-data'}." in done.output
    assert list(elsewhere.iterdir()) == []


def test_a_state_of_the_inbox_that_does_not_exist_is_refused(url: str) -> None:
    done = sangam("hl7", "list", "--state", "deda")
    assert (done.exit_code, "dead" in done.output) == (2, True), url
