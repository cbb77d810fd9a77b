"""kill -9 in the middle of sessions: every acknowledged frame is kept, none counts twice."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from adapters.hl7.astm.frames import split
from adapters.hl7.records.files import records

LISTENER = """
import asyncio, json, socket, sys
from adapters.hl7.astm.listener import serve
from fhir_server.config import Settings
from fhir_server.main.wiring import running
given = json.loads(sys.argv[1])
sock = socket.socket(fileno=given["socket"])

async def main():
    settings = Settings(demo=True, data_dir=given["data"])
    async with running(settings, given["conninfo"], "http://h/fhir") as server:
        print("listening", flush=True)
        await serve(server, sock, asyncio.Event())

asyncio.run(main())
"""
KILLS = int(os.environ.get("SANGAM_TEST_KILLS", "1"))
ANALYZERS, MESSAGES = 4, 12


@dataclass
class Sender:
    """An analyzer that sends its messages one after another, from where it was cut.

    `acknowledged` are texts of frames; `certain` are messages after whose EOT the line
    answered again.
    """

    number: int
    done: int = 0
    acknowledged: list[bytes] = field(default_factory=list)
    certain: list[bytes] = field(default_factory=list)

    def message(self, place: int) -> bytes:
        name = b"%d-%d" % (self.number, place)
        return (
            b"H|\\^&|" + name + b"||M^A\rP|1|p" + name + b"\rO|1|s" + name + b"||^^^K\r"
            b"R|1|^^^K|4." + name + b"|||||F\rL|1|N\r"
        )

    def run(self, address: tuple[str, int]) -> None:
        try:
            with socket.create_connection(address, timeout=10) as line:
                self.ask(line, b"\x05")
                while self.done < MESSAGES:
                    whole = self.message(self.done)
                    made = records(whole)
                    for text, frame in zip(made, split(made, 240), strict=True):
                        self.ask(line, frame)
                        self.acknowledged.append(text)
                    self.ask(line, b"\x04\x05")
                    self.certain.append(whole)
                    self.done += 1
        except (OSError, EOFError):
            return

    def ask(self, line: socket.socket, content: bytes) -> None:
        line.sendall(content)
        answer = line.recv(1)
        if not answer:
            raise EOFError
        assert answer == b"\x06"


def start(sock: socket.socket, conninfo: str, data: Path) -> "subprocess.Popen[str]":
    given = {"socket": sock.fileno(), "conninfo": conninfo, "data": str(data)}
    process = subprocess.Popen(
        [sys.executable, "-c", LISTENER, json.dumps(given)],
        pass_fds=[sock.fileno()],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "listening\n"
    return process


def test_kill_9_loses_no_acknowledged_frame(database_url: str, tmp_path: Path) -> None:
    source = random.Random(1381)
    senders = [Sender(n) for n in range(ANALYZERS)]
    with socket.create_server(("127.0.0.1", 0), backlog=64) as sock:
        for round_ in range(KILLS + 1):
            process = start(sock, database_url, tmp_path)
            threads = [
                threading.Thread(target=one.run, args=(sock.getsockname(),)) for one in senders
            ]
            for thread in threads:
                thread.start()
            if round_ < KILLS:
                goal = sum(len(one.acknowledged) for one in senders) + source.randrange(20, 60)
                while sum(len(one.acknowledged) for one in senders) < goal:
                    time.sleep(0.001)
                process.send_signal(signal.SIGKILL)
            for thread in threads:
                thread.join(30)
            process.kill()
            process.communicate(timeout=10)
            check(database_url, senders)
    assert [one.done for one in senders] == [MESSAGES] * ANALYZERS


def check(conninfo: str, senders: list[Sender]) -> None:
    """Each frame is in the inbox or waits for its session's end; each message is there once."""
    with psycopg.connect(conninfo) as connection:
        rows = connection.execute("SELECT state, raw FROM hl7_message").fetchall()
        waiting = connection.execute("SELECT text FROM hl7_astm_frame").fetchall()
    kept = Counter(
        text
        for texts in (*(bytes(raw) for _, raw in rows), *(bytes(t) for (t,) in waiting))
        for text in records(texts)
    )
    asked = Counter(text for one in senders for text in one.acknowledged)
    assert asked - kept == Counter()
    stored = Counter(bytes(raw) for state, raw in rows if state == "stored")
    certain = {whole for one in senders for whole in one.certain}
    assert certain <= stored.keys()
    assert set(stored.values()) <= {1}
