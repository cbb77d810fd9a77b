"""Servers of tests that leave no connection behind."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from socket import socket

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

# Within so many turns of the loop what was accepted begins its handshake, and what was ended is
# closed.
TURNS = 6


@asynccontextmanager
async def listening(
    serve: Serve, tls: ssl.SSLContext | None = None, sock: socket | None = None
) -> AsyncIterator[int]:
    """Serve each connection; lend the port. At the end each is closed, however far it came.

    asyncio closes none that was accepted just before its server ended, and none whose task was
    cancelled before its first step: the garbage collector finds it, and a later test fails for it.
    """
    served: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served[asyncio.ensure_future(serve(reader, writer))] = writer

    place = {"sock": sock} if sock else {"host": "127.0.0.1", "port": 0}
    server = await asyncio.start_server(accepted, ssl=tls, **place)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for one in server.sockets:
            asyncio.get_running_loop().remove_reader(one.fileno())
        await _turns()
        server.close()
        handshakes = [one for one in asyncio.all_tasks() if "_accept_conn" in repr(one.get_coro())]
        for task in (*handshakes, *served):
            task.cancel()
        await asyncio.gather(*handshakes, *served, return_exceptions=True)
        for writer in served.values():
            writer.transport.abort()
        await _turns()


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)
