import asyncio
import json
from typing import Any

import httpx
import pytest

from adapters.dicom.dataset.head import head
from adapters.dicom.network.scu import Instance
from adapters.dicom.query.conditions import Condition
from adapters.dicom.simulation.computed_tomography import Study, instances
from adapters.dicom.studies.ids import imaging_study_id
from adapters.dicom.web import access
from fhir_server.api.app import create_app
from tests.adapters.dicom.web.conftest import Site
from tests.fhir_server.identity.holding import bearer, settled, token

EXPLICIT = "1.2.840.10008.1.2.1"
CLINICAL = "user/ImagingStudy.cruds user/Patient.cruds"


def slices(seed: int) -> list[Instance]:
    return list(instances(Study(seed, 1, size=16)))


def study_of(one: Instance) -> str:
    return str(head(one.data_set, len(one.data_set), EXPLICIT).study_instance_uid)


async def _shown_as(site: Site, uid: str, patient: str) -> None:
    """Have FHIR show a study as of this patient."""
    study: dict[str, Any] = {
        "resourceType": "ImagingStudy",
        "id": imaging_study_id(uid),
        "status": "available",
        "subject": {"reference": f"Patient/{patient}"},
    }
    transport = httpx.ASGITransport(app=create_app(site.server))
    async with httpx.AsyncClient(transport=transport, base_url=site.server.base) as fhir:
        person = {"resourceType": "Patient", "id": patient}
        assert (await fhir.put(f"/Patient/{patient}", json=person)).is_success
        assert (await fhir.put(f"/ImagingStudy/{study['id']}", json=study)).is_success
    site.execute(
        "UPDATE dicom_study SET patient = %s, imaging_study = %s WHERE study_instance_uid = %s",
        f"Patient/{patient}",
        study["id"],
        uid,
    )


async def test_nothing_is_answered_while_its_record_is_not_committed(site: Site) -> None:
    await settled(site.server)
    [one, *_] = some = slices(1)
    site.keep(*some)
    uid = study_of(one)
    await _shown_as(site, uid, "a")
    bound = bearer(await token(site.server, scope="patient/*.rs", patient="a"))
    path = f"/studies/{uid}/metadata"
    async with site.server.database.transaction() as connection:
        await connection.execute("LOCK TABLE body IN SHARE MODE")
        both = {asyncio.create_task(site.http.get(path, headers=bound)) for _ in range(2)}
        done, _ = await asyncio.wait(both, timeout=0.3)
        assert done == set()
    assert {(await each).status_code for each in both} == {200}
    async with site.server.database.connection() as connection:
        count = "SELECT count(*) FROM body WHERE json LIKE '%urn:sangam:dicom-action%'"
        assert await (await connection.execute(count)).fetchone() == (1,)


async def test_studies_are_those_of_the_patients_that_a_caller_may_read(site: Site) -> None:
    await settled(site.server)
    all_ = [slices(seed) for seed in (1, 2, 3)]
    site.keep(*(one for some in all_ for one in some))
    own, foreign, unmatched = (study_of(some[0]) for some in all_)
    await _shown_as(site, own, "a")
    await _shown_as(site, foreign, "b")

    def uids(answer: httpx.Response) -> set[str]:
        return {one["0020000D"]["Value"][0] for one in answer.json()}

    bound = bearer(await token(site.server, scope="patient/*.rs", patient="a"))
    found = await site.http.get("/studies", headers=bound)
    assert uids(found) == {own}
    async with site.server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT said FROM audit_record WHERE said LIKE '%dicom-web/studies%'"
        )
        [said] = [json.loads(row[0]) for row in await cursor.fetchall()]
    place = ["ImagingStudy", imaging_study_id(own), 0]
    assert (said["places"], said["who"]["user"]) == ([place], "Practitioner/p1")
    # One result of one, and no word of more, however many are hidden before and after it.
    page = await site.http.get("/studies?limit=1", headers=bound)
    assert (uids(page), "warning" in page.headers) == ({own}, False)
    assert (await site.http.get("/studies?offset=1", headers=bound)).json() == []
    counted = "/studies?includefield=NumberOfPatientRelatedStudies"
    [one] = (await site.http.get(counted, headers=bound)).json()
    assert one["00201200"] == {"vr": "IS"}
    for uid, status in ((own, 200), (foreign, 404), (unmatched, 404), ("9.9.9", 404)):
        for below in ("", "/metadata", "/rendered", "/series", "/instances"):
            answer = await site.http.get(f"/studies/{uid}{below}", headers=bound)
            assert answer.status_code == status, (uid, below)
    assert (await site.http.delete(f"/studies/{own}", headers=bound)).status_code == 403
    async with site.server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT json FROM body WHERE json LIKE '%urn:sangam:dicom-action%'"
        )
        [event] = [json.loads(row[0]) for row in await cursor.fetchall()]
    people = [one["who"].get("reference") for one in event["agent"] if one["requestor"]]
    assert people == ["Practitioner/p1"]

    both = bearer(await token(site.server, jti="t2", scope=CLINICAL))
    assert uids(await site.http.get("/studies", headers=both)) == {own, foreign}
    # Who may not know the patient may not know of the study, which names him.
    images = bearer(await token(site.server, jti="t3", scope="user/ImagingStudy.cruds"))
    assert (await site.http.get("/studies", headers=images)).json() == []
    stored = await site.http.post(
        "/studies", headers={**both, "Content-Type": "multipart/related"}, content=b""
    )
    assert stored.status_code == 403


async def test_without_the_first_wall_the_second_shows_no_study_of_another(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    await settled(site.server)
    [one, *_] = some = slices(1)
    site.keep(*some)
    uid = study_of(one)
    await _shown_as(site, uid, "b")

    async def everything(*_: object) -> tuple[Condition, ...]:
        return (Condition("true"),)

    monkeypatch.setattr(access, "wall", everything)
    bound = bearer(await token(site.server, scope="patient/*.rs", patient="a"))
    staff = bearer(await token(site.server, scope="user/ImagingStudy.rs user/Patient.rs"))
    for path in ("/studies", f"/studies/{uid}/metadata", f"/studies/{uid}/series"):
        answer = await site.http.get(path, headers=bound)
        assert (answer.status_code, uid in answer.text) == (500, False), path
        assert (await site.http.get(path, headers=staff)).status_code == 200
