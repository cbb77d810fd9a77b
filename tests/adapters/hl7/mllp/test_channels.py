import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from adapters.hl7.mllp import channels
from adapters.hl7.mllp.client import Acknowledgement, send
from fhir_server.channel_settings import Hl7Channel
from fhir_server.server import Server
from tests.adapters.hl7.conftest import bound, with_hl7

pytestmark = pytest.mark.anyio

MESSAGE = (
    b"MSH|^~\\&|LIS|LAB|EHR|H|2026||ORU^R01|C1|P|2.5.1\r"
    b"PID|1||P1^^^H\rOBR|1||F1|X\rOBX|1|NM|A||1||||||F\r"
)
Found = dict[str, tuple[str, int | None]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "_LOOK_SECONDS", 0.03)
    monkeypatch.setattr(channels, "_BEGIN_SECONDS", 0.03)


@asynccontextmanager
async def running(server: Server, *said: Hl7Channel, plain: bool = True) -> AsyncIterator[None]:
    stop = asyncio.Event()
    own = with_hl7(server, channels=said, stop_seconds=1)
    task = asyncio.create_task(channels.serve(own, bound() if plain else None, stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def states(server: Server) -> Found:
    async with server.database.connection() as connection:
        found = await channels.states(connection)
    return {str(one["name"]): (str(one["state"]), one["port"]) for one in found}  # type: ignore[misc]


async def become(server: Server, **expected: str) -> dict[str, int]:
    """Wait until the channels are in these states; return their ports."""
    async with asyncio.timeout(10):
        while True:
            found = await states(server)
            if {name: state for name, (state, _) in found.items()} == expected:
                return {name: port for name, (_, port) in found.items() if port}
            await asyncio.sleep(0.02)


async def want(server: Server, name: str, *, stopped: bool) -> None:
    async with server.database.statement() as connection:
        await channels.want(connection, name, stopped=stopped, by="operator")


async def codes(port: int) -> list[str]:
    def sent() -> list[Acknowledgement]:
        return list(send("127.0.0.1", port, [MESSAGE], seconds=5))

    return [one.code for one in await asyncio.to_thread(sent)]


def channel(name: str, **said: object) -> Hl7Channel:
    return Hl7Channel.model_validate({"name": name, "port": 0, **said})


async def test_each_channel_has_a_port_and_settings_of_its_own(server: Server) -> None:
    strict = channel("strict", accepted_types=["ADT"])
    async with running(server, channel("lab"), strict):
        ports = await become(server, mllp="listening", lab="listening", strict="listening")
        got = {name: await codes(port) for name, port in ports.items()}
    assert got == {"mllp": ["AA"], "lab": ["AA"], "strict": ["AR"]}
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT channel, state FROM hl7_message")
        assert set(await cursor.fetchall()) == {
            ("mllp", "stored"),
            ("lab", "stored"),
            ("strict", "rejected"),
        }
    assert await states(server) == dict.fromkeys(("mllp", "lab", "strict"), ("ended", None))


async def test_plain_port_can_be_off(server: Server) -> None:
    async with running(server, channel("lab"), plain=False):
        ports = await become(server, lab="listening")
        assert await codes(ports["lab"]) == ["AA"]


@pytest.mark.parametrize("name", ["mllp", "lab"])
async def test_operator_stops_and_starts_a_channel(server: Server, name: str) -> None:
    other = {"mllp": "lab", "lab": "mllp"}[name]
    async with running(server, channel("lab")):
        ports = await become(server, mllp="listening", lab="listening")
        await want(server, name, stopped=True)
        await become(server, **{name: "stopped", other: "listening"})
        with pytest.raises(OSError):  # noqa: PT011  (refused, or hung up)
            await codes(ports[name])
        assert await codes(ports[other]) == ["AA"]
        await want(server, name, stopped=False)
        ports = await become(server, mllp="listening", lab="listening")
        assert await codes(ports[name]) == ["AA"]


async def test_stopped_channel_stays_so_at_the_next_start(server: Server) -> None:
    await want(server, "lab", stopped=True)
    async with running(server, channel("lab")):
        await become(server, mllp="listening", lab="stopped")


async def test_channel_that_cannot_listen_says_why_and_tries_again(server: Server) -> None:
    taken = bound()
    port = taken.getsockname()[1]
    async with running(server, channel("lab", port=port)):
        await become(server, mllp="listening", lab="failed")
        async with server.database.connection() as connection:
            details = {one["name"]: one["detail"] for one in await channels.states(connection)}
        taken.close()
        ports = await become(server, mllp="listening", lab="listening")
    assert details == {"mllp": "", "lab": "Address already in use"}
    assert ports["lab"] == port


async def test_channel_without_its_certificate_fails_alone(server: Server) -> None:
    tls = {"certificate": "none.pem", "key": "none.pem"}
    async with running(server, channel("lab", tls=tls)):
        ports = await become(server, mllp="listening", lab="failed")
        assert await codes(ports["mllp"]) == ["AA"]
