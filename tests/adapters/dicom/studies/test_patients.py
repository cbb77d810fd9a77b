import pytest

from adapters.dicom.studies.patients import (
    Issuers,
    contradicts,
    held,
    identifier,
    is_person,
    patient,
)

MR = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
ISSUERS = Issuers({"HOSP": "urn:oid:1.2.3"}, "urn:default", ("0", "UNKNOWN", "ANON*"))


def test_an_id_without_issuer_has_the_agreed_system() -> None:
    assert identifier({"PatientID": ["7"]}, ISSUERS) == {
        "type": MR,
        "system": "urn:default",
        "value": "7",
    }


def test_an_agreed_issuer_has_its_system() -> None:
    found = identifier({"PatientID": ["7"], "IssuerOfPatientID": ["HOSP"]}, ISSUERS)
    assert found == {"type": MR, "system": "urn:oid:1.2.3", "value": "7"}


def test_a_raw_issuer_is_never_a_system() -> None:
    found = identifier({"PatientID": ["7"], "IssuerOfPatientID": ["ELSEWHERE"]}, ISSUERS)
    assert found == {"type": MR, "value": "7", "assigner": {"display": "ELSEWHERE"}}


@pytest.mark.parametrize(
    ("universal", "kind", "system"),
    [
        ("1.2.840.9", "ISO", "urn:oid:1.2.840.9"),
        (
            "A0B1C2D3-0000-4000-8000-000000000000",
            "UUID",
            "urn:uuid:a0b1c2d3-0000-4000-8000-000000000000",
        ),
        ("http://hospital.example/mrn", "URI", "http://hospital.example/mrn"),
    ],
)
def test_a_universal_issuer_is_a_system(universal: str, kind: str, system: str) -> None:
    qualifier = {"UniversalEntityID": [universal], "UniversalEntityIDType": [kind]}
    found = identifier(
        {"PatientID": ["7"], "IssuerOfPatientIDQualifiersSequence": [qualifier]}, ISSUERS
    )
    assert found == {"type": MR, "system": system, "value": "7"}


@pytest.mark.parametrize("value", ["", "0", "unknown", "ANON0815", "anonymous"])
def test_an_anonymous_id_names_nobody(value: str) -> None:
    assert identifier({"PatientID": [value]}, ISSUERS) is None


def test_a_phantom_and_an_animal_are_no_persons() -> None:
    assert is_person({})
    assert is_person({"QualityControlSubject": ["NO"]})
    assert not is_person({"QualityControlSubject": ["YES"]})
    assert not is_person({"PatientSpeciesDescription": ["Canis lupus"]})


def test_a_patient_made_from_images() -> None:
    attributes = {
        "PatientID": ["7"],
        "PatientName": ["Doe^Jane"],
        "PatientSex": ["F"],
        "PatientBirthDate": ["19700131"],
        "OtherPatientIDsSequence": [
            {"PatientID": ["8"], "IssuerOfPatientID": ["HOSP"]},
            {"PatientID": ["9"]},
        ],
    }
    found = identifier(attributes, ISSUERS)
    assert found is not None
    assert patient(attributes, found, ISSUERS) == {
        "resourceType": "Patient",
        "identifier": [found, {"type": MR, "system": "urn:oid:1.2.3", "value": "8"}],
        "name": [{"family": "Doe", "given": ["Jane"]}],
        "gender": "female",
        "birthDate": "1970-01-31",
    }


def test_what_is_unknown_or_impossible_is_left_out() -> None:
    attributes = {"PatientID": ["7"], "PatientSex": ["X"], "PatientBirthDate": ["19000000"]}
    found = identifier(attributes, ISSUERS)
    assert found is not None
    assert patient(attributes, found, ISSUERS) == {
        "resourceType": "Patient",
        "identifier": [found],
    }


SENT = {"PatientName": ["Doe^Jane"], "PatientSex": ["F"], "PatientBirthDate": ["19700131"]}


@pytest.mark.parametrize(
    ("known", "differs"),
    [
        ({"name": [{"family": "DOE"}], "gender": "female", "birthDate": "1970-01-31"}, False),
        ({"name": [{"family": "Roe"}], "gender": "female", "birthDate": "1970-01-31"}, False),
        ({"name": [{"family": "Roe"}], "gender": "male", "birthDate": "1970-01-31"}, True),
        ({"name": [{"family": "Doe"}], "gender": "male", "birthDate": "1970-01-30"}, True),
        ({"name": [{"family": "Roe"}], "birthDate": "1970"}, False),
        ({"name": [{"family": "Roe"}], "birthDate": "1971"}, True),
        ({}, False),
    ],
)
def test_two_differences_contradict(known: dict[str, object], differs: bool) -> None:  # noqa: FBT001
    assert contradicts(SENT, known) is differs


def test_a_study_that_is_not_linked_names_its_patient() -> None:
    found = identifier({"PatientID": ["7"]}, ISSUERS)
    assert held({"PatientName": ["Doe^Jane"]}, found) == {
        "type": "Patient",
        "identifier": found,
        "display": "Jane Doe",
    }
    absent = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
    assert held({}, None) == {
        "type": "Patient",
        "extension": [{"url": absent, "valueCode": "unknown"}],
    }
