"""How long the head of a request may be, and how long it may take."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from fhir_server.main import heads

pytestmark = pytest.mark.anyio

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"
BODY = b"b" * 300_000


async def answering(_: Any, receive: Any, send: Any) -> None:
    found = 0
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            return
        found += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    said = str(found).encode()
    headers = [(b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": said})


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    monkeypatch.setattr(heads, "SECONDS", 0.3)
    config = uvicorn.Config(
        answering, http=heads.Bounded, lifespan="off", log_config=None, port=0, host="127.0.0.1"
    )
    served = uvicorn.Server(config)
    task = asyncio.create_task(served.serve())
    async with asyncio.timeout(10):
        while not served.started:  # noqa: ASYNC110  (uvicorn tells by no event)
            await asyncio.sleep(0.01)
    yield served.servers[0].sockets[0].getsockname()[1]
    served.should_exit = True
    await task


async def told(port: int, *pieces: bytes) -> bytes:
    """What a server says to these pieces until it hangs up, or has answered twice."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = b""
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        while found.count(b"300000") < 2 and (more := await reader.read(65_536)):
            found += more
    except ConnectionError:
        pass
    finally:
        writer.close()
    return found


async def test_a_head_is_bounded_and_a_body_is_not(port: int) -> None:
    sized = HEAD + b"Content-Length: %d\r\n" % len(BODY)
    good = sized + b"X-Long: " + b"a" * 60_000 + b"\r\n\r\n" + BODY
    both = await told(port, good, sized, b"X-More: 1\r\n\r\n", BODY)
    assert both.count(b"\r\n\r\n300000") == 2
    one = await told(port, HEAD + b"X-Long: ", *[b"a" * 40_000] * 2)
    many = await told(port, HEAD, *[b"X-A: " + b"a" * 20_000 + b"\r\n"] * 4)
    long = await told(port, b"GET /", *[b"a" * 40_000] * 2)
    assert [found[:12] for found in (one, many, long)] == [b"HTTP/1.1 431"] * 3


async def test_who_sends_no_whole_head_in_time_is_hung_up_on(port: int) -> None:
    for pieces in ((), (HEAD,), (HEAD + b"\r\n", HEAD)):
        async with asyncio.timeout(10):
            found = await told(port, *pieces)
        assert found.count(b"200 OK") == (len(pieces) == 2)
