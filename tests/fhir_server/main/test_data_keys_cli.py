"""The commands of docs/security-encryption.md, as the person at them meets them."""

import re
from pathlib import Path

import psycopg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from fhir_server.at_rest import master
from fhir_server.interactions.data_key_rotation import KIND
from fhir_server.main.cli import app

PAGE = Path(__file__).parents[3] / "docs/security-encryption.md"
COMMANDS = re.findall(r"^(sangam keys [a-z-]+)", PAGE.read_text(), re.MULTILINE)


def sangam(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_the_commands_of_the_page_work(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANGAM_DATABASE_URL", database_url)
    monkeypatch.setenv("SANGAM_DATA_DIR", str(tmp_path / "data"))
    show, rotate_data, rotate_master = (command.split()[1:] for command in COMMANDS)
    made = sangam(*rotate_data)
    assert made.exit_code == 0, made.output
    [key] = re.findall(r"New data key (\w{8})", made.output)
    before = master.read(tmp_path / "data/master.key")
    again = sangam(*rotate_data)
    assert again.exit_code == 1
    assert "A rotation is under way" in again.output
    wrapped = sangam(*rotate_master)
    assert "2 data keys are wrapped" in wrapped.output, wrapped.output
    after = master.read(tmp_path / "data/master.key")
    assert after.keys != before.keys
    shown = sangam(*show).output
    assert re.findall(r"\w{8}(?= .*seals)", shown) == [key]
    assert "0 sealed so far, pass 1 is through 0%" in " ".join(shown.split())
    assert master.mark(after.keys[0]).hex()[:8] in shown
    assert f"data key {key} since" in " ".join(sangam("status").output.split())
    with psycopg.connect(database_url, autocommit=True) as connection:
        found = connection.execute("SELECT kind FROM job WHERE kind = %s", (KIND,)).fetchall()
    assert found == [(KIND,)]
