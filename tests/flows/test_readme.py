"""The README's first page does what it says."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flows.running import Running

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("server")]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("readme") / "data", own_cluster=True)
    server.start()
    yield server
    server.end()


def section(title: str) -> list[str]:
    """The shell commands under a heading of the README, one a string."""
    text = (ROOT / "README.md").read_text().partition(f"## {title}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    return [
        command
        for block in blocks
        for command in block.replace("\\\n", " ").strip().splitlines()
        if command and not command.startswith("#")
    ]


def run(running: Running, command: str, place: Path) -> str:
    """Run a command of the README against this test's server and directories."""
    said = running.said
    for old, new in (
        ("http://127.0.0.1:8080/fhir", said["base"]),
        ("127.0.0.1 11112", f"127.0.0.1 {running.port('dicom')}"),
        ("127.0.0.1:11112", f"127.0.0.1:{running.port('dicom')}"),
        (".venv/bin/", f"{BIN}/"),
        ("/tmp/ct", f"{place}/ct"),
    ):
        command = command.replace(old, new)
    environment = {**os.environ, "SANGAM_DATA_DIR": str(running.data_dir)}
    done = subprocess.run(
        ["bash", "-ec", command],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, (shlex.split(command)[0], done.stdout, done.stderr)
    return done.stdout


def test_the_two_commands_are_in_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for command in section("Start"):
        target = command.split()[1]
        assert f"\n{target}:" in makefile


@pytest.mark.skipif(shutil.which("storescu") is None, reason="dcmtk is not installed")
def test_the_first_result_and_the_first_image_come_out(running: Running, tmp_path: Path) -> None:
    message, observations, explain, analyzer, *others = section("A first result")
    simulate, store, study, modality, *rest = others
    create, search, codes, judged, load = rest
    assert "AA" in run(running, message, tmp_path)
    assert running.until(30, lambda: running.total("Observation") == 3)
    assert '"value": 5.40' in run(running, observations, tmp_path)
    run(running, simulate, tmp_path)
    run(running, store, tmp_path)
    assert running.until(30, lambda: running.total("ImagingStudy") == 1)
    assert '"modality"' in run(running, study, tmp_path)
    assert "commitment: 5 committed, 0 failed" in run(running, modality, tmp_path)
    assert '"family":"Rao"' in run(running, create, tmp_path)
    # The analyzer's patient has the same name.
    assert '"total":2,' in run(running, search, tmp_path)
    assert '"code":"female"' in run(running, codes, tmp_path)
    assert '"Patient.gender"' in run(running, judged, tmp_path)
    ndjson = tmp_path / "patients.ndjson"
    ndjson.write_text('{"resourceType":"Patient","id":"n1"}\n{"resourceType":"Patient"}\n')
    subprocess.run(["gzip", str(ndjson)], check=True)
    assert "Patient" in run(running, load.replace("patients.ndjson.gz", f"{ndjson}.gz"), tmp_path)
    assert running.get("Patient/n1")["id"] == "n1"
    assert "60 of 83 leaves" in run(running, explain, tmp_path)
    assert "20/20 all taken" in run(running, analyzer, tmp_path)
