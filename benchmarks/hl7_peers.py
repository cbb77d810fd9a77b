"""MLLP servers of python-hl7 and hl7apy that acknowledge and keep nothing.

Each does the least that its library allows: read the block, parse as far as the
acknowledgement needs, answer AA. `python -m benchmarks.hl7_peers NAME PORT` runs one.
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import hl7
import hl7.mllp
from hl7apy.mllp import AbstractHandler, MLLPServer
from hl7apy.parser import parse_segment

from benchmarks.target import Target

PEERS = ("python-hl7", "hl7apy")
READY_SECONDS = 20


@contextmanager
def peer(name: str) -> Iterator[Target]:
    """Run one of PEERS and yield it as a target without a FHIR base."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.hl7_peers", name, str(port)])
    try:
        wait(port)
        yield Target(name, "", ("127.0.0.1", port), pids=(process.pid,))
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def wait(port: int) -> None:
    """Return when somebody listens; TimeoutError when nobody does in time."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens on port {port}")


async def python_hl7(port: int) -> None:
    """Serve with python-hl7: asyncio streams, one parse and one acknowledgement each."""

    async def connected(reader: hl7.mllp.HL7StreamReader, writer: hl7.mllp.HL7StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                message = await reader.readmessage()
                writer.writemessage(message.create_ack())
                await writer.drain()
        writer.close()

    server = await hl7.mllp.start_hl7_server(
        connected, "127.0.0.1", port, encoding="utf-8", limit=1 << 24
    )
    async with server:
        await server.serve_forever()


class Accept(AbstractHandler):  # type: ignore[misc]
    """hl7apy's handler: the header is parsed, the rest is not looked at."""

    def reply(self) -> str:
        """Return the block with the acknowledgement."""
        msh = parse_segment(self.incoming_message.split("\r", 1)[0])
        back = "MSH|^~\\&|PEER||||20260101||ACK|1|P|2.5"
        return f"\x0b{back}\rMSA|AA|{msh.msh_10.to_er7()}\r\x1c\r"


def hl7apy(port: int) -> None:
    """Serve with hl7apy: a thread and a connection for each message."""
    MLLPServer.request_queue_size = 256
    server = MLLPServer("127.0.0.1", port, {"ORU^R01^ORU_R01": (Accept,)})
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    if sys.argv[1] == "hl7apy":
        hl7apy(int(sys.argv[2]))
    else:
        asyncio.run(python_hl7(int(sys.argv[2])))
