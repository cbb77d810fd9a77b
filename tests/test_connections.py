import asyncio
import gc
import ssl
import warnings

import pytest

from tests.adapters.hl7.certificates import authority
from tests.connections import listening

TURNS = 40


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a server, and of a client that knows it."""
    signer = authority(tmp_path_factory.mktemp("tls"), "authority")
    shown = signer.sign("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.certificate, shown.key)
    return context, ssl.create_default_context(cafile=str(signer.file))


async def _serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def _ended_after(turns: int, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    own, theirs = contexts
    async with listening(_serve, own) as port:
        connecting = asyncio.open_connection(
            "127.0.0.1", port, ssl=theirs, server_hostname="localhost"
        )
        caller = asyncio.create_task(connecting)
        for _ in range(turns):
            await asyncio.sleep(0)
    # Nobody answers it any more: it was let in before, or is refused now.
    await asyncio.wait([caller])
    if not caller.exception():
        caller.result()[1].transport.abort()
        await asyncio.sleep(0)


def test_no_connection_is_left_open_however_far_it_came(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    left: list[str] = []
    for turns in range(TURNS):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            asyncio.run(_ended_after(turns, contexts))
            gc.collect()
        left += [f"after {turns} turns: {one.message}" for one in said]
    assert left == []
