"""What doctors, nurses, radiologists, patients, apps and services may do with studies."""

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

from adapters.dicom.dataset.filemeta import file_meta
from adapters.dicom.dataset.head import head
from adapters.dicom.network.scu import Instance
from adapters.dicom.simulation.computed_tomography import Study, instances
from adapters.dicom.studies.ids import imaging_study_id
from adapters.dicom.web import access
from fhir_server.access import glass, openers
from fhir_server.api.app import create_app
from fhir_server.caller import Caller
from fhir_server.rights import Cleared, Grant, Having, Matching, Opened, Related, Rights, Wall
from tests.adapters.dicom.web.conftest import Site
from tests.fhir_server.identity.holding import bearer, settled, token

EXPLICIT = "1.2.840.10008.1.2.1"
RELATED = 'multipart/related; type="application/dicom"; boundary=XX'
OWN, FOREIGN, UNREAD, NOBODYS, UNKNOWN = "own", "foreign", "unread", "nobodys", "unknown"
SEEDS = {OWN: 1, FOREIGN: 2, UNREAD: 3, NOBODYS: 4, UNKNOWN: 5}
DENIED, ABSENT, DONE = 403, 404, 200


def slices(name: str, count: int = 1) -> list[Instance]:
    return list(instances(Study(SEEDS[name], count, size=16)))


def uid(name: str) -> str:
    [one] = slices(name)
    return str(head(one.data_set, len(one.data_set), EXPLICIT).study_instance_uid)


def part10(one: Instance) -> bytes:
    meta = file_meta(one.sop_class_uid, one.sop_instance_uid, one.transfer_syntax_uid, "X")
    return b"\r\n--XX\r\nContent-Type: application/dicom\r\n\r\n" + meta + one.data_set


BODY = {name: part10(slices(name, 2)[1]) + b"\r\n--XX--\r\n" for name in SEEDS}
CONFIDENTIAL = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"


async def _shown(site: Site) -> None:
    """Have FHIR show studies of the patients a, for whom p1 cares, and b."""
    visit: dict[str, Any] = {
        "resourceType": "Encounter",
        "id": "e",
        "status": "in-progress",
        "class": {"code": "IMP"},
        "subject": {"reference": "Patient/a"},
        "participant": [{"individual": {"reference": "Practitioner/p1"}}],
    }
    people = [{"resourceType": "Patient", "id": one} for one in "ab"]
    studies = [
        {
            "resourceType": "ImagingStudy",
            "id": imaging_study_id(uid(name)),
            "status": status,
            "subject": {"reference": f"Patient/{patient}"},
        }
        for name, patient, status in (
            (OWN, "a", "available"),
            (FOREIGN, "b", "available"),
            (UNREAD, "a", "registered"),
        )
    ]
    staff = {"resourceType": "Practitioner", "id": "p1"}
    transport = httpx.ASGITransport(app=create_app(site.server))
    async with httpx.AsyncClient(transport=transport, base_url=site.server.base) as fhir:
        for one in (staff, *people, visit, *studies):
            answer = await fhir.put(f"/{one['resourceType']}/{one['id']}", json=one)
            assert answer.is_success, answer.text
    for name, patient in ((OWN, "a"), (FOREIGN, "b"), (UNREAD, "a")):
        site.execute(
            "UPDATE dicom_study SET patient = %s, imaging_study = %s WHERE study_instance_uid = %s",
            *(f"Patient/{patient}", imaging_study_id(uid(name)), uid(name)),
        )
    # Results wait three days for their patient; these have.
    for table in ("resource", "terms"):
        site.execute(f"UPDATE {table} SET last_updated = last_updated - interval '4 days'")


@dataclass(frozen=True)
class Who:
    """Somebody with a role and a token, what he sees, and what his requests are answered.

    `adds` are the answers to instances posted to studies by name, `brings` to a new one,
    `rejects` to a rejection.
    """

    role: str
    scope: str
    sees: set[str]
    adds: dict[str, int]
    rejects: dict[str, int]
    brings: int = DENIED
    user: str | None = "Practitioner/p1"
    patient: str | None = None


NOTHING_MORE = {OWN: DENIED, FOREIGN: ABSENT, NOBODYS: ABSENT, UNKNOWN: ABSENT}
ALL = "user/*.cruds"
CALLERS = {
    "doctor": Who("DOCTOR", ALL, {OWN, UNREAD}, NOTHING_MORE, NOTHING_MORE),
    "nurse": Who("NURSE", ALL, {OWN, UNREAD}, NOTHING_MORE, NOTHING_MORE),
    "receptionist": Who("RECEPTIONIST", ALL, set(), {OWN: ABSENT}, {OWN: ABSENT}),
    "radiologist": Who(
        *("RADIOLOGIST", ALL, {OWN, UNREAD}),
        adds={OWN: DONE, FOREIGN: ABSENT, NOBODYS: ABSENT, UNKNOWN: ABSENT},
        rejects={FOREIGN: ABSENT, NOBODYS: ABSENT, UNREAD: 204},
    ),
    "radiologist by an app that reads": Who(
        "RADIOLOGIST", "user/*.rs", {OWN, UNREAD}, NOTHING_MORE, NOTHING_MORE
    ),
    "doctor by an app with a granular scope": Who(
        *("DOCTOR", "user/ImagingStudy.rs?status=available user/Patient.r", {OWN}),
        *({UNREAD: ABSENT}, {UNREAD: ABSENT}),
    ),
    "doctor by an app without patients": Who(
        "DOCTOR", "user/ImagingStudy.rs", set(), {OWN: ABSENT}, {OWN: ABSENT}
    ),
    "patient": Who(
        *("PATIENT", "patient/*.rs", {OWN}),
        adds={OWN: DENIED, UNREAD: ABSENT, FOREIGN: ABSENT},
        rejects={OWN: DENIED, UNREAD: ABSENT, FOREIGN: ABSENT},
        user="Patient/a",
        patient="a",
    ),
    "service": Who(
        *("", "system/ImagingStudy.cruds system/Patient.rs", {OWN, FOREIGN, UNREAD}),
        adds={OWN: DONE, NOBODYS: ABSENT},
        rejects={NOBODYS: ABSENT, UNREAD: 204},
        brings=DONE,
        user=None,
    ),
    "keeper of the archive": Who(
        *("ADMIN", "sangam/dicom", set()),
        adds={OWN: DONE, NOBODYS: DONE},
        rejects={NOBODYS: 204},
        brings=DONE,
    ),
}


async def _holder(site: Site, who: Who) -> dict[str, str]:
    """Return the headers of a token of his."""
    site.execute("UPDATE identity_user SET roles = %s, fhir_user = %s", [who.role], who.user)
    claims: dict[str, Any] = {"scope": who.scope, "fhirUser": who.user, "jti": who.scope + who.role}
    if who.user is None:
        claims |= {"grant": "g2", "sub": "app"}
    return bearer(await token(site.server, patient=who.patient, **claims))


async def _begun(site: Site) -> None:
    await settled(site.server)
    site.keep(*(one for name in SEEDS if name != UNKNOWN for one in slices(name)))
    await _shown(site)


async def test_each_caller_sees_and_changes_what_role_and_scope_say(site: Site) -> None:
    await _begun(site)
    names = {uid(name): name for name in SEEDS}
    for caller, who in CALLERS.items():
        by = await _holder(site, who)
        found = (await site.http.get("/studies?limit=10", headers=by)).json()
        shown = [names[one["0020000D"]["Value"][0]] for one in found]
        assert (sorted(shown), caller) == (sorted(who.sees), caller)
        # Pages are of what he sees alone, wherever the others lie.
        pages = [
            (await site.http.get(f"/series?limit=1&offset={n}", headers=by)).json()
            for n in range(len(shown) + 1)
        ]
        assert [names[one["0020000D"]["Value"][0]] for page in pages for one in page] == shown
        for name in SEEDS:
            answer = await site.http.get(f"/studies/{uid(name)}/metadata", headers=by)
            expected = DONE if name in who.sees else ABSENT
            assert (answer.status_code, name, caller) == (expected, name, caller)
        posted = {**by, "Content-Type": RELATED}
        for name, status in who.adds.items():
            path = f"/studies/{uid(name)}"
            answer = await site.http.post(path, headers=posted, content=BODY[name])
            assert (answer.status_code, name, caller) == (status, name, caller)
        answer = await site.http.post("/studies", headers=posted, content=BODY[NOBODYS])
        assert (answer.status_code, caller) == (who.brings, caller)
        for name, status in who.rejects.items():
            answer = await site.http.delete(f"/studies/{uid(name)}", headers=by)
            assert (answer.status_code, name, caller) == (status, name, caller)
        site.execute("UPDATE dicom_instance SET state = 'live'")
        site.execute("DELETE FROM dicom_rejection")


async def _actions(site: Site) -> list[dict[str, Any]]:
    async with site.server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT json FROM body WHERE json LIKE '%urn:sangam:dicom-action%' ORDER BY key"
        )
        return [json.loads(row[0]) for row in await cursor.fetchall()]


async def test_what_is_read_behind_a_broken_glass_is_recorded_as_that(site: Site) -> None:
    await _begun(site)
    by = await _holder(site, CALLERS["doctor"])
    path = f"/studies/{uid(FOREIGN)}/metadata"
    assert (await site.http.get(path, headers=by)).status_code == ABSENT
    asked = glass.Asked(
        1, "Practitioner/p1", "b", "ETREAT", "?", None, None, timedelta(hours=1), None
    )
    async with site.server.database.transaction() as connection:
        await glass.open_record(connection, asked)
    openers.forget(site.server)
    by = await _holder(site, replace(CALLERS["doctor"], scope="user/*.rs"))
    assert (await site.http.get(path, headers=by)).status_code == DONE
    assert (await site.http.delete(f"/studies/{uid(FOREIGN)}", headers=by)).status_code == DENIED
    assert (await site.http.get(f"/studies/{uid(OWN)}/metadata", headers=by)).status_code == DONE
    purposes = [
        one.get("purposeOfEvent", [{"coding": [{"code": ""}]}])[0]["coding"][0]["code"]
        for one in await _actions(site)
    ]
    assert purposes == ["BTG", ""]


PATHS = {
    "/studies/%2e%2e%2f%2e%2e%2fetc/passwd": ABSENT,
    "/studies/..%2F..%2Fetc%2Fpasswd/metadata": ABSENT,
    "/studies/1'%20OR%20'1'='1/metadata": 400,
    "/studies/1.2%00/metadata": 400,
    "/studies/{foreign}/series/1/instances/1/bulkdata/00420011": ABSENT,
    "/studies/{foreign}/rendered": ABSENT,
    "/studies/{foreign}/thumbnail": ABSENT,
    "/studies/{foreign}/series": ABSENT,
    "/studies/{foreign}/instances": ABSENT,
    "/studies/{foreign}": ABSENT,
    "/wado?requestType=WADO&studyUID={foreign}&seriesUID=1&objectUID=1": ABSENT,
    "/series?StudyInstanceUID={foreign}": DONE,
    "/instances?StudyInstanceUID={foreign}&offset=0": DONE,
    "/studies?PatientID=*&limit=5000": DONE,
}


async def test_nothing_of_a_study_of_somebody_else_comes_out(site: Site) -> None:
    await _begun(site)
    by = await _holder(site, CALLERS["patient"])
    for path, status in PATHS.items():
        answer = await site.http.get(path.format(foreign=uid(FOREIGN)), headers=by)
        assert (answer.status_code, path) == (status, path)
        assert uid(FOREIGN).encode() not in answer.content


async def test_what_is_hidden_is_not_added_to_by_a_path_that_names_no_study(site: Site) -> None:
    await _begun(site)
    by = {**await _holder(site, CALLERS["service"]), "Content-Type": RELATED}
    # A study of which only some know: its second image would appear in what they look at.
    study = f"/ImagingStudy/{imaging_study_id(uid(FOREIGN))}"
    transport = httpx.ASGITransport(app=create_app(site.server))
    async with httpx.AsyncClient(transport=transport, base_url=site.server.base) as fhir:
        stored = (await fhir.get(study)).json()
        label = {"system": CONFIDENTIAL, "code": "V"}
        answer = await fhir.put(study, json={**stored, "meta": {"security": [label]}})
        assert answer.status_code == DONE, answer.text
    answer = await site.http.post("/studies", headers=by, content=BODY[FOREIGN])
    [failed] = answer.json()["00081198"]["Value"]
    assert (answer.status_code, failed["00081197"]["Value"]) == (409, [0x0124])
    answer = await site.http.post("/studies", headers=by, content=BODY[OWN])
    assert answer.status_code == DONE


CLEARED = Cleared("N")
CARE = Grant("ImagingStudy", "rs", (Related(("Practitioner/p1",)), CLEARED))
GLASS = Grant("*", "rs", (Opened("Practitioner/p1"), CLEARED))
ORDER = Grant("ImagingStudy", "rs", (Having("ServiceRequest", ()), CLEARED))


@pytest.mark.parametrize(
    ("walls", "actors", "by_search"),
    [
        ([(CARE, GLASS)], ["Practitioner/p1", "glass:Practitioner/p1"], False),
        ([(CARE, GLASS), (Grant("*", "rs"),)], ["Practitioner/p1", "glass:Practitioner/p1"], False),
        ([(CARE, ORDER)], [], True),
        ([(CARE, Grant("*", "rs"))], [], False),
        ([(Grant("ImagingStudy", "rs", (Matching((("status", "x"),)),)),)], [], True),
        ([(Grant("ImagingStudy", "c", (CARE.limits)),)], [], False),
    ],
    ids=["care", "care and a scope", "care or order", "wide besides", "granular", "other letter"],
)
def test_a_search_begins_with_the_patients_to_whom_care_binds_it(
    walls: list[Wall], actors: list[str], *, by_search: bool
) -> None:
    who = Caller("asha", "dicomweb", Rights(tuple(walls)))
    assert access._caring(who, "s") == actors  # noqa: SLF001
    assert access._is_by_search(who, "s") is by_search  # noqa: SLF001
