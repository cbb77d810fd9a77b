"""Lines to analyzers by TLS, on our port and on theirs."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import ValidationError

from adapters.hl7.astm.listener import serve
from adapters.hl7.mllp.client import client_context
from adapters.hl7.profiles.agreements import agreements
from adapters.hl7.profiles.model import Astm
from fhir_server import entrance
from fhir_server.audit.happening import PEER_REFUSED
from fhir_server.audit.record import read
from fhir_server.channel_settings import Hl7Tls
from fhir_server.server import Server
from tests.adapters.hl7.astm.conftest import Analyzer, inbox, with_settings
from tests.adapters.hl7.certificates import Authority, Pair, authority
from tests.adapters.hl7.conftest import bound
from tests.connections import listening

MESSAGE = b"H|\\^&|||BENCH\rP|1|P1\rO|1|S1||^^^GLU\rR|1|^^^GLU|5.4|mmol/L||N||F\rL|1|N\r"


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("tls"), "hospital")


@asynccontextmanager
async def secured(server: Server, hospital: Authority) -> AsyncIterator[int]:
    """Run a port on which analyzers show a certificate."""
    own = hospital.sign("listener")
    said = {"certificate": str(own.certificate), "key": str(own.key)}
    tls = Hl7Tls(**said, client_cert="required", client_ca=str(hospital.file))
    sock, stop = bound(), asyncio.Event()
    number: int = sock.getsockname()[1]
    task = asyncio.create_task(serve(with_settings(server, {"tls": tls}), sock, stop))
    try:
        yield number
    finally:
        stop.set()
        await task


def showing(hospital: Authority, pair: Pair | None) -> ssl.SSLContext:
    shown = {"certificate": str(pair.certificate), "key": str(pair.key)} if pair else {}
    return client_context(ca=str(hospital.file), **shown)


async def test_results_come_by_tls_from_who_shows_a_certificate(
    server: Server, hospital: Authority
) -> None:
    async with secured(server, hospital) as port:
        context = showing(hospital, hospital.sign("bench"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        await Analyzer(reader, writer).send(MESSAGE)
        ((_, reason, *_),) = await inbox(server, 1)
        writer.close()
    assert reason is None


async def test_who_shows_none_or_speaks_plainly_is_not_taken(
    server: Server, hospital: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entrance, "HANDSHAKE_SECONDS", 0.5)
    async with secured(server, hospital) as port:
        for context in (showing(hospital, None), None):
            with pytest.raises((OSError, asyncio.IncompleteReadError)):
                await greeted(port, context)
        assert await greeted(port, showing(hospital, hospital.sign("bench"))) == b"\x06"
    assert await refused(server) == [
        ("- at 127.0.0.1", "The TLS handshake failed (peer did not return a certificate)"),
        ("- at 127.0.0.1", "The TLS handshake took too long"),
    ]


async def refused(server: Server) -> list[tuple[str, str | None]]:
    """Return who is recorded as refused, and why."""
    async with server.database.connection() as connection:
        cursor = await connection.execute("SELECT said FROM audit_record ORDER BY position")
        found = [one for (said,) in await cursor.fetchall() for one in read(said)]
    return [(one.who.name, one.detail) for one in found if one.happening == PEER_REFUSED]


async def greeted(port: int, context: ssl.SSLContext | None) -> bytes:
    """Return the answer to ENQ."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        return await Analyzer(reader, writer).say(b"\x05")
    finally:
        writer.close()


async def test_analyzer_that_listens_by_tls_is_connected_to(
    server: Server, hospital: Authority, tmp_path: Path
) -> None:
    own = hospital.sign("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.certificate, own.key)
    sent = asyncio.Event()

    async def analyze(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Analyzer(reader, writer).send(MESSAGE)
        await sent.wait()
        writer.close()

    async with listening(analyze, context) as port:
        (tmp_path / "bench.toml").write_text(
            f'version = "1"\n[astm]\nrole = "client"\naddress = "localhost:{port}"\n'
            f'[astm.tls]\nca = "{hospital.file}"\n'
        )
        dialing = with_settings(server, {"poll_seconds": 0.02}, {"profiles_dir": str(tmp_path)})
        await agreements(dialing).refresh()
        stop = asyncio.Event()
        task = asyncio.create_task(serve(dialing, None, stop))
        try:
            ((*_, sender),) = await inbox(server, 1)
        finally:
            sent.set()
            stop.set()
            await task
    assert sender == "bench"


def test_tls_of_a_profile_is_for_analyzers_that_are_connected_to() -> None:
    with pytest.raises(ValidationError, match="role client"):
        Astm.model_validate({"tls": {}})


async def test_an_analyzer_elsewhere_is_not_connected_to_in_the_clear_unmeant(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    connected = asyncio.Event()

    async def analyze(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        writer.close()

    async with listening(analyze) as port:
        # This machine too, which nobody can tell by how it is written.
        said = f'version = "1"\n[astm]\nrole = "client"\naddress = "127.1:{port}"\n'
        profile = tmp_path / "bench.toml"
        profile.write_text(said)
        dialing = with_settings(server, {"poll_seconds": 0.02}, {"profiles_dir": str(tmp_path)})
        stop = asyncio.Event()
        task = asyncio.create_task(serve(dialing, None, stop))
        try:
            async with asyncio.timeout(10):
                while "is not connected to" not in caplog.text:  # noqa: ASYNC110  (a log)
                    await asyncio.sleep(0.01)
                assert not connected.is_set()
                profile.write_text(said + "plain = true\n")
                await connected.wait()
        finally:
            stop.set()
            await task
