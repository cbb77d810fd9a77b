"""The embedded PostgreSQL through starts, stops and kills."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg
import pytest

from fhir_server.errors import Unavailable
from fhir_server.main import postgres
from tests.cluster import lay


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "postgres"
    yield place
    postgres.stop(place)


@pytest.fixture
def made(directory: Path) -> Path:
    """A cluster that is there already, as initdb takes seconds of a core."""
    lay(directory)
    return directory


def one(uri: str, query: str) -> object:
    with psycopg.connect(uri) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def running(directory: Path) -> psutil.Process:
    found = postgres.postmaster(directory)
    assert found is not None
    return psutil.Process(found.pid)


def ended(process: psutil.Process) -> bool:
    """Wait for the end; a zombie, which nobody may reap in a container, has ended too."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_a_start_stop_and_start_keep_the_data(made: Path) -> None:
    uri = postgres.ensure_database(postgres.start(made), "kept")
    with psycopg.connect(uri) as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS n")
    process = running(made)
    postgres.stop(made)
    assert ended(process)
    postgres.start(made)
    assert one(uri, "SELECT n FROM t") == 7


def test_our_settings_hold_and_the_operators_win(directory: Path) -> None:
    uri = postgres.start(directory)
    names = ("max_connections", "listen_addresses", "log_error_verbosity", "fsync")
    assert [one(uri, f"SHOW {name}") for name in names] == ["240", "", "terse", "on"]
    postgres.stop(directory)
    local = directory / "local.conf"
    local.write_text("max_connections = 50\n")
    local.chmod(0o644)
    assert one(postgres.start(directory), "SHOW max_connections") == "50"


def test_nobody_else_reaches_the_socket_or_the_files(directory: Path) -> None:
    postgres.start(directory)
    assert directory.stat().st_mode & 0o077 == 0
    assert (directory / ".s.PGSQL.5432").stat().st_mode & 0o077 == 0


def test_a_running_cluster_is_taken_over(made: Path) -> None:
    first = postgres.start(made)
    process = running(made)
    assert postgres.start(made) == first
    assert running(made) == process


def test_a_killed_cluster_recovers_what_was_committed(made: Path) -> None:
    uri = postgres.start(made)
    with psycopg.connect(uri) as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS n")
    process = running(made)
    for each in (process, *process.children()):
        with suppress(psutil.NoSuchProcess):
            each.kill()
    assert ended(process)
    assert one(postgres.start(made), "SELECT n FROM t") == 7


def test_a_killed_postmaster_whose_backends_live_is_followed_by_a_new_one(made: Path) -> None:
    uri = postgres.start(made)
    process = running(made)
    process.kill()
    assert ended(process)
    assert one(postgres.start(made), "SELECT 7") == 7
    assert uri == postgres.start(made)


def test_a_pid_file_that_names_another_process_is_no_obstacle(made: Path) -> None:
    postgres.start(made)
    left = (made / "postmaster.pid").read_text().splitlines()
    postgres.stop(made)
    (made / "postmaster.pid").write_text("\n".join([str(os.getpid()), *left[1:]]) + "\n")
    assert one(postgres.start(made), "SELECT 7") == 7


def test_an_initdb_that_was_killed_is_done_again(directory: Path) -> None:
    half = directory.with_name("postgres.new")
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    assert one(postgres.start(directory), "SELECT 7") == 7
    assert not half.exists()


def test_a_path_too_long_for_a_socket_gets_a_short_one(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 30) / "postgres"
    try:
        assert one(postgres.start(directory), "SELECT 7") == 7
        found = postgres.postmaster(directory)
    finally:
        postgres.stop(directory)
    assert found is not None
    assert found.socket_directory != str(directory)
    assert not Path(found.socket_directory).exists()


def test_a_cluster_that_cannot_start_is_said_to_be_unavailable(directory: Path) -> None:
    postgres.start(directory)
    postgres.stop(directory)
    local = directory / "local.conf"
    local.write_text("shared_buffers = 'much'\n")
    local.chmod(0o644)
    with pytest.raises(Unavailable):
        postgres.start(directory)


def nobody_runs_python() -> bool:
    try:
        subprocess.run([sys.executable, "-c", ""], user=65534, extra_groups=[], check=True)
    except (PermissionError, subprocess.CalledProcessError):
        return False
    return True


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a plain user")
def test_a_plain_user_has_a_cluster_of_his_own() -> None:
    if not nobody_runs_python():
        pytest.skip("this Python lies where plain users may not go")
    home = Path("/tmp") / f"sangam-plain-{os.getpid()}"
    home.mkdir(mode=0o755)
    os.chown(home, 65534, 65534)
    code = (
        "from pathlib import Path; from fhir_server.main import postgres; "
        f"place = Path('{home}/postgres'); print(postgres.start(place)); postgres.stop(place); "
        "print(place.stat().st_uid)"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            user=65534,
            group=65534,
            extra_groups=[],
            cwd="/",
            env={"PYTHONPATH": os.pathsep.join(sys.path), "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        subprocess.run(["rm", "-rf", home], check=True)
    assert done.stdout.splitlines()[1:] == ["65534"], done.stderr


def test_a_stop_waits_for_no_client(directory: Path) -> None:
    uri = postgres.start(directory)
    client = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import psycopg, time; c = psycopg.connect('{uri}'); time.sleep(60)",
        ]
    )
    try:
        while one(uri, "SELECT count(*) FROM pg_stat_activity WHERE backend_type ~ 'client'") != 2:
            time.sleep(0.05)
        began = time.monotonic()
        postgres.stop(directory)
        assert time.monotonic() - began < 5
    finally:
        client.send_signal(signal.SIGKILL)
        client.wait()


@pytest.mark.parametrize(
    ("memory", "buffers", "cache"),
    [
        (512 << 20, "128MB", "256MB"),
        (8 << 30, "2048MB", "4096MB"),
        (256 << 30, "8192MB", "131072MB"),
    ],
)
def test_the_buffers_go_by_the_machines_memory(memory: int, buffers: str, cache: str) -> None:
    assert postgres.sized(memory) == {"shared_buffers": buffers, "effective_cache_size": cache}
