import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from adapters.hl7.mllp import port
from adapters.hl7.mllp.client import client_context, send
from adapters.hl7.mllp.listener import serve
from fhir_server.channel_settings import Hl7Channel, Hl7Tls
from fhir_server.server import Server
from tests.adapters.hl7.astm.test_astm_tls import refused
from tests.adapters.hl7.certificates import Authority, Pair, authority
from tests.adapters.hl7.conftest import Sender, bound, with_hl7

pytestmark = pytest.mark.anyio

MESSAGE = (
    b"MSH|^~\\&|LIS|LAB|EHR|H|2026||ORU^R01|C1|P|2.5.1\r"
    b"PID|1||P1^^^H\rOBR|1||F1|X\rOBX|1|NM|A||1||||||F\r"
)


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("tls"), "hospital")


@pytest.fixture(scope="module")
def analyzer(hospital: Authority) -> Pair:
    return hospital.sign("analyzer-7")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return authority(tmp_path_factory.mktemp("other"), "elsewhere").sign("analyzer-7")


@asynccontextmanager
async def secured(server: Server, hospital: Authority, **said: object) -> AsyncIterator[int]:
    """Run a channel with TLS; what it gives is its port."""
    own = hospital.sign("listener")
    tls = {"certificate": str(own.certificate), "key": str(own.key), **said}
    if said.get("client_cert", "none") != "none":
        tls["client_ca"] = str(hospital.file)
    channel = Hl7Channel(name="secure", port=0, tls=Hl7Tls.model_validate(tls))
    sock, stop = bound(), asyncio.Event()
    number = sock.getsockname()[1]
    configured = with_hl7(server, channels=(channel,))
    task = asyncio.create_task(serve(configured, sock, stop, channel))
    try:
        await asyncio.sleep(0.05)
        yield number
    finally:
        stop.set()
        await task


async def codes(number: int, context: ssl.SSLContext) -> list[str]:
    return await asyncio.to_thread(
        lambda: [one.code for one in send("127.0.0.1", number, [MESSAGE], tls=context, seconds=5)]
    )


def showing(hospital: Authority, pair: Pair | None) -> ssl.SSLContext:
    shown = {"certificate": str(pair.certificate), "key": str(pair.key)} if pair else {}
    return client_context(ca=str(hospital.file), **shown)


async def test_messages_come_in_by_tls_under_the_channels_name(
    server: Server, hospital: Authority
) -> None:
    async with secured(server, hospital) as number:
        assert await codes(number, showing(hospital, None)) == ["AA"]
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT channel, control_id FROM hl7_message")
        assert await cursor.fetchall() == [("secure", "C1")]


async def test_plain_bytes_on_a_tls_port_disturb_nobody(
    server: Server, hospital: Authority
) -> None:
    async with secured(server, hospital) as number:
        reader, writer = await asyncio.open_connection("127.0.0.1", number)
        writer.write(b"\x0b" + MESSAGE + b"\x1c\r")
        async with asyncio.timeout(5):
            await reader.read()
        writer.close()
        assert await codes(number, showing(hospital, None)) == ["AA"]


async def test_older_tls_is_refused(server: Server, hospital: Authority) -> None:
    context = showing(hospital, None)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with secured(server, hospital, minimum="1.3") as number:
        with pytest.raises(ssl.SSLError):
            await codes(number, context)
    async with secured(server, hospital) as number:
        assert await codes(number, context) == ["AA"]


@pytest.mark.parametrize("mode", ["required", "optional"])
async def test_certificate_of_another_authority_is_refused(
    server: Server, hospital: Authority, stranger: Pair, mode: str
) -> None:
    async with secured(server, hospital, client_cert=mode) as number:
        for _ in range(2):
            with pytest.raises((OSError, ssl.SSLError)):
                await codes(number, showing(hospital, stranger))
    # Once a minute, however often it is tried.
    why = "The TLS handshake failed (unable to get local issuer certificate)"
    assert await refused(server) == [("- at 127.0.0.1", why)]


@pytest.mark.parametrize(("mode", "taken"), [("required", False), ("optional", True)])
async def test_client_without_certificate_is_refused_where_one_is_required(
    server: Server, hospital: Authority, mode: str, *, taken: bool
) -> None:
    async with secured(server, hospital, client_cert=mode) as number:
        if taken:
            assert await codes(number, showing(hospital, None)) == ["AA"]
            return
        with pytest.raises((OSError, ssl.SSLError)):
            await codes(number, showing(hospital, None))


@pytest.mark.parametrize(
    ("said", "taken"),
    [
        ({"client_names": ["Analyzer-7"]}, True),
        ({"client_names": ["analyzer-8"]}, False),
        ({"client_fingerprints": ["own"]}, True),
        ({"client_fingerprints": ["00" * 32]}, False),
    ],
    ids=["name", "other-name", "fingerprint", "other-fingerprint"],
)
async def test_known_authority_is_not_enough_where_clients_are_named(
    server: Server, hospital: Authority, analyzer: Pair, said: dict[str, list[str]], *, taken: bool
) -> None:
    if said.get("client_fingerprints") == ["own"]:
        said = {"client_fingerprints": [analyzer.fingerprint.upper()]}
    async with secured(server, hospital, client_cert="required", **said) as number:
        if taken:
            assert await codes(number, showing(hospital, analyzer)) == ["AA"]
            return
        with pytest.raises((OSError, ssl.SSLError)):
            await codes(number, showing(hospital, analyzer))


async def certificate_of(number: int) -> bytes:
    return await asyncio.to_thread(_certificate_of, number)


def _certificate_of(number: int) -> bytes:
    return ssl.get_server_certificate(("127.0.0.1", number), timeout=5).encode()


async def changed(number: int, first: bytes) -> None:
    async with asyncio.timeout(10):
        while await certificate_of(number) == first:  # noqa: ASYNC110  (files tell nobody)
            await asyncio.sleep(0.02)


async def test_new_certificate_is_shown_without_restart(
    server: Server, hospital: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port, "_LOOK_SECONDS", 0.02)
    async with secured(server, hospital) as number:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", number, ssl=showing(hospital, None)
        )
        before = Sender(reader, writer)
        await before.send(MESSAGE)
        assert (await before.msa())[1] == "AA"
        first = await certificate_of(number)
        hospital.sign("listener")
        await changed(number, first)
        assert await codes(number, showing(hospital, None)) == ["AA"]
        await before.send(MESSAGE)
        assert (await before.msa())[1] == "AA"
        writer.close()


async def test_unusable_new_certificate_leaves_the_old_one(
    server: Server, hospital: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(port, "_LOOK_SECONDS", 0.02)
    async with secured(server, hospital) as number:
        first = await certificate_of(number)
        (hospital.place / "listener.pem").write_text("not yet whole")
        await asyncio.sleep(0.2)
        assert await certificate_of(number) == first
        hospital.sign("listener")
        await changed(number, first)


async def test_missing_certificate_is_an_error_of_the_channel(
    server: Server, hospital: Authority, tmp_path: Path
) -> None:
    lost = str(tmp_path / "none.pem")
    channel = Hl7Channel(name="x", port=0, tls=Hl7Tls(certificate=lost, key=lost))
    with pytest.raises(FileNotFoundError):
        await serve(server, bound(), asyncio.Event(), channel)
