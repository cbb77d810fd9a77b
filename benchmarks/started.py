"""A Sangam of our own: `sangam serve --demo` on free ports over a fresh directory."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import database_root
from benchmarks.target import Target

READY_SECONDS = 120


def ready(port: int) -> bool:
    """Ask the server for its health."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def ports_when_ready(data_dir: Path, process: subprocess.Popen[bytes]) -> dict[str, int]:
    """Return the ports that serve.json names once the server is ready.

    RuntimeError when the server ends or is not ready in time.
    """
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode} while starting")
        try:
            said = json.loads((data_dir / "serve.json").read_text())
        except FileNotFoundError:
            said = {}
        # The file may be that of a server that was killed.
        if said.get("pid") == process.pid and ready(said["ports"]["http"]):
            return dict(said["ports"])
        time.sleep(0.1)
    raise RuntimeError(f"the server was not ready after {READY_SECONDS} s")


# A load generator is one client with as many connections as it was told.
_UNLIMITED = {
    f"SANGAM_LIMITS__{name}": "10000" for name in ("CLIENT_REQUESTS", "REQUESTS", "WRITES")
} | {f"SANGAM_SECURITY__RATES__{name}": "0" for name in ("CLIENT", "USER", "ADDRESS", "ABSENT")}


@contextmanager
def sangam(data_dir: Path, *, processes: int = 1) -> Iterator[Target]:
    """Start the server, yield it as a Target, and end it with SIGTERM."""
    command = [str(Path(sys.executable).parent / "sangam"), "serve", "--demo"]
    command += ["--data-dir", str(data_dir), "--processes", str(processes)]
    command += ["--http-port", "0", "--mllp-port", "0", "--dicom-port", "0"]
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir.parent / "serve.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | _UNLIMITED)
        try:
            ports = ports_when_ready(data_dir, process)
            database = database_root(data_dir)
            yield Target(
                "sangam",
                f"http://127.0.0.1:{ports['http']}/fhir",
                ("127.0.0.1", ports["mllp"]),
                ("127.0.0.1", ports["dicom"]),
                called_ae="SANGAM",
                pids=(process.pid,) if database is None else (process.pid, database),
                data_dir=data_dir,
            )
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
