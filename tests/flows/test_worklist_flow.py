"""An order is posted by REST, stands on the modality's worklist, and leaves it when cancelled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
import httpx

from adapters.dicom.worklist import serve
from fhir_server.server import Server
from tests.adapters.dicom.conftest import Archive, serving
from tests.adapters.dicom.worklist import orders
from tests.adapters.dicom.worklist.conftest import asked, ids


@asynccontextmanager
async def followed(server: Server) -> AsyncIterator[None]:
    """Keep the worklist up to date, as the worker's process does."""
    stop = asyncio.Event()
    following = asyncio.create_task(serve.serve(server, stop))
    try:
        yield
    finally:
        stop.set()
        await following


async def until(archive: Archive, expected: list[str]) -> None:
    """Ask as a modality does until the list is this; fail after a long while."""
    found = None
    for _ in range(200):
        answers = await anyio.to_thread.run_sync(asked, archive, "PatientID")
        found = ids(answers, "PatientID")
        if found == expected:
            return
        await asyncio.sleep(0.1)
    assert found == expected


async def test_an_order_is_listed_and_leaves_with_its_appointment(
    server: Server, client: httpx.AsyncClient
) -> None:
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "request": {"method": "PUT", "url": f"{one['resourceType']}/{one['id']}"},
                "resource": one,
            }
            for one in (*orders.PEOPLE, orders.ENCOUNTER, orders.ORDER, orders.APPOINTMENT)
        ],
    }
    with serving(server.settings, server.database.conninfo) as archive:
        async with followed(server):
            await until(archive, [])
            assert (await client.post("/", json=bundle)).status_code == 200
            await until(archive, ["MR-1"])
            cancelled = {**orders.APPOINTMENT, "status": "cancelled"}
            assert (await client.put("/Appointment/a1", json=cancelled)).status_code == 200
            await until(archive, [])
