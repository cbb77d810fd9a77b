"""`sangam package` as the person at it meets it, and as docs/packages.md shows it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from fhir_server.main.cli import app

ROOT = Path(__file__).parents[3]
GUIDE = str(ROOT / "docs/examples/guide")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", (ROOT / "docs/packages.md").read_text(), re.DOTALL)
    for line in block.splitlines()
]


@pytest.fixture
def _here(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SANGAM_DATABASE_URL", database_url)
    monkeypatch.setenv("SANGAM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(ROOT)
    return


def sangam(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.mark.usefixtures("_here")
def test_the_commands_of_the_page() -> None:
    done = [sangam(*command.split()[1:]) for command in COMMANDS]
    assert [one.exit_code for one in done] == [0] * 4
    installed, listed, examples, removed = (one.output for one in done)
    assert [re.search(r"in all\D+(\d)", one)[1] for one in (installed, examples, removed)] == [
        "4",
        "1",
        "5",
    ]
    assert "example.clinic#1.0.0" in listed


@pytest.mark.usefixtures("_here")
def test_a_refusal_says_why_and_where(tmp_path: Path) -> None:
    assert sangam("package", "remove", "example.clinic").output == (
        "example.clinic is not installed\n"
    )
    bad = tmp_path / "bad" / "package"
    bad.mkdir(parents=True)
    manifest = Path(GUIDE, "package/package.json").read_text()
    (bad / "package.json").write_text(manifest)
    (bad / "a.json").write_text('{"resourceType": "Patient", "birthDate": "yesterday"}')
    done = sangam("package", "install", str(bad.parent))
    assert done.exit_code == 1
    assert "a.json: Patient.birthDate: Not a valid date" in done.output
    assert "yesterday" not in done.output
    left_out = sangam("package", "install", str(bad.parent), "--skip-invalid")
    assert (left_out.exit_code, "1 are not valid" in left_out.output) == (0, True)
