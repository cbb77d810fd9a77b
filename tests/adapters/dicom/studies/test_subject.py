"""Who a study is of: the order of matching, and what contradicts."""

from typing import Any

import pytest

from adapters.dicom.studies import corrections, ids
from tests.adapters.dicom.studies.archive import SYSTEM, Held, check, image

HOSPITAL = "urn:oid:1.2.3"
ORDERS = "urn:oid:1.9"
STUDY = "1.2.1"


def person(id_: str, value: str = "P1", system: str = SYSTEM, **more: Any) -> dict[str, Any]:
    identifier = [{"system": system, "value": value}]
    return {"resourceType": "Patient", "id": id_, "identifier": identifier, **more}


def order(patient: str, *identifiers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "id": "order",
        "status": "active",
        "intent": "order",
        "subject": {"reference": patient},
        "identifier": list(identifiers),
        **more,
    }


async def shown(archive: Held) -> tuple[str, Any]:
    """Return how the study was matched, and its subject."""
    [one] = await archive.found("ImagingStudy")
    check(archive.server.validator, one)
    [(match,)] = await archive.rows("SELECT subject FROM dicom_study")
    return match, one["subject"].get("reference")


OTHER_IDS = [{"PatientID": "X7", "IssuerOfPatientID": "HOSP", "TypeOfPatientID": "TEXT"}]
ISSUER = [{"UniversalEntityID": "1.9", "UniversalEntityIDType": "ISO"}]
UID = {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"}
ACSN = {"system": ORDERS, "value": "A1"}
ENCOUNTER = {"resourceType": "Encounter", "status": "finished", "class": {"code": "AMB"}}
AGREED = "urn:sangam:accession-number"
ELSEWHERE = [{"LocalNamespaceEntityID": "ELSEWHERE"}]
NUMBER = {"AccessionNumber": "A1", "IssuerOfAccessionNumberSequence": ISSUER}


@pytest.mark.parametrize("dicom", [{"issuers": {"HOSP": HOSPITAL}}])
@pytest.mark.parametrize(
    ("known", "sent", "expected"),
    [
        ([person("a")], {"PatientID": "P1"}, ("linked", "Patient/a")),
        (
            [person("a", "X7", HOSPITAL)],
            {"PatientID": "P1", "OtherPatientIDsSequence": OTHER_IDS},
            ("linked", "Patient/a"),
        ),
        (
            [person("a", "X7", HOSPITAL), person("b")],
            {"PatientID": "P1", "OtherPatientIDsSequence": OTHER_IDS},
            ("linked", "Patient/b"),
        ),
        (
            [person("a", "X7", HOSPITAL)],
            {"PatientID": "X7", "IssuerOfPatientID": "ELSEWHERE"},
            ("held", None),
        ),
        ([person("a"), person("b")], {"PatientID": "P1"}, ("ambiguous", None)),
        ([person("a"), order("Patient/a", UID)], {}, ("linked", "Patient/a")),
        ([person("a"), order("Patient/a", ACSN)], NUMBER, ("linked", "Patient/a")),
        ([person("a"), order("Patient/a", ACSN)], {"AccessionNumber": "A1"}, ("anonymous", None)),
        (
            [person("a"), order("Patient/a", ACSN)],
            {**NUMBER, "PatientID": "P2"},
            ("conflict", None),
        ),
        (
            [
                person("a", birthDate="1970-01-31", gender="female"),
                order("Patient/a", UID),
            ],
            {"PatientBirthDate": "19800101", "PatientSex": "M"},
            ("conflict", None),
        ),
        (
            [person("a"), order("Patient/a", {**ACSN, "system": AGREED})],
            {**NUMBER, "IssuerOfAccessionNumberSequence": ELSEWHERE},
            ("anonymous", None),
        ),
        (
            [person("a"), person("b", "P2"), order("Patient/b", UID)],
            {"PatientID": "P1"},
            ("conflict", None),
        ),
        (
            [person("a"), person("b", "P2"), order("Patient/b", ACSN)],
            {**NUMBER, "PatientID": "P1"},
            ("conflict", None),
        ),
        ([person("a", "UNKNOWN")], {"PatientID": "UNKNOWN"}, ("anonymous", None)),
        ([person("a")], {"PatientID": "P1", "PatientSpeciesDescription": "Dog"}, ("held", None)),
        ([person("a")], {"PatientID": "P1", "QualityControlSubject": "YES"}, ("phantom", None)),
        ([], {"PatientID": "P1"}, ("held", None)),
    ],
    ids=[
        "by its Patient ID",
        "by another id whose issuer is known",
        "by its own id before another",
        "not by the id of another issuer",
        "not where two have the id",
        "by the UID that the order gave it",
        "by an accession number with its issuer",
        "not by an accession number of whatever issuer",
        "not by the order of another Patient ID",
        "not by an order of somebody else",
        "not by the accession number of an unknown issuer",
        "not by its Patient ID where its UID is another's order",
        "not by its Patient ID where its accession number is another's order",
        "not by an id that names nobody",
        "not an animal",
        "not a phantom",
        "nobody has the id",
    ],
)
async def test_a_study_finds_its_patient(
    archive: Held, known: list[dict[str, Any]], sent: dict[str, Any], expected: tuple[str, Any]
) -> None:
    for one in known:
        await archive.put(one)
    await archive.send(image("1.2.3", study=STUDY, **sent))
    assert await shown(archive) == expected


@pytest.mark.parametrize("dicom", [{"accession_system": ORDERS}])
async def test_an_accession_number_without_issuer_has_the_agreed_one(archive: Held) -> None:
    await archive.put(person("a"))
    await archive.put(order("Patient/a", ACSN))
    await archive.send(image("1.2.3", AccessionNumber="A1"))
    assert await shown(archive) == ("linked", "Patient/a")


async def test_a_patient_that_was_merged_gives_its_studies_to_the_other(archive: Held) -> None:
    await archive.put(person("b", "P2"))
    merged = [{"type": "replaced-by", "other": {"reference": "Patient/b"}}]
    await archive.put(person("a", link=merged, active=False))
    await archive.send(image("1.2.3", PatientID="P1"))
    assert await shown(archive) == ("linked", "Patient/b")


async def test_a_study_that_waits_is_tied_to_no_order(archive: Held) -> None:
    await archive.put(person("a", birthDate="1970-01-31", gender="female"))
    await archive.put({**ENCOUNTER, "id": "e"})
    await archive.put(order("Patient/a", UID, ACSN, encounter={"reference": "Encounter/e"}))
    born = {"PatientBirthDate": "19800101", "PatientSex": "M"}
    await archive.send(image("1.2.3", study=STUDY, **NUMBER, **born))
    assert await shown(archive) == ("conflict", None)
    [one] = await archive.found("ImagingStudy")
    [based_on] = one["basedOn"]
    assert (based_on.get("reference"), one.get("encounter")) == (None, None)


@pytest.mark.parametrize("dicom", [{"issuers": {"HOSP": HOSPITAL, "OTHER": "urn:oid:1.2.4"}}])
async def test_one_id_of_two_issuers_is_two_patients(archive: Held) -> None:
    await archive.put(person("a", system=HOSPITAL))
    await archive.send(
        image("1.2.3", PatientID="P1", IssuerOfPatientID="HOSP"),
        image("1.2.4", PatientID="P1", IssuerOfPatientID="OTHER"),
    )
    assert await shown(archive) == ("mixed", None)


@pytest.mark.parametrize("dicom", [{"unknown_patient": "create", "timezone": "Europe/Berlin"}])
async def test_a_time_of_birth_is_that_of_the_place(archive: Held) -> None:
    await archive.send(
        image("1.2.3", PatientID="P1", PatientBirthDate="20240131", PatientBirthTime="0730")
    )
    [made] = await archive.found("Patient")
    assert made["_birthDate"]["extension"][0]["valueDateTime"] == "2024-01-31T07:30:00+01:00"


async def test_a_study_that_waits_has_a_task_until_it_is_linked(archive: Held) -> None:
    await archive.send(image("1.2.3", PatientID="P1"))
    [task] = await archive.found("Task")
    check(archive.server.validator, task)
    focus = f"ImagingStudy/{ids.imaging_study_id(STUDY)}"
    assert (task["status"], task["focus"]["reference"]) == ("requested", focus)
    assert task["code"]["coding"][0]["code"] == "match-imaging-study"
    assert task["businessStatus"]["coding"][0]["code"] == "held"
    await archive.put(person("a"))
    await archive.send(image("1.2.4", PatientID="P1"))
    [task] = await archive.found("Task")
    assert (task["id"], task["status"]) == (ids.task_id(STUDY), "completed")


async def test_a_study_of_several_patients_is_nobodys_until_it_is_split(archive: Held) -> None:
    await archive.put(person("a"))
    await archive.put(person("b", "P2"))
    await archive.send(
        image("1.2.3", PatientID="P1"), image("1.2.4", series="1.2.1.2", PatientID="P2")
    )
    assert await shown(archive) == ("mixed", None)
    async with archive.server.database.transaction() as connection:
        await corrections.split(archive.server, connection, STUDY, ["1.2.1.2"], "operator")
    subjects = [one["subject"] for one in await archive.found("ImagingStudy")]
    assert sorted(one["reference"] for one in subjects) == ["Patient/a", "Patient/b"]


async def test_a_study_that_is_linked_at_once_has_no_task(archive: Held) -> None:
    await archive.put(person("a"))
    await archive.send(image("1.2.3", PatientID="P1"))
    assert await archive.found("Task") == []
