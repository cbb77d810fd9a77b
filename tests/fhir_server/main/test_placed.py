"""Commands of other packages take --data-dir and --database-url like those of the server."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fhir_server.main.cli import app


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A directory without data, and no variable that names any."""
    monkeypatch.chdir(tmp_path)
    for name in ("SANGAM_DATA_DIR", "SANGAM_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("hl7", "status"), id="of_a_group"),
        pytest.param(("hl7", "outbound", "list"), id="of_a_group_in_it"),
        pytest.param(("jobs", "list"), id="of_the_jobs"),
        pytest.param(("dicom", "peers", "list"), id="of_dicom"),
    ],
)
def test_the_database_can_be_named(command: tuple[str, ...], database_url: str) -> None:
    asked = CliRunner().invoke(app, [*command, "--database-url", database_url])
    assert (asked.exit_code, asked.exception) == (0, None), asked.output


def test_the_directory_that_was_named_is_looked_at(tmp_path: Path) -> None:
    there = tmp_path / "there"
    asked = CliRunner().invoke(app, ["hl7", "status", "--data-dir", str(there)])
    assert asked.exit_code == 1
    assert f"No data in {there}." in asked.output.replace("\n", "")
