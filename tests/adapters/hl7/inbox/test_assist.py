import asyncio

import pytest

from adapters.hl7.inbox import assist as mapper
from adapters.hl7.inbox.assist import assist
from fhir_server.errors import Unavailable
from fhir_server.server import Server
from tests.adapters.hl7.inbox.test_hl7_process import OBR, PID, keep, oru, rows

pytestmark = pytest.mark.anyio


async def until_done(server: Server, count: int) -> None:
    async with asyncio.timeout(20):
        while await rows(server, "state") != [("done",)] * count:  # noqa: ASYNC110  (another task does it)
            await asyncio.sleep(0.01)


async def test_messages_are_processed_when_they_come_and_when_they_are_there(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapper, "_POLL", 60.0)
    await keep(server, oru(PID, OBR))
    stop = asyncio.Event()
    assisting = asyncio.create_task(assist(server, stop))
    await until_done(server, 1)
    await keep(server, oru(PID, OBR, control_id="C2"))
    await until_done(server, 2)
    stop.set()
    await assisting


async def test_a_mapper_that_fails_goes_on(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [Unavailable("The database is away"), ValueError("something else")]
    usual = mapper.drain

    async def drain(server: Server) -> set[int]:
        if failures:
            raise failures.pop()
        return await usual(server)

    monkeypatch.setattr(mapper, "drain", drain)
    monkeypatch.setattr(mapper, "_PAUSE", 0.0)
    await keep(server, oru(PID, OBR))
    stop = asyncio.Event()
    assisting = asyncio.create_task(assist(server, stop))
    await until_done(server, 1)
    assert failures == []
    stop.set()
    await assisting
