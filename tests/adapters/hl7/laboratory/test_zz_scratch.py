import pytest
from adapters.hl7.laboratory import following
from tests.adapters.hl7.conftest import with_hl7
from tests.adapters.hl7.laboratory.sending import found, look, oru, take
from tests.adapters.hl7.laboratory.test_critical_results import OBR, CRITICAL, statuses, open_rows
pytestmark = pytest.mark.anyio

async def past(server):
    async with server.database.statement() as c:
        await c.execute("UPDATE hl7_critical SET raised_at = now() - interval '2 hours'")

@pytest.mark.parametrize("kind", ["Practitioner", "Observation", "Patient", "Flag", "ServiceRequest"])
async def test_deleted(server, client, kind):
    await take(server, oru(OBR, CRITICAL))
    for one in await found(client, f"/{kind}"):
        r = await client.delete(f"/{kind}/{one['id']}")
        print(kind, r.status_code, r.text[:200])
    await past(server)
    try:
        await look(server)
    except Exception as e:
        print("ERR", type(e), e)
    print(kind, await statuses(client), await open_rows(server))
    for one in await found(client, "/CommunicationRequest"):
        one["status"] = "completed"
        r = await client.put(f"/CommunicationRequest/{one['id']}", json=one)
        print(kind, r.status_code, r.text[:300])
    try:
        await look(server)
    except Exception as e:
        print("ERR", type(e), e)
    print(kind, await statuses(client), await open_rows(server))
