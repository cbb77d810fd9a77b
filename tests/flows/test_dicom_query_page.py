"""The commands of the pages about DICOM do what they say, against a listener."""

import re
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.dicom.cli import app
from fhir_server.config import Settings
from fhir_server.database import Database
from tests.adapters.dicom.conftest import serving

ROOT = Path(__file__).parents[2]
PAGES = {
    "dicom-query": 7,
    "dicom-storage": 4,
    "dicom-deidentification": 6,
    "dicom-worklist": 7,
    "dicom-mpps": 3,
    "dicom-simulator": 5,
}
"""How many commands each has at least."""


def examples(page: str) -> list[tuple[str, list[str]]]:
    """Commands, each with the lines that are part of what it prints."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / f"{page}.md").read_text(), re.DOTALL)
    found: list[tuple[str, list[str]]] = []
    for line in "".join(blocks).splitlines():
        if line.startswith("# "):
            found[-1][1].append(line[2:])
        else:
            found.append((line, []))
    return found


@dataclass(frozen=True)
class Target:
    """What the command line gives its commands."""

    own: Settings
    conninfo: str

    tenant: str | None = None

    def settings(self) -> Settings:
        return self.own

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Database]:
        database = Database(self.conninfo, size=2)
        await database.open()
        yield database
        await database.close()


@pytest.mark.parametrize("page", PAGES)
def test_each_command_prints_what_is_below_it(
    page: str,
    database_url: str,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(ROOT)
    assert len(examples(page)) >= PAGES[page]
    with serving(settings, database_url) as archive:
        port = str(archive.address[1])
        for command, expected in examples(page):
            changed = command.replace("11112", port).replace("/tmp/", f"{tmp_path}/")
            program, group, *arguments = shlex.split(changed)
            assert (program, group) == ("sangam", "dicom")
            done = CliRunner().invoke(app, arguments, obj=Target(settings, database_url))
            assert done.exit_code == 0, (command, done.output, done.exception)
            for one in expected:
                assert one in done.output, command
