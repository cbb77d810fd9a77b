"""The supervisor: it starts the database and the listeners, and keeps them alive.

It imports little. Its processes are forked from one that has imported all that they need, and
so are those that prepare the database before there are any.
"""

import errno
import json
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess as shared_metrics

from fhir_server.config import Settings
from fhir_server.main import postgres
from fhir_server.main.data_dir import READY_FILE, close_to_others, embedded, locked
from fhir_server.main.entry import CHILDREN, PREPARING, Answer, Context, Prepared, answer, enter
from fhir_server.main.log import configure
from fhir_server.main.opening import check_open
from fhir_server.main.refused import Refused

METRICS = "PROMETHEUS_MULTIPROC_DIR"
STOP_SECONDS = 8.0
# A child that keeps dying is started again after 1, 2, 4 ... seconds, at most this.
LONGEST_PAUSE = 30.0
POLL_SECONDS = 0.1
# One that has died so often before the server was ready will not do better.
START_TRIES = 4
# The children of a supervisor that was killed let go of the ports within this time.
BIND_SECONDS = 2.0
BACKLOG = 2048

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Child:
    """One supervised process, what it is (children.py), and when it may be started again."""

    name: str
    entry: str
    listening: socket.socket | None
    how: Mapping[str, bool] = field(default_factory=dict)
    process: BaseProcess | None = None
    deaths: int = 0
    started: float = 0.0
    due: float = 0.0


@dataclass(frozen=True, slots=True)
class Forking:
    """How processes are made, and whether the supervisor was told to stop."""

    context: ForkServerContext
    stopped: Callable[[], bool]


def serve(settings: Settings) -> None:
    """Run everything until SIGTERM or Ctrl-C; Refused when it cannot start."""
    configure("supervisor")
    check_open(settings)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(settings.data_dir), _stop_signal() as stopped:
        if settings.database_url:
            # One that cannot be reached is told at once.
            postgres.connect(settings.database_url).close()
        close_to_others(settings.data_dir)
        _share_metrics(settings.data_dir)
        forking = Forking(_forkserver(), stopped)
        with embedded(settings) as own:
            prepared: Prepared | None = _asked(forking, "prepared", settings, own)
            if prepared is not None:
                _supervise(settings, prepared, _sockets(settings), forking)


def _sockets(settings: Settings) -> dict[str, socket.socket]:
    """Return what the children listen on, by the names of the ports."""
    sockets = {"http": _listen(settings.host, settings.http_port, "--http-port")}
    if settings.dicom.plain_port:
        sockets["dicom"] = _listen(settings.host, settings.dicom_port, "--dicom-port")
    if settings.dicom.tls_port is not None:
        sockets["dicom-tls"] = _listen(settings.host, settings.dicom.tls_port, "dicom.tls_port")
    if settings.hl7.plain_port:
        sockets["mllp"] = _listen(settings.host, settings.mllp_port, "--mllp-port")
    if settings.astm_port is not None:
        sockets["astm"] = _listen(settings.host, settings.astm_port, "--astm-port")
    return sockets


def _asked(forking: Forking, name: str, *arguments: object) -> Any:  # noqa: ANN401  (what it returns)
    """Have a process do what has this name (preparing.py), and return what it does.

    None when the supervisor was told to stop meanwhile. Refused when it is refused, or breaks off.
    """
    reading, told = forking.context.Pipe(duplex=False)
    process = forking.context.Process(target=answer, args=(name, told, *arguments))
    try:
        process.start()
    except (OSError, EOFError):
        # Ctrl-C reaches the process that they are forked from, which may not be ready for it yet.
        if forking.stopped():
            return None
        raise
    told.close()
    while not reading.poll(POLL_SECONDS):
        if forking.stopped():
            process.terminate()
            process.join()
            return None
    try:
        said: Answer = reading.recv()
    except EOFError:
        raise Refused("The server cannot be prepared; the log says why.") from None
    finally:
        process.join()
    if said.refusal:
        raise Refused(said.refusal)
    return said.content


def _listen(host: str, port: int, flag: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    end = time.monotonic() + BIND_SECONDS
    while True:
        try:
            return socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                raise Refused(
                    f"Cannot listen on {host}:{port} ({os.strerror(error.errno or 0)}). "
                    f"Choose another with {flag}; {flag} 0 takes a free one."
                ) from error
        time.sleep(POLL_SECONDS)


@contextmanager
def _stop_signal() -> Iterator[Callable[[], bool]]:
    """Lend a function that says whether SIGTERM, SIGINT or SIGHUP has come."""
    seen: list[int] = []
    before = {
        number: signal.signal(number, lambda got, _: seen.append(got))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }
    try:
        yield lambda: bool(seen)
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _supervise(
    settings: Settings, prepared: Prepared, sockets: dict[str, socket.socket], forking: Forking
) -> None:
    ports = {name: one.getsockname()[1] for name, one in sockets.items()}
    scheme = "https" if settings.security.tls else "http"
    own = f"{scheme}://{_written(settings.host)}:{ports['http']}/fhir"
    base = settings.base_url.rstrip("/") or own
    said = {"base": base, "host": settings.host, "ports": ports, "database": prepared.conninfo}
    family_of = forking.context
    alive, held = family_of.Pipe(duplex=False)
    context = Context(settings, prepared.serving, base, alive, prepared.pools)
    family = [
        *(Child(f"http {n}", "web", sockets["http"]) for n in range(settings.processes)),
        Child("mllp", "messages", sockets.get("mllp")),
        *_analyzers(settings, sockets.get("astm")),
        *_images(settings, sockets),
        Child("worker", "worker", None),
        # The worker is the first of them.
        *(Child(f"mapper {n}", "mapper", None) for n in range(1, settings.hl7.processes)),
    ]
    try:
        for child in family:
            _start(family_of, child, context)
        ready = False
        while not forking.stopped():
            changed = [child for child in family if _keep_alive(family_of, child, context)]
            if not ready and _answers(settings, ports["http"]):
                ready = True
                shown = _asked(forking, "greeting", settings, base, ports, prepared.conninfo)
                print(shown or "", flush=True)  # noqa: T201  (for who starts it)
                _note(settings.data_dir, family, said)
            elif ready and changed:
                _note(settings.data_dir, family, said)
            elif not ready and any(child.deaths >= START_TRIES for child in family):
                raise Refused("A process of the server ends as soon as it starts; see the log.")
            time.sleep(POLL_SECONDS)
    finally:
        _end(family)
        held.close()
        (settings.data_dir / READY_FILE).unlink(missing_ok=True)


def _images(settings: Settings, sockets: dict[str, socket.socket]) -> list[Child]:
    """Return the DICOM processes of each of its ports; the first of all has the upkeep."""
    found: list[Child] = []
    for port in ("dicom", "dicom-tls"):
        for number in range(settings.dicom.processes if port in sockets else 0):
            name = f"{port} {number}" if number else port
            how = {"with_tls": port == "dicom-tls", "upkeep": not found}
            found.append(Child(name, "images", sockets[port], how))
    return found


def _analyzers(settings: Settings, listening: socket.socket | None) -> list[Child]:
    """Return the process for ASTM analyzers, if any may connect or be connected to."""
    dials = settings.astm.connect and bool(settings.hl7.profiles_dir)
    if listening is None and not dials:
        return []
    return [Child("astm", "analyzers", listening)]


def _written(host: str) -> str:
    """Return the host as it stands in a URL; of an address that means all, the machine's name."""
    if host in {"0.0.0.0", "::"}:  # noqa: S104  (compared, not bound)
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _share_metrics(data_dir: Path) -> None:
    """Let the processes' metrics meet in one directory, new at each start."""
    place = data_dir / "metrics"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    os.environ[METRICS] = str(place.resolve())


def _forkserver() -> ForkServerContext:
    """Return the way children are made: forked from a process that has imported all they need.

    That process must not import the command line, so its place is taken out of
    what multiprocessing tells it.
    """
    command_line = sys.modules["__main__"]
    command_line.__spec__ = None
    vars(command_line).pop("__file__", None)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([CHILDREN, PREPARING])
    # It imports while PostgreSQL starts, and ends with us: Ctrl-C is none of its business.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    forkserver.ensure_running()
    signal.signal(signal.SIGINT, before)
    return context


def _start(family_of: ForkServerContext, child: Child, context: Context) -> None:
    child.process = family_of.Process(
        target=enter,
        args=(child.entry, context, child.listening),
        kwargs=child.how,
        name=f"sangam {child.name}",
    )
    child.process.start()
    child.started = time.monotonic()


def _keep_alive(family_of: ForkServerContext, child: Child, context: Context) -> bool:
    """Start a dead child again: at once when it had lived long, else after a pause.

    Returns whether it was started.
    """
    now = time.monotonic()
    if child.process is not None and child.process.exitcode is not None:
        lived = now - child.started
        child.deaths = 1 if lived > LONGEST_PAUSE else child.deaths + 1
        pause = 0.0 if child.deaths == 1 else min(2.0 ** (child.deaths - 2), LONGEST_PAUSE)
        code = child.process.exitcode
        log.warning("%s ended with status %s, starts again in %.0f s", child.name, code, pause)
        shared_metrics.mark_process_dead(child.process.pid, os.environ[METRICS])  # type: ignore[no-untyped-call]
        child.process, child.due = None, now + pause
    if child.process is None and now >= child.due:
        _start(family_of, child, context)
        return True
    return False


def _note(data_dir: Path, family: list[Child], said: dict[str, Any]) -> None:
    """Write the processes and ports to a file, for `sangam status` and scripts."""
    pids = {child.name: child.process.pid for child in family if child.process}
    place = data_dir / READY_FILE
    temporary = place.with_suffix(".new")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps({"pid": os.getpid(), **said, "children": pids}, indent=2))
    temporary.rename(place)


def _answers(settings: Settings, port: int) -> bool:
    """Say whether the HTTP process calls itself ready."""
    request = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    try:
        plain = socket.create_connection((settings.host, port), timeout=1)
        with _secured(plain) if settings.security.tls else plain as connection:
            connection.sendall(request)
            return b" 200 " in connection.recv(64)
    except OSError:
        return False


def _secured(plain: socket.socket) -> ssl.SSLSocket:
    """Return the connection by TLS: to our own child, whose certificate is for other names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(plain)


def _end(family: list[Child]) -> None:
    """Ask every child to end, and kill what has not after a while."""
    living = [child.process for child in family if child.process is not None]
    for process in living:
        process.terminate()
    deadline = time.monotonic() + STOP_SECONDS
    for process in living:
        process.join(max(0.0, deadline - time.monotonic()))
        if process.exitcode is None:
            process.kill()
            process.join()
