"""`sangam serve`: what it starts, refuses, keeps alive and stops."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from flows.running import Running
from typer.testing import CliRunner

from fhir_server.main import data_dir, postgres
from fhir_server.main import serve as supervisor
from fhir_server.main.cli import app

SANGAM = Path(sys.executable).with_name("sangam")
FREE = ("--http-port", "0", "--mllp-port", "0", "--dicom-port", "0")

pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("server")]


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One server for all that leave it running."""
    server = Running(tmp_path_factory.mktemp("serve") / "data", own_cluster=True)
    server.start("--processes", "2")
    yield server
    server.end()


def sangam(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [SANGAM, *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def create_patient(running: Running) -> None:
    request = urllib.request.Request(
        f"{running.said['base']}/Patient",
        data=b'{"resourceType":"Patient","name":[{"family":"Rao"}]}',
        headers={"Content-Type": "application/fhir+json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 201


def fetched(running: Running, path: str) -> str:
    url = f"http://127.0.0.1:{running.port('http')}{path}"
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.read().decode()


def family(running: Running) -> list[psutil.Process]:
    assert running.process is not None
    supervisor = psutil.Process(running.process.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def ended(process: psutil.Process) -> bool:
    """Wait for the end; a zombie, which nobody may reap in a container, has ended too."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with suppress(psutil.NoSuchProcess):
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.02)
                continue
        return True
    return False


def test_it_tells_where_it_is_and_that_it_is_open(lasting: Running) -> None:
    text = lasting.data_dir.with_suffix(".log").read_text()
    said = lasting.said
    assert "NO LOGIN" in text
    assert f"http://127.0.0.1:{said['ports']['http']}/fhir" in text
    assert f"mllp://127.0.0.1:{said['ports']['mllp']}" in text
    assert f"127.0.0.1:{said['ports']['dicom']}" in text
    assert "curl" in text
    images = ["dicom", "dicom 1"]
    assert sorted(said["children"]) == [*images, "http 0", "http 1", "mapper 1", "mllp", "worker"]


def test_nothing_that_it_writes_is_open_to_other_accounts(lasting: Running) -> None:
    create_patient(lasting)
    places = [one for one in lasting.data_dir.rglob("*") if "postgres" not in one.parts]
    modes = {one.relative_to(lasting.data_dir): one.stat().st_mode & 0o777 for one in places}
    wrong = {
        str(one): oct(mode)
        for one, mode in modes.items()
        if mode not in ({0o700} if (lasting.data_dir / one).is_dir() else {0o600, 0o400})
    }
    assert (wrong, modes[Path("master.key")]) == ({}, 0o400)
    assert Path("blobs/incoming") in modes
    dumped = {one.name() for one in family(lasting) if one.rlimit(psutil.RLIMIT_CORE)[0]}
    assert dumped == set()


def test_what_a_version_before_left_open_is_closed(tmp_path: Path) -> None:
    for name in ("blobs", "postgres"):
        (tmp_path / name).mkdir(mode=0o755)
    (tmp_path / "lock").touch(mode=0o644)
    data_dir.close_to_others(tmp_path)
    found = {one.name: one.stat().st_mode & 0o777 for one in tmp_path.iterdir()}
    assert found == {"blobs": 0o700, "lock": 0o600, "postgres": 0o755}


def test_health_and_metrics_answer(lasting: Running) -> None:
    assert json.loads(fetched(lasting, "/health/live")) == {"status": "alive"}
    assert json.loads(fetched(lasting, "/health/ready")) == {"status": "ready"}
    metrics = fetched(lasting, "/metrics")
    assert re.search(r"^hl7_connections", metrics, re.MULTILINE)
    assert re.search(r'^sangam_jobs_waiting\{state="parked"\} 0', metrics, re.MULTILINE)
    assert re.search(r"^sangam_feed_lag_seconds 0", metrics, re.MULTILINE)


def test_a_second_server_on_the_same_data_is_refused(lasting: Running) -> None:
    done = sangam("serve", "--demo", "--data-dir", str(lasting.data_dir), *FREE)
    assert done.returncode == 1
    assert "Another server runs" in done.stderr
    assert json.loads(fetched(lasting, "/health/ready")) == {"status": "ready"}


def test_a_child_that_dies_is_started_again(lasting: Running) -> None:
    before = lasting.said["children"]
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    assert lasting.until(
        30, lambda: not set(before.values()) & set(lasting.said["children"].values())
    )
    assert lasting.until(30, lambda: lasting.said["children"].keys() == before.keys())
    assert lasting.get("metadata")["resourceType"] == "CapabilityStatement"


def test_several_processes_share_port_and_metrics(lasting: Running) -> None:
    before = lasting.total("Patient")
    for _ in range(20):
        create_patient(lasting)
    assert lasting.total("Patient") == before + 20
    metrics = fetched(lasting, "/metrics")
    assert len(re.findall(r"^sangam_feed_lag_seconds ", metrics, re.MULTILINE)) == 1


def test_sigterm_stops_everything_within_ten_seconds_and_a_second_start_keeps_the_data(
    running: Running,
) -> None:
    create_patient(running)
    patients = running.total("Patient")
    processes = family(running)
    assert len(processes) >= 5
    database = psutil.Process(postgres.postmaster(running.data_dir / "postgres").pid)
    began = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - began < 10
    assert [one for one in (*processes, database) if not ended(one)] == []
    assert not (running.data_dir / "serve.json").exists()
    running.start()
    assert running.total("Patient") == patients


def test_a_killed_supervisor_takes_its_children_along_and_can_be_started_again(
    running: Running,
) -> None:
    create_patient(running)
    patients = running.total("Patient")
    supervisor, *children = family(running)
    database = postgres.postmaster(running.data_dir / "postgres")
    supervisor.kill()
    running.process.wait(10)
    assert [one for one in children if not ended(one)] == []
    running.start()
    assert postgres.postmaster(running.data_dir / "postgres") == database
    assert running.total("Patient") == patients


def test_a_database_by_url_is_used_and_none_embedded(database_url: str, tmp_path: Path) -> None:
    running = Running(tmp_path / "data")
    running.start("--database-url", database_url)
    try:
        create_patient(running)
        assert not (tmp_path / "data" / "postgres").exists()
    finally:
        running.end()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--host", "0.0.0.0"), "in the clear"),
        (("--demo", "--host", "0.0.0.0"), "binds loopback only"),
        (("--demo", "--host", "192.0.2.1"), "binds loopback only"),
        (("--demo", "--host", "hospital.example"), "binds loopback only"),
        (("--demo", "--http-port", "70000"), "http_port"),
        (("--demo", "--database-url", "postgresql://127.0.0.1:1/x", *FREE), "cannot be reached"),
    ],
)
def test_a_start_that_would_be_wrong_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr(supervisor, "configure", lambda _: None)
    done = CliRunner().invoke(app, ["serve", "--data-dir", str(tmp_path / "data"), *flags])
    assert done.exit_code == 1
    assert words in " ".join(done.output.split())


def test_a_port_that_is_taken_is_named_with_its_flag(tmp_path: Path, database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        flags = ("--data-dir", str(tmp_path / "data"), "--database-url", database_url)
        done = sangam("serve", "--demo", *flags, *FREE[:4], "--dicom-port", port)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "--dicom-port" in done.stderr


def test_a_server_whose_processes_cannot_start_gives_up(tmp_path: Path, database_url: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "blobs").write_text("in the way")
    flags = ("--data-dir", str(data), "--database-url", database_url)
    done = sangam("serve", "--demo", *flags, *FREE)
    assert done.returncode == 1
    assert "ends as soon as it starts" in done.stderr
