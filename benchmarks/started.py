"""A Sangam of our own: `sangam serve --demo` on free ports over a fresh directory."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import database_root
from benchmarks.target import Target

READY_SECONDS = 120


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until `url` answers 200; raises when the process ends or time is up."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode} while starting")
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the server was not ready after {READY_SECONDS} s")


@contextmanager
def sangam(data_dir: Path, *, processes: int = 1) -> Iterator[Target]:
    """Start the server, yield it as a Target, and end it with SIGTERM."""
    http, mllp, dicom = free_port(), free_port(), free_port()
    command = [str(Path(sys.executable).parent / "sangam"), "serve", "--demo"]
    command += ["--data-dir", str(data_dir), "--http-port", str(http)]
    command += ["--mllp-port", str(mllp), "--dicom-port", str(dicom)]
    command += ["--processes", str(processes)]
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir.parent / "serve.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ)
        try:
            wait_ready(f"http://127.0.0.1:{http}/health/ready", process)
            database = database_root(data_dir)
            yield Target(
                "sangam",
                f"http://127.0.0.1:{http}/fhir",
                ("127.0.0.1", mllp),
                ("127.0.0.1", dicom),
                called_ae="SANGAM",
                pids=(process.pid,) if database is None else (process.pid, database),
            )
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
