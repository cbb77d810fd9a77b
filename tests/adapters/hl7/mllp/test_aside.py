"""Large frames are checked beside the event loop."""

import asyncio
import threading
from datetime import UTC, datetime

import pytest

from adapters.hl7.mllp import aside
from adapters.hl7.mllp.arrival import Arrival, Desk, arrival
from adapters.hl7.mllp.aside import Aside
from adapters.hl7.mllp.framing import Frame, Kind
from adapters.hl7.profiles.origin import Origin
from adapters.hl7.profiles.read import Profiles
from fhir_server.server import Server
from tests.adapters.hl7.conftest import Connect, with_hl7

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def oru(control_id: str, size: int = 1) -> bytes:
    start = f"MSH|^~\\&|LIS|LAB|EHR|H|2026||ORU^R01|{control_id}|P|2.5.1"
    text = "x" * size
    return f"{start}\rPID|1||P1^^^H\rOBR|1||F1|X\rOBX|1|TX|A||{text}||||||F\r".encode()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Large frames are held up until it is set, for ten seconds at most."""
    gate = threading.Event()

    def held_up(frame: Frame, desk: Desk, now: datetime) -> Arrival:
        if len(frame.content) > aside.LARGE and not gate.wait(10):
            raise TimeoutError
        return arrival(frame, desk, now)

    monkeypatch.setattr(aside, "arrival", held_up)
    return gate


async def test_others_are_answered_while_a_large_frame_is_checked(
    connect: Connect, gate: threading.Event
) -> None:
    async with connect() as large, connect() as other:
        first, second = oru("C1", aside.LARGE), oru("C2")
        await large.put(b"\x0b" + first + b"\x1c\r\x0b" + second + b"\x1c\r")
        await other.send(oru("C3"))
        assert await other.msa() == ["MSA", "AA", "C3"]
        gate.set()
        assert [await large.msa(), await large.msa()] == [["MSA", "AA", "C1"], ["MSA", "AA", "C2"]]


@pytest.mark.parametrize("sequence", [False, True])
async def test_there_is_no_room_while_many_bytes_are_checked(
    server: Server, gate: threading.Event, *, sequence: bool
) -> None:
    desk = Desk(with_hl7(server, sequence=sequence).settings.hl7, Origin("mllp"), Profiles(), {})
    beside = Aside(aside.LARGE + 1)
    frame = Frame(Kind.WHOLE, oru("C1", aside.LARGE))
    if sequence:  # the one place of a sender's numbers is the event loop
        gate.set()
    task = asyncio.create_task(beside.arrival(frame, desk, NOW))
    await asyncio.sleep(0)
    assert beside.room.is_set() == sequence
    gate.set()
    (row,) = (await task).received
    assert (row.control_id, beside.room.is_set(), beside.bytes) == ("C1", True, 0)
