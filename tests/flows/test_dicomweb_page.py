"""The commands of docs/dicomweb.md do what they say, against a listener and a server."""

import shlex
import subprocess
from pathlib import Path

import pytest
from flows.test_dicom_query_page import ROOT, Target, examples
from typer.testing import CliRunner

from adapters.dicom.cli import app
from tests.adapters.dicom.web.served import served


def test_each_command_prints_what_is_below_it(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(ROOT)
    found = examples("dicomweb")
    assert len(found) == 3
    with served(tmp_path / "data", database_url) as running:
        target = Target(running.settings, database_url)
        for command, expected in found:
            changed = command.replace("11112", str(running.archive.address[1]))
            changed = changed.replace("/tmp/", f"{tmp_path}/").replace("8080", str(running.port))
            program, *arguments = shlex.split(changed)
            if program == "curl":
                command_ = [program, *arguments]
                output = subprocess.run(command_, capture_output=True, text=True, check=True).stdout
            else:
                output = CliRunner().invoke(app, arguments[1:], obj=target).output
            for one in expected:
                assert one in output, (command, output)
