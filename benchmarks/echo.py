"""The least HTTP server: what the load generator reaches against it is its ceiling."""

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import cast

import uvloop

ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Length: 1000\r\n\r\n"
    + b" " * 1000
)


class Echo(asyncio.Protocol):
    """Answers each complete request with the same bytes."""

    def __init__(self) -> None:
        self.data = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer when the request is whole."""
        self.data += data
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self.data.find(b"Content-Length: ", 0, end)
        length = int(self.data[at + 16 : self.data.find(b"\r\n", at)]) if at >= 0 else 0
        if len(self.data) >= end + 4 + length:
            self.data = self.data[end + 4 + length :]
            assert self.transport is not None
            self.transport.write(ANSWER)


async def listen(pipe: Connection) -> None:
    """Serve on a free port, telling it through the pipe, until killed."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def serve(pipe: Connection) -> None:
    """Run the server in this process."""
    uvloop.run(listen(pipe))


@contextmanager
def echo_server() -> Iterator[int]:
    """Yield the port of an echo server in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there,), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()
