"""The HTTP port with TLS."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from fhir_server.main import https
from fhir_server.security_settings import HttpTls
from fhir_server.server import Server
from tests.adapters.hl7.astm.test_astm_tls import refused
from tests.adapters.hl7.certificates import authority
from tests.adapters.hl7.conftest import bound


async def application(scope: dict[str, Any], _receive: object, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["scheme"].encode()})


async def test_requests_come_by_tls_and_failed_handshakes_are_recorded(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(https, "_LOOK_SECONDS", 0.02)
    hospital = authority(tmp_path, "hospital")
    own = hospital.sign("fhir")
    config = uvicorn.Config(application, http="httptools", lifespan="off", log_config=None)
    config.load()
    sock = bound()
    port = sock.getsockname()[1]
    tls = HttpTls(certificate=str(own.certificate), key=str(own.key))
    serving = asyncio.create_task(https.serve(server, config, sock, tls))
    trusting = ssl.create_default_context(cafile=hospital.file)
    try:
        shown = set()
        async with asyncio.timeout(10):
            while len(shown) < 2:
                async with httpx.AsyncClient(verify=trusting) as client:
                    answer = await client.get(f"https://127.0.0.1:{port}/")
                    stream = answer.extensions["network_stream"]
                    tied = stream.get_extra_info("ssl_object")
                    shown.add(tied.getpeercert(binary_form=True))
                assert answer.text == "https"
                if len(shown) == 1:
                    hospital.sign("fhir")  # is shown without a restart
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        with pytest.raises(ssl.SSLError):  # who does not trust us tells us so
            await asyncio.open_connection("127.0.0.1", port, ssl=old, server_hostname="x")
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    why = "The TLS handshake failed (http request)"
    assert ("- at 127.0.0.1", why) in await refused(server)
