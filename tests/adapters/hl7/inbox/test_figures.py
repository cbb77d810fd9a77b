import httpx
import pytest

from adapters.hl7.inbox.figures import figures
from adapters.hl7.inbox.replay import Chosen, dismiss, replay
from fhir_server.api.app import create_app
from fhir_server.server import Server
from tests.adapters.hl7.conftest import with_hl7
from tests.adapters.hl7.inbox.joining import A, B, done, keep, result

pytestmark = pytest.mark.anyio


async def shown(server: Server) -> dict[str, float]:
    transport = httpx.ASGITransport(app=create_app(server, [figures]))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
        lines = (await http.get("/metrics")).text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(("hl7_inbox", "hl7_oldest")))
    return {name: float(value) for name, value in pairs}


async def test_metrics_tell_what_waits_and_what_is_dead(server: Server) -> None:
    holding = with_hl7(server, on_dead="hold")
    await done(holding, result(B, "F1"), result(A, "F1"), result(A, "F2"))
    found = await shown(server)
    assert found.pop("hl7_oldest_pending_seconds") > 0
    assert found == {
        **{f'hl7_inbox{{state="{state}"}}': 0 for state in ("stale", "rejected", "dismissed")},
        'hl7_inbox{state="stored"}': 1,
        'hl7_inbox{state="dead"}': 1,
        'hl7_inbox_dead{reason="PATIENT_CONFLICT"}': 1,
        "hl7_inbox_holding": 1,
    }


async def test_metrics_follow_what_operators_do(server: Server) -> None:
    await done(server, result(B, "F1"), result(A, "F1"))
    async with server.database.statement() as connection:
        await dismiss(connection, [2], "somebody", "known")
        await replay(connection, Chosen(ids=[1]), "somebody")
    found = await shown(server)
    assert (found['hl7_inbox{state="dismissed"}'], found['hl7_inbox{state="stored"}']) == (1, 1)
    assert 'hl7_inbox_dead{reason="PATIENT_CONFLICT"}' not in found


async def test_empty_inbox_is_not_old(server: Server) -> None:
    assert (await shown(server))["hl7_oldest_pending_seconds"] == 0
    await keep(server, result(A, "F1"))
    assert (await shown(server))["hl7_oldest_pending_seconds"] > 0
