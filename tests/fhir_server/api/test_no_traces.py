"""What is said in requests leaves no trace in logs, metrics and error texts."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from adapters.dicom.operators.api import routes as dicom_operators
from adapters.dicom.web.routes import routes as dicomweb
from adapters.hl7.inbox.figures import figures
from adapters.hl7.operators.api import routes as hl7_operators
from fhir_server.api.app import create_app
from fhir_server.config import Limits, Settings
from fhir_server.main.log import Lines
from fhir_server.security_settings import RateSettings, SecuritySettings
from fhir_server.server import Server
from tests.fhir_server.identity.app import cheap
from tests.fhir_server.identity.holding import bearer, settled, token

NAME, NUMBER, SECRET = "Zxqvwortha", "MRN7734021", "hunter2hunter2"
MARKERS = (NAME, NUMBER, SECRET)
PATIENT = {
    "resourceType": "Patient",
    "name": [{"family": NAME}],
    "identifier": [{"system": "urn:mrn", "value": NUMBER}],
}
SCOPE = "user/*.cruds sangam/hl7 sangam/dicom sangam/metrics sangam/explain"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    limits = Limits(client_requests=10_000, requests=10_000, writes=10_000)
    found = cheap(Settings(data_dir=tmp_path / "data", limits=limits))
    rates = SecuritySettings(identity=found.security.identity, rates=RateSettings(absent=3))
    return found.model_copy(update={"security": rates})


@pytest.fixture
async def doors(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    await settled(server)
    beside = [one for part in (hl7_operators, dicom_operators, dicomweb) for one in part(server)]
    app = create_app(server, [figures], beside)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    headers = bearer(await token(server, scope=SCOPE))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://testserver", headers=headers
    ) as client:
        yield client


async def _visit(client: httpx.AsyncClient) -> list[httpx.Response]:
    """Say the markers at every door, mostly in ways that are refused."""
    wrong = {**PATIENT, "birthDate": NAME, "gender": NUMBER}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    json = {"Content-Type": "application/fhir+json"}
    broken = f'{{"resourceType": "Patient", "{NAME}": {NUMBER}'
    asked = f"name={NAME}&identifier={NUMBER}"
    patch = [{"op": "test", "path": "/id", "value": NAME}]
    told = [
        await client.post(
            "/fhir/Organization", json={"resourceType": "Organization", "name": NAME}
        ),
        await client.post("/fhir/Patient", json=wrong),
        await client.post("/fhir/Patient", content=broken, headers=json),
        await client.post("/fhir/Patient", json=PATIENT, headers={"If-None-Exist": asked}),
        await client.get(f"/fhir/Patient/{NUMBER}"),
        await client.get(f"/fhir/Patient?birthdate={NAME}"),
        await client.get(f"/fhir/Patient?{asked}&_filter=name eq {NAME} {NUMBER}"),
        await client.post("/fhir/Patient/_search", content=asked + "&%zz", headers=form),
        await client.patch(f"/fhir/Patient/{NUMBER}", json=patch),
        await client.get(f"/fhir/{NAME}/{NUMBER}"),
        await client.post("/fhir/Patient/$validate", json=wrong),
        await client.get("/fhir/Patient", headers=bearer(f"{SECRET}.{NAME}.{NUMBER}")),
        await client.get("/fhir/Patient", headers={"Authorization": f"Basic {SECRET}"}),
        await client.get("/fhir/Patient", headers={"X-Request-Id": f"{NAME} {NUMBER}"}),
        await client.get(f"/hl7/messages?patient={NUMBER}&since={NAME}"),
        await client.post("/hl7/map", content=f"MSH|^~\\&|{NAME}\rPID|1||{NUMBER}"),
        await client.get(f"/dicom-web/studies?PatientName={NAME}&StudyDate={NUMBER}"),
        await client.get(f"/dicom-web/studies/{NUMBER}/metadata"),
        await client.get(f"/dicom/studies/{NUMBER}"),
        await client.post(
            "/auth/login",
            data={"name": NAME, "password": SECRET, "next": f"/{NUMBER}"},
            headers={"Origin": "http://testserver"},
        ),
        await client.post(
            "/auth/token",
            data={"grant_type": "refresh_token", "refresh_token": SECRET, "client_id": NAME},
        ),
    ]
    assert {one.status_code // 100 for one in told} >= {2, 4}
    return told


async def test_what_is_said_at_a_door_is_in_no_log_and_no_figure(
    doors: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await _visit(doors)
    lines = "\n".join(Lines("web").format(one) for one in _ours(caplog))
    assert "is looking for what is not there" in lines
    figures_ = (await doors.get("/metrics")).text
    assert "sangam_request_seconds" in figures_
    assert [one for one in MARKERS if one in lines or one in figures_] == []


async def test_a_fault_is_logged_by_its_place_and_answered_without_it(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    await settled(server)
    broken = replace(server, base=None)
    transport = httpx.ASGITransport(app=create_app(server), raise_app_exceptions=False)
    text = await token(server)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        object.__setattr__(server, "definitions", broken.base)
        answer = await client.get(f"/fhir/Patient?name={NAME}", headers=bearer(text))
    lines = "\n".join(Lines("web").format(one) for one in _ours(caplog))
    assert answer.status_code == 500
    assert "AttributeError" in lines
    assert [one for one in (*MARKERS, text) if one in lines or one in answer.text] == []


def _ours(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What the server's log has: ours from INFO on, others' warnings (main/log.py)."""
    ours = ("fhir_server", "adapters", "terminology")
    return [
        one for one in caplog.records if one.name.startswith(ours) or one.levelno > logging.INFO
    ]


async def test_a_refusal_does_not_repeat_what_it_refuses(doors: httpx.AsyncClient) -> None:
    refused = [one for one in await _visit(doors) if one.status_code >= 400]
    assert len(refused) > 10
    repeated = {
        (str(one.request.url.path), marker)
        for one in refused
        for marker in MARKERS
        if marker in one.text
    }
    # The form of the login has again what was typed, but for the password.
    assert repeated == {("/auth/login", NAME), ("/auth/login", NUMBER)}
