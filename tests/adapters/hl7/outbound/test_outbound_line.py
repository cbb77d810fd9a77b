"""The connection to a destination, without a queue."""

import asyncio

import pytest

from adapters.hl7.outbound.line import Line
from adapters.hl7.outbound.replies import Reply
from adapters.hl7.profiles.destination import Outbound

pytestmark = pytest.mark.anyio

HEADER = b"MSH|^~\\&|B|B|A|A|2026||ACK|X|P|2.5.1\r"


def framed(code: bytes, control_id: bytes) -> bytes:
    return b"\x0b" + HEADER + b"MSA|" + code + b"|" + control_id + b"\r\x1c\r"


async def test_late_answer_is_taken_however_long_that_takes() -> None:
    """The time to listen may end while the answer is being noted: nobody sends it again."""
    taken: list[str] = []

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\x1c\r")
        writer.write(framed(b"AA", b"M2") + framed(b"AA", b"M1"))
        await reader.read()
        writer.close()

    async def slowly(reply: Reply) -> None:
        await asyncio.sleep(0.05)
        taken.append(reply.control_id)

    async with await asyncio.start_server(answers, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        line = Line("peer", Outbound(address=f"127.0.0.1:{port}"), slowly)
        assert (await line.send(b"MSH|", "M2")).verdict == "done"
        await line.listen(0.01)
        await line.close()
    assert taken == ["M1"]
