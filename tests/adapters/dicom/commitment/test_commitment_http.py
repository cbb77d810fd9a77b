"""Commitments and steps over the operators' HTTP interface."""

from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest

from adapters.dicom.commitment import rows
from adapters.dicom.mpps import rows as steps
from adapters.dicom.mpps.rows import Message
from adapters.dicom.operators.api import routes
from adapters.dicom.simulation import step
from adapters.dicom.simulation.exam import unscheduled
from adapters.dicom.simulation.objects import instances
from fhir_server.api.app import create_app
from fhir_server.server import Server
from tests.adapters.dicom.commitment.test_commitment_cli import ASKED, PEER
from tests.adapters.dicom.simulation.test_played_modality import NOW, exam


@pytest.fixture
async def http(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_app(server, (), routes(server)))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver/dicom") as client:
        yield client


async def test_commitments_are_listed_and_decided_on(
    server: Server, http: httpx.AsyncClient
) -> None:
    with psycopg.connect(server.database.conninfo, autocommit=True) as connection:
        number = rows.add(connection, PEER, ASKED)
    [found] = (await http.get("/commitments")).json()["commitments"]
    assert {name: found[name] for name in ("number", "requester", "state", "instances")} == {
        "number": number,
        "requester": "CT1",
        "state": "waiting",
        "instances": 2,
    }
    assert (await http.post(f"/commitments/{number}/dismiss")).json() == {"commitment": number}
    assert (await http.post(f"/commitments/{number}/dismiss")).status_code == 404
    assert (await http.get("/commitments")).json() == {"commitments": []}
    assert (await http.post(f"/commitments/{number}/retry")).json() == {"commitment": number}
    [found] = (await http.get("/commitments", params={"everything": True})).json()["commitments"]
    assert found["state"] == "waiting"
    assert (await http.post("/commitments/999/retry")).status_code == 404


async def test_steps_are_listed_with_what_is_missing(
    server: Server, http: httpx.AsyncClient
) -> None:
    played = unscheduled(exam(count=1))
    [instance] = instances(played)
    keys = step.keyed([*step.begun(played), *step.ended(played, [instance], NOW)])
    with psycopg.connect(server.database.conninfo, autocommit=True) as connection:
        steps.add(connection, played.step_uid, keys, Message(b"", "1.2.840.10008.1.2", PEER))
    answer = await http.get("/steps")
    [found] = answer.json()["steps"]
    assert (found["step"], found["state"], found["in_fhir"]) == (
        played.step_uid,
        "COMPLETED",
        False,
    )
    missing = {"series": played.series_instance_uid, "instance": instance.sop_instance_uid}
    assert (found["expected"], found["stored"], found["missing"]) == (1, 0, [missing])
    assert played.patient_id not in answer.text
