"""`sangam hl7 explain` prints what a message becomes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from adapters.hl7.operators.cli import app
from fhir_server.config import Settings
from fhir_server.main import wiring
from fhir_server.r4.definitions import load
from fhir_server.server import Server
from tests.adapters.hl7.inbox.joining import A, keep, result

EXAMPLES = Path(__file__).parents[4] / "docs" / "examples"
CHEMISTRY = str(EXAMPLES / "chemistry.hl7")
REFUSED = (
    "MSH|^~\\&|L|L|E|H|2026||ORU^R01|C1|P|2.5.1\rPID|1||P1^^^H\rOBR|1||F1|A"
    + "|" * 21
    + "Y\rOBX|1|NM|G||1||||||F\r"
)


def run(*arguments: str, code: int = 0, width: int = 160, obj: object = None) -> str:
    environment = {"COLUMNS": str(width)}
    found = CliRunner().invoke(app, ["explain", *arguments], obj=obj, env=environment)
    assert found.exit_code == code, found.output
    return found.output


@pytest.mark.parametrize("width", [80, 100, 160])
def test_the_table_is_as_wide_as_the_terminal_at_most(width: int) -> None:
    shown = run(CHEMISTRY, width=width)
    assert max(map(len, shown.splitlines())) <= width
    assert "OBX[3] → Observation[3] Potassium" in shown


def test_each_line_has_position_value_and_path() -> None:
    (line,) = [one for one in run(CHEMISTRY).splitlines() if "1.90" in one]
    assert line.split() == ["5", "1.90", "valueQuantity.value", "OBX[Observation]"]


def test_colours_are_for_terminals_alone() -> None:
    assert "\x1b" not in run(CHEMISTRY)


def test_only_unmapped_shows_reasons_in_words() -> None:
    shown = run(CHEMISTRY, "--only", "unmapped")
    assert "FHIR has no place for it here" in shown
    assert "valueQuantity" not in shown
    assert "Would be written" not in shown


def test_only_takes_what_there_is() -> None:
    assert "There is no mapt" in run(CHEMISTRY, "--only", "mapt", code=2)


def test_statistics_count_by_field() -> None:
    rows = [line.split() for line in run(CHEMISTRY, "--stats").splitlines()]
    assert ["OBX-5", "3", "3"] in rows
    assert ["MSH-3", "1", "1", "no_target"] in rows


def test_json_has_lines_and_resources_with_their_digits() -> None:
    shown = run(CHEMISTRY, "--json")
    (found,) = json.loads(shown)
    assert '"value":1.90' in shown
    assert found["written"][0]["content"]["resourceType"] == "Patient"
    (line,) = [one for one in found["lines"] if one["address"] == "OBX[2]-5[1].1.1"]
    assert [(one["resource"], one["path"]) for one in line["targets"]] == [
        ("Observation[2]", "Observation.valueQuantity.value")
    ]


def test_profile_of_the_command_line_is_used() -> None:
    profile = str(EXAMPLES / "profiles" / "city-lab.toml")
    file = str(EXAMPLES / "city-lab.hl7")
    (without,) = json.loads(run(file, "--json"))
    (with_it,) = json.loads(run(file, "--json", "--profile", profile))
    assert without["profile"] == "none"
    assert with_it["profile"].startswith("city-lab")


def test_records_of_analyzers_are_explained() -> None:
    assert "R[1] → Observation[1] Leukocytes" in run(str(EXAMPLES / "hematology.astm"))


def test_refused_message_says_what_to_do_and_ends_with_one(tmp_path: Path) -> None:
    file = tmp_path / "refused.hl7"
    file.write_text(REFUSED)
    shown = run(str(file), code=1)
    assert "It cannot be applied: UNMAPPABLE_STATUS" in shown
    assert "Correct it at the sender" in shown


def test_file_without_a_message_is_told(tmp_path: Path) -> None:
    file = tmp_path / "empty.txt"
    file.write_text("nothing\n")
    assert "no message" in run(str(file), code=2)


def test_a_file_or_an_id_is_wanted() -> None:
    assert "--id" in run(code=2)
    assert "--id" in run(CHEMISTRY, "--id", "1", code=2)


class Target:
    """What the command line gives: a way to open the server."""

    def __init__(self, settings: Settings, database_url: str) -> None:
        self._settings, self._url = settings, database_url

    @asynccontextmanager
    async def server(self) -> AsyncIterator[Server]:
        async with wiring.running(self._settings, self._url, "http://x/fhir") as server:
            yield server


def test_message_of_the_inbox_is_shown_without_values_and_the_reading_recorded(
    settings: Settings, database_url: str
) -> None:
    target = Target(settings, database_url)

    async def fill() -> None:
        async with target.server() as server:
            await keep(server, result(A, "F1", "4.75"))

    asyncio.run(fill())
    hidden = run("--id", "1", obj=target)
    assert "valueQuantity.value" in hidden
    assert [one for one in ("4.75", "Rao", "Asha") if one in hidden] == []
    assert "4.75" in run("--id", "1", "--values", obj=target)
    with psycopg.connect(database_url) as connection:
        query = "SELECT count(*) FROM resource WHERE type_id = %s"
        values = (load().type_ids["AuditEvent"],)
        assert connection.execute(query, values).fetchone() == (2,)
