"""What operators see and do over HTTP and on the command line."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

import anyio.to_thread
import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from adapters.dicom.cli import app
from adapters.dicom.operators import rights
from adapters.dicom.operators.api import routes
from adapters.dicom.operators.candidates import judged
from fhir_server.access import glass, openers
from fhir_server.api.app import create_app
from fhir_server.caller import Caller
from fhir_server.main.wiring import running
from fhir_server.rights import Rights
from fhir_server.server import Server
from tests.adapters.dicom.studies.archive import SYSTEM, Held, check, image
from tests.fhir_server.identity.holding import bearer, settled, token

STUDY = "1.2.1"
SENT = {
    "PatientID": "P1",
    "PatientName": "Rao^Asha",
    "PatientBirthDate": "19800102",
    "PatientSex": "F",
    "StudyDate": "20240131",
    "StudyDescription": "Chest",
}
KNOWN = {
    "resourceType": "Patient",
    "id": "a",
    "identifier": [{"system": SYSTEM, "value": "P7"}],
    "name": [{"family": "Rao", "given": ["Asha"]}],
    "birthDate": "1980-01-02",
    "gender": "female",
}


@pytest.fixture
async def web(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_app(server, (), routes(server)))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver/dicom") as http:
        yield http


async def get(web: httpx.AsyncClient, path: str) -> Any:
    response = await web.get(path)
    assert response.status_code == 200, response.text
    return response.json()


async def post(web: httpx.AsyncClient, path: str, **body: Any) -> Any:
    response = await web.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


async def test_a_study_that_waits_is_looked_at_and_linked(
    archive: Held, web: httpx.AsyncClient
) -> None:
    await archive.put(KNOWN)
    await archive.send(image("1.2.3", **SENT))
    [waiting] = (await get(web, "/unmatched"))["studies"]
    assert (waiting["study"], waiting["match"]) == (STUDY, "held")
    assert not {"Rao", "P1"} & set(map(str, waiting.values()))
    found = await get(web, f"/studies/{STUDY}")
    assert found["says"]["PatientName"] == "Rao^Asha"
    [offered] = found["candidates"]
    assert (offered["patient"], offered["score"]) == ("Patient/a", 55)
    assert offered["agrees"] == ["birth date", "family name", "given name", "sex"]
    [event] = await archive.found("AuditEvent")
    assert event["entity"][0]["what"]["identifier"]["value"] == f"urn:oid:{STUDY}"
    done = await post(web, f"/studies/{STUDY}/link", patient="Patient/a", by="Ann")
    events = await archive.found("AuditEvent")
    assert sorted(one["subtype"][0]["code"] for one in events) == ["link", "read"]
    for one in events:
        check(archive.server.validator, one)
    assert (await get(web, "/unmatched"))["studies"] == []
    [action] = (await get(web, f"/actions?study={STUDY}"))["actions"]
    assert (action["id"], action["action"], action["undoable"]) == (done["action"], "link", True)
    assert action["actor"].startswith("Ann at ")
    await post(web, f"/actions/{done['action']}/undo")
    assert (await get(web, "/overview"))["unmatched"] == 1


async def test_what_is_rejected_is_listed_and_removed_by_another(
    archive: Held, web: httpx.AsyncClient
) -> None:
    await archive.send(image("1.2.3", **SENT))
    assert await post(web, f"/studies/{STUDY}/reject", code="113037", by="Ann") == {"instances": 1}
    [row] = (await get(web, "/rejected"))["rejected"]
    assert (row["code"], row["instances"], row["approved_by"]) == ("113037", 1, None)
    refused = await web.post(f"/studies/{STUDY}/approve", json={"by": "Ann"})
    assert refused.status_code == 409
    assert await post(web, f"/studies/{STUDY}/approve", by="Bob") == {"instances": 1}
    assert await post(web, f"/studies/{STUDY}/restore", by="Bob") == {"instances": 1}
    assert (await get(web, "/rejected"))["rejected"] == []


async def test_a_conflict_is_decided(archive: Held, web: httpx.AsyncClient) -> None:
    await archive.send(image("1.2.3", **SENT), image("1.2.3", StudyDescription="Knee"))
    [one] = (await get(web, "/conflicts"))["conflicts"]
    taken = await post(web, f"/conflicts/{one['id']}/accept")
    [kept] = (await get(web, "/conflicts?everything=true"))["conflicts"]
    assert (kept["id"], kept["state"]) == (taken["conflict"], "replaced")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/studies/1.9/link", {"patient": "Patient/a"}, 404),
        ("/studies/1.9/link", {"patient": "Group/a"}, 422),
        ("/studies/1.9/reject", {"code": "113037"}, 404),
        ("/studies/1.9/reject", {"code": "1"}, 400),
        ("/studies/1.9/correct", {"values": {"Rows": "1"}}, 400),
        ("/conflicts/7/keep", {}, 404),
        ("/actions/7/undo", {}, 404),
    ],
)
async def test_what_cannot_be_done_is_told(
    web: httpx.AsyncClient, path: str, body: dict[str, Any], status: int
) -> None:
    assert (await web.post(path, json=body)).status_code == status


def test_a_column_that_is_new_to_a_list_is_shown_to_nobody_without_clinical_rights() -> None:
    row = {"study": STUDY, "match": "given", "institution": "Rao's clinic", "date": "20240102"}
    nobody = Caller("client/c", "rest", rights=Rights(((),)))
    silent = {"study": STUDY, "match": "given", "institution": None, "date": None}
    assert rights.shown(nobody, [row]) == [silent]


async def test_the_page_of_another_site_does_nothing(archive: Held, web: httpx.AsyncClient) -> None:
    await archive.send(image("1.2.3", **SENT))
    headers = {"Origin": "http://elsewhere.example"}
    body = {"code": "113037"}
    answer = await web.post(f"/studies/{STUDY}/reject", json=body, headers=headers)
    assert answer.status_code == 403
    assert (await get(web, "/rejected"))["rejected"] == []


async def test_the_page_is_served_with_what_it_needs(web: httpx.AsyncClient) -> None:
    for path, kind in (("/", "html"), ("/page.js", "javascript"), ("/page.css", "css")):
        answer = await web.get(path)
        assert (answer.status_code, kind in answer.headers["content-type"]) == (200, True)
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_patient_of_whom_all_agrees_has_all_points() -> None:
    said = {name: [value] for name, value in SENT.items()} | {"PatientID": ["P7"]}
    assert judged(said, KNOWN).score == 100
    assert judged({}, KNOWN).score == 0


@dataclass(frozen=True)
class Target:
    """What commands open, as `sangam` gives it."""

    of: Server

    def server(self) -> AbstractAsyncContextManager[Server]:
        return running(self.of.settings, self.of.database.conninfo, self.of.base)


async def invoke(archive: Held, *arguments: str) -> Result:
    run = partial(CliRunner().invoke, app, arguments, obj=Target(archive.server))
    result = await anyio.to_thread.run_sync(run)
    await archive.work()
    return result


async def test_the_commands_do_the_same(archive: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    await archive.put(KNOWN)
    await archive.send(image("1.2.3", **SENT), image("1.2.4", series="1.2.1.2", **SENT))
    listed = await invoke(archive, "unmatched", "list")
    assert STUDY in listed.output
    assert "Rao" not in listed.output
    shown = await invoke(archive, "unmatched", "show", STUDY)
    assert "Patient/a" in shown.output
    linked = await invoke(archive, "unmatched", "link", STUDY, "a")
    assert linked.exit_code == 0
    action = linked.output.split()[-1]
    assert (await archive.found("ImagingStudy"))[0]["subject"] == {"reference": "Patient/a"}
    assert (await invoke(archive, "studies", "undo", action)).exit_code == 0
    corrected = await invoke(archive, "studies", "correct", STUDY, "StudyDescription=Knee")
    assert corrected.exit_code == 0
    assert (await archive.found("ImagingStudy"))[0]["description"] == "Knee"
    split = await invoke(archive, "unmatched", "split", STUDY, "1.2.1.2")
    assert len(await archive.found("ImagingStudy")) == 2
    assert (await invoke(archive, "studies", "undo", split.output.split()[-1])).exit_code == 0
    rejected = await invoke(archive, "studies", "reject", STUDY, "--code", "113037", "--by", "x")
    assert rejected.output == "2 instances rejected\n"
    assert "113037" in (await invoke(archive, "studies", "rejected")).output
    assert (await invoke(archive, "studies", "approve", STUDY, "--by", "y")).exit_code == 0
    assert (await invoke(archive, "studies", "restore", STUDY)).output == "2 instances restored\n"
    history = await invoke(archive, "studies", "history", STUDY)
    assert history.exit_code == 0
    assert (await invoke(archive, "studies", "list")).exit_code == 0
    wrong = await invoke(archive, "unmatched", "link", STUDY, "nobody")
    assert wrong.exit_code != 0


async def test_an_app_by_itself_is_no_second_person(archive: Held, web: httpx.AsyncClient) -> None:
    await settled(archive.server)
    await archive.send(image("1.2.3", **SENT))
    await post(web, f"/studies/{STUDY}/reject", code="113037", by="Ann")
    app_itself = {"grant": "g2", "sub": "app", "fhirUser": None}
    by = bearer(await token(archive.server, scope="sangam/dicom", **app_itself))
    assert (await web.get("/rejected", headers=by)).status_code == 200
    refused = await web.post(f"/studies/{STUDY}/approve", json={}, headers=by)
    assert refused.status_code == 403
    [row] = (await get(web, "/rejected"))["rejected"]
    assert row["approved_by"] is None


async def _glass_of(archive: Held, patient: str) -> None:
    asked = glass.Asked(
        1, "Practitioner/p1", patient, "ETREAT", "?", None, None, timedelta(hours=1), None
    )
    async with archive.server.database.transaction() as connection:
        await glass.open_record(connection, asked)
    openers.forget(archive.server)


async def test_without_clinical_rights_studies_are_counted_and_not_looked_at(
    archive: Held,
) -> None:
    server, waits = archive.server, "1.2.9"
    security = server.settings.security
    roles = security.roles.model_copy(update={"admin_clinical": False})
    settings = server.settings.model_copy(
        update={"security": security.model_copy(update={"roles": roles})}
    )
    bound = replace(server, settings=settings)
    await settled(server)
    known = {**SENT, "PatientID": "P7", "IssuerOfPatientID": "X", "AccessionNumber": "A77"}
    await archive.put(KNOWN)
    await archive.send(image("1.2.3", **SENT), image("1.2.8", study=waits, **known))
    transport = httpx.ASGITransport(app=create_app(server, (), routes(server)))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver/dicom") as all_:
        await post(all_, f"/studies/{STUDY}/link", patient="Patient/a", by="Ann")
        await post(all_, f"/studies/{STUDY}/reject", code="113037", reason="Rao", by="Ann")
    by = bearer(await token(server, scope="user/*.rs sangam/dicom"))
    transport = httpx.ASGITransport(app=create_app(bound, (), routes(bound)))
    base = "http://testserver/dicom"
    async with httpx.AsyncClient(transport=transport, base_url=base, headers=by) as web:
        lists = [await get(web, path) for path in ("/studies", "/unmatched", "/rejected")]
        lists += [await get(web, "/actions"), await get(web, "/conflicts")]
        assert [len(one["studies"]) for one in lists[:2]] == [2, 1]
        assert [one for one in ("Rao", "Chest", "A77", "2024") if one in str(lists)] == []
        looks = [f"/studies/{STUDY}", f"/studies/{waits}"]
        assert [(await web.get(one)).status_code for one in looks] == [403, 403]
        undone = await web.post("/actions/1/undo", json={})
        linked = await web.post(f"/studies/{waits}/link", json={"patient": "Patient/a"})
        assert (undone.status_code, linked.status_code) == (403, 403)
        await _glass_of(archive, "a")
        assert [(await web.get(one)).status_code for one in looks] == [200, 403]
    events = await archive.found("AuditEvent?_count=100")
    [broken] = [one for one in events if "purposeOfEvent" in one]
    assert broken["purposeOfEvent"][0]["coding"][0]["code"] == "BTG"
