"""TLS ports: who shakes hands comes in, of who fails it is told, new certificates are taken up."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fhir_server import entrance
from fhir_server.entrance import Entrance, Following
from tests.adapters.hl7.certificates import Authority, authority
from tests.adapters.hl7.conftest import bound

pytestmark = pytest.mark.anyio

Told = list[tuple[str, str]]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("tls"), "hospital")


def served_by(hospital: Authority) -> Following:
    own = hospital.sign("listener")

    def context() -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(own.certificate, own.key)
        made.load_verify_locations(hospital.file)
        made.verify_mode = ssl.CERT_REQUIRED
        return made

    return Following((str(own.certificate), str(own.key)), context)


@asynccontextmanager
async def opened(following: Following, told: Told) -> AsyncIterator[int]:
    async def failed(host: str, why: str) -> None:
        told.append((host, why))

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(10))
        writer.close()

    def protocol() -> asyncio.BaseProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(), echo)

    sock = bound()
    port = sock.getsockname()[1]
    door = Entrance(sock, lambda: following.context, protocol, failed)
    door.open()
    try:
        yield port
    finally:
        door.close()
        while sock.fileno() != -1:  # noqa: ASYNC110  (nobody is told)
            await asyncio.sleep(0)


async def said(port: int, context: ssl.SSLContext | None, text: bytes = b"ping") -> bytes:
    """Return what is answered, "" to who is hung up on."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    except OSError:
        return b""
    try:
        writer.write(text)
        return await reader.read()
    except OSError:
        return b""
    finally:
        writer.close()


def showing(hospital: Authority, who: str, place: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=hospital.file)
    if who != "nobody":
        issuer = authority(place, "other") if who == "stranger" else hospital
        pair = issuer.sign(who, expired=who == "expired")
        context.load_cert_chain(pair.certificate, pair.key)
    return context


@pytest.mark.parametrize(
    ("who", "why"),
    [
        ("known", None),
        ("nobody", "peer did not return a certificate"),
        ("stranger", "unable to get local issuer certificate"),
        ("expired", "certificate has expired"),
    ],
)
async def test_who_cannot_prove_himself_is_told_of(
    hospital: Authority, tmp_path: Path, who: str, why: str | None
) -> None:
    told: Told = []
    async with opened(served_by(hospital), told) as port:
        answer = await said(port, showing(hospital, who, tmp_path))
    expected = [] if why is None else [("127.0.0.1", f"The TLS handshake failed ({why})")]
    assert (answer, told) == (b"ping" if why is None else b"", expected)


async def test_plain_talk_and_silence_are_told_of_and_a_look_at_the_port_is_not(
    hospital: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entrance, "HANDSHAKE_SECONDS", 0.2)
    told: Told = []
    async with opened(served_by(hospital), told) as port:
        _, looking = await asyncio.open_connection("127.0.0.1", port)
        looking.close()
        assert await said(port, None, b"\x0bMSH|^~\\&|A\r\x1c\r") == b""
        assert await said(port, None, b"") == b""
        assert await said(port, showing(hospital, "known", tmp_path)) == b"ping"
    assert told == [
        ("127.0.0.1", "The TLS handshake failed (wrong version number)"),
        ("127.0.0.1", "The TLS handshake took too long"),
    ]


async def test_the_next_connection_is_shown_the_new_certificate(
    hospital: Authority, tmp_path: Path
) -> None:
    following, context = served_by(hospital), showing(hospital, "known", tmp_path)
    async with opened(following, []) as port:
        before = following.context
        (hospital.place / "listener.pem").write_text("half of it")
        assert (following.look(), following.context is before) == (False, True)
        assert await said(port, context) == b"ping"
        hospital.sign("listener")
        assert (following.look(), following.context is before) == (True, False)
        assert await said(port, context) == b"ping"


async def test_of_one_address_so_many_shake_hands_at_once(
    hospital: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entrance, "OF_ONE", 2)
    told: Told = []
    async with opened(served_by(hospital), told) as port:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        assert await said(port, None, b"") == b""  # hung up on at once
        for _, writer in silent:
            writer.close()
            await writer.wait_closed()
        mine = showing(hospital, "analyzer", tmp_path)
        while not (answer := await said(port, mine)):  # noqa: ASYNC110  (nobody is told)
            await asyncio.sleep(0)
    assert (answer, told) == (b"ping", [])


async def test_who_comes_when_many_shake_hands_waits_and_is_let_in(
    hospital: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entrance, "AT_ONCE", 1)
    async with opened(served_by(hospital), []) as port:
        _, silent = await asyncio.open_connection("127.0.0.1", port)
        mine = asyncio.create_task(said(port, showing(hospital, "analyzer", tmp_path)))
        await asyncio.sleep(0)
        silent.close()
        await silent.wait_closed()
        assert await mine == b"ping"
