"""What an ImagingStudy refers to: orders, people, devices, places, procedures."""

from typing import Any

import pytest

from adapters.dicom.studies import devices, ids
from adapters.dicom.studies.expected import Expected, expect
from tests.adapters.dicom.studies.archive import SYSTEM, Held, check, image

STUDY = "1.2.1"
PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "identifier": [{"system": SYSTEM, "value": "P1"}],
}
SUBJECT = {"reference": "Patient/p"}
V2 = "http://terminology.hl7.org/CodeSystem/v2-0203"


def order(id_: str, value: str, subject: str = "Patient/p", **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "id": id_,
        "status": "active",
        "intent": "order",
        "subject": {"reference": subject},
        "identifier": [{"type": {"coding": [{"system": V2, "code": "ACSN"}]}, "value": value}],
        **more,
    }


async def study(archive: Held) -> dict[str, Any]:
    [one] = await archive.found("ImagingStudy")
    check(archive.server.validator, one)
    return one


async def test_the_orders_of_its_patient_are_those_of_a_study(archive: Held) -> None:
    reason = [{"reference": "Condition/c"}]
    await archive.put(PATIENT)
    await archive.put({**PATIENT, "id": "q", "identifier": [{"system": SYSTEM, "value": "P2"}]})
    await archive.put({"resourceType": "Condition", "id": "c", "subject": SUBJECT})
    await archive.put(
        {
            "resourceType": "Encounter",
            "id": "e",
            "status": "finished",
            "class": {"code": "AMB"},
        }
    )
    encounter = {"reference": "Encounter/e"}
    await archive.put(order("one", "A1", encounter=encounter, reasonReference=reason))
    await archive.put(order("two", "A2", "Patient/q"))
    requested = [{"AccessionNumber": "A2"}, {"AccessionNumber": "A1"}]
    await archive.send(
        image("1.2.3", PatientID="P1", AccessionNumber="A1", RequestAttributesSequence=requested)
    )
    found = await study(archive)
    acsn = {"coding": [{"system": V2, "code": "ACSN"}]}
    assert found["basedOn"] == [
        {"reference": "ServiceRequest/one"},
        {"type": "ServiceRequest", "identifier": {"type": acsn, "value": "A2"}},
    ]
    assert (found["encounter"], found["reasonReference"]) == (encounter, reason)


async def test_an_accession_number_of_two_orders_is_none_of_them(archive: Held) -> None:
    await archive.put(PATIENT)
    await archive.put(order("one", "A1"))
    await archive.put(order("two", "A1"))
    await archive.send(image("1.2.3", PatientID="P1", AccessionNumber="A1"))
    [based_on] = (await study(archive))["basedOn"]
    assert based_on["identifier"]["value"] == "A1"


@pytest.mark.parametrize("dicom", [{"coding_schemes": {"99DOC": "urn:oid:1.7"}}])
async def test_people_are_found_by_their_codes_and_else_named(archive: Held) -> None:
    await archive.put(
        {
            "resourceType": "Practitioner",
            "id": "d",
            "identifier": [{"system": "urn:oid:1.7", "value": "D1"}],
        }
    )

    def identified(code: str) -> list[dict[str, Any]]:
        coded = {"CodeValue": code, "CodingSchemeDesignator": "99DOC", "CodeMeaning": "x"}
        return [{"PersonIdentificationCodeSequence": [coded]}]

    await archive.send(
        image(
            "1.2.3",
            ReferringPhysicianName="A^B",
            ReferringPhysicianIdentificationSequence=identified("D1"),
            NameOfPhysiciansReadingStudy=["C^D", "E^F"],
            PhysiciansReadingStudyIdentificationSequence=identified("D2"),
            PerformingPhysicianName="G^H",
            PerformingPhysicianIdentificationSequence=identified("D1"),
            OperatorsName="I^J",
        )
    )
    found = await study(archive)
    known = {"reference": "Practitioner/d"}
    assert found["referrer"] == {**known, "display": "B A"}
    assert found["interpreter"] == [
        {
            "type": "Practitioner",
            "identifier": {"system": "urn:oid:1.7", "value": "D2"},
            "display": "D C",
        },
        {"display": "F E"},
    ]
    assert [one["actor"] for one in found["series"][0]["performer"]] == [
        {**known, "display": "H G"},
        {"display": "J I"},
    ]


async def test_a_device_is_made_once_and_refers_to_its_series(archive: Held) -> None:
    made = {"Manufacturer": "M", "ManufacturerModelName": "Model", "DeviceSerialNumber": "7"}
    udi = "(01)00123456789012(21)7"
    await archive.send(
        image(
            "1.2.3",
            SoftwareVersions="3.1",
            UDISequence=[{"UniqueDeviceIdentifier": udi}],
            **made,
        ),
        image("1.2.4", study="1.5", series="1.5.1", **made),
    )
    [device] = await archive.found("Device")
    check(archive.server.validator, device)
    assert device["identifier"] == [{"system": devices.SYSTEM, "value": "M/Model/7"}]
    assert device["udiCarrier"] == [{"carrierHRF": udi}]
    for found in await archive.found("ImagingStudy"):
        [performer] = found["series"][0]["performer"]
        assert performer["actor"] == {"reference": f"Device/{device['id']}"}
        assert performer["function"]["coding"][0]["code"] == "DEV"


@pytest.mark.parametrize("dicom", [{"web": {"url": "https://images.example/dicom-web"}}])
async def test_studies_and_series_have_the_endpoint_of_dicomweb(archive: Held) -> None:
    await archive.send(image("1.2.3"))
    found = await study(archive)
    reference = [{"reference": f"Endpoint/{ids.ENDPOINT}"}]
    viewer = {"reference": f"Endpoint/{ids.VIEWER}"}
    assert found["endpoint"] == [*reference, viewer]
    assert found["series"][0]["endpoint"] == reference
    endpoints = await archive.found("Endpoint")
    for one in endpoints:
        check(archive.server.validator, one)
    assert {one["connectionType"]["code"]: one["address"] for one in endpoints} == {
        "dicom-wado-rs": "https://images.example/dicom-web",
        "ihe-iid": "https://images.example/viewer",
    }
    await archive.send(image("1.2.4"))
    versions = [one["meta"]["versionId"] for one in await archive.found("Endpoint")]
    assert versions == ["1", "1"]


async def test_a_place_and_an_admission_are_found(archive: Held) -> None:
    await archive.put(PATIENT)
    await archive.put({"resourceType": "Location", "id": "l", "name": "Room, 7"})
    await archive.put(
        {
            "resourceType": "Encounter",
            "id": "e",
            "status": "finished",
            "class": {"code": "IMP"},
            "subject": SUBJECT,
            "identifier": [{"value": "V1"}],
        }
    )
    await archive.send(
        image("1.2.3", PatientID="P1", AdmissionID="V1", InstitutionalDepartmentName="Room, 7")
    )
    found = await study(archive)
    assert found["location"] == {"reference": "Location/l", "display": "Room, 7"}
    assert found["encounter"] == {"reference": "Encounter/e"}


async def test_a_study_is_registered_before_its_instances(archive: Held) -> None:
    await archive.put(PATIENT)
    procedure = {
        "resourceType": "Procedure",
        "id": "mpps",
        "status": "in-progress",
        "subject": SUBJECT,
    }
    await archive.put(procedure)
    said = Expected("Patient/p", procedures=("Procedure/mpps",), attributes={"Modality": ["CT"]})
    async with archive.server.database.transaction() as connection:
        await expect(connection, STUDY, said)
    await archive.work()
    found = await study(archive)
    assert (found["status"], found["id"]) == ("registered", ids.imaging_study_id(STUDY))
    assert (found["subject"], found["numberOfInstances"]) == (SUBJECT, 0)
    assert found["procedureReference"] == {"reference": "Procedure/mpps"}
    assert [one["code"] for one in found["modality"]] == ["CT"]
    async with archive.server.database.transaction() as connection:
        await expect(connection, STUDY, Expected(cancelled=True))
    await archive.work()
    assert (await study(archive))["status"] == "cancelled"
    await archive.send(image("1.2.3", study=STUDY, Modality="MR"))
    found = await study(archive)
    assert (found["status"], found["subject"]) == ("available", SUBJECT)
    assert found["procedureReference"] == {"reference": "Procedure/mpps"}
    assert [one["code"] for one in found["modality"]] == ["MR"]
