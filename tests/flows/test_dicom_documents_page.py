"""docs/dicom-documents.md does what it says."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.dicom.cli import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "dicom-documents.md").read_text()


def commands() -> list[tuple[str, list[str]]]:
    """Return the commands of the page, each with what it says of the output."""
    found: list[tuple[str, list[str]]] = []
    for line in "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).splitlines():
        if line.startswith("# "):
            found[-1][1].append(line[2:])
        else:
            found.append((line, []))
    return found


def invoke(command: str) -> str:
    words = shlex.split(command.replace("docs/", f"{ROOT}/docs/"))
    found = CliRunner().invoke(app, words[2:], env={"COLUMNS": "120"})
    assert found.exit_code == 0, found.output
    return found.output


@pytest.mark.parametrize(("command", "expected"), commands())
def test_documents_are_explained_as_the_page_says(command: str, expected: list[str]) -> None:
    shown = invoke(command)
    assert expected
    assert [one for one in expected if one not in shown] == []


def test_the_line_of_the_page_is_printed() -> None:
    line = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)[0].split()
    shown = invoke("sangam dicom explain docs/examples/measurements.dcm").splitlines()
    assert line in [one.split() for one in shown]
