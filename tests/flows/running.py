"""A server of its own for a test: started, killed and started again as an operator would."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from fhir_server.main import postgres
from tests.cluster import lay

START_SECONDS = 90


@dataclass
class Running:
    """A `sangam serve --demo` on free ports over one data directory.

    It makes a cluster of its own if asked; else a migrated one is laid there, as initdb
    and the migrations take seconds of a core.
    """

    data_dir: Path
    own_cluster: bool = False
    process: "subprocess.Popen[bytes] | None" = None

    def start(self, *flags: str) -> None:
        (self.data_dir / "serve.json").unlink(missing_ok=True)
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        if not (self.own_cluster or self.data_dir.exists() or "--database-url" in flags):
            self._lay_cluster()
        log = self.data_dir.with_suffix(".log").open("ab")
        self.process = subprocess.Popen(
            [
                Path(sys.executable).with_name("sangam"),
                *("serve", "--demo", "--data-dir", str(self.data_dir)),
                *("--http-port", "0", "--mllp-port", "0", "--dicom-port", "0", *flags),
            ],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def _lay_cluster(self) -> None:
        self.data_dir.mkdir(mode=0o700)
        lay(self.data_dir / "postgres")

    def _ready(self) -> bool:
        return (self.data_dir / "serve.json").exists()

    @property
    def database(self) -> str:
        cluster = postgres.postmaster((self.data_dir / "postgres").resolve())
        assert cluster is not None
        return postgres.ensure_database(cluster.uri, postgres.DATABASE)

    @property
    def said(self) -> dict[str, Any]:
        return json.loads((self.data_dir / "serve.json").read_text())

    def port(self, name: str) -> int:
        return self.said["ports"][name]

    def log(self) -> str:
        return self.data_dir.with_suffix(".log").read_text()[-4000:]

    def get(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(f"{self.said['base']}/{path}", timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            error.close()  # or its socket stays open as long as somebody holds the error
            raise

    def total(self, path: str) -> int:
        mark = "&" if "?" in path else "?"
        return self.get(f"{path}{mark}_summary=count&_total=accurate")["total"]

    def kill(self, *, database: bool) -> None:
        """Send SIGKILL to every process of the server, the database too if asked."""
        assert self.process is not None
        family = [self.process.pid, *self.said["children"].values()]
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)
        if database:
            self._kill_database()

    def _kill_database(self) -> None:
        pid = int((self.data_dir / "postgres/postmaster.pid").read_text().split()[0])
        with suppress(psutil.NoSuchProcess):
            postmaster = psutil.Process(pid)
            postmaster.suspend()  # so that it makes no child meanwhile
            family = [*postmaster.children(), postmaster]
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(family, timeout=10)

    def stop(self) -> int:
        """End the server as an operator does and return its exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(30)

    def end(self) -> None:
        """End the server as it stands, without waiting for anything under way."""
        if self.process is None or self.process.poll() is not None:
            return
        self.kill(database=False)
        cluster = postgres.postmaster((self.data_dir / "postgres").resolve())
        if cluster is not None:
            # Unlike a kill this leaves no shared memory behind.
            with suppress(psutil.NoSuchProcess):
                postmaster = psutil.Process(cluster.pid)
                postmaster.send_signal(signal.SIGQUIT)
                psutil.wait_procs([postmaster], timeout=10)

    def until(self, seconds: float, true: Any) -> bool:
        """Wait until `true()` or the time is over; return its last word."""
        deadline = time.monotonic() + seconds
        while not (now := true()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return bool(now)
