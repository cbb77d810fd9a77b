"""What elements can hold, and what is left out rather than told wrongly."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from adapters.dicom.query import peers
from adapters.dicom.query.peers import Known
from adapters.dicom.worklist import coded, values
from adapters.dicom.worklist.listing import Wanted, initials, listed, masked
from adapters.dicom.worklist.numbers import stated_accession, stated_study
from adapters.dicom.worklist.order import Order
from adapters.dicom.worklist.patient import Authorities, patient
from fhir_server.config import Settings
from fhir_server.dicom_settings import DicomSettings
from fhir_server.server import Server
from tests.adapters.dicom.worklist import conftest, orders
from tests.adapters.dicom.worklist.conftest import Write

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
STEP = "ScheduledProcedureStepSequence"


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    issuers = {"HOSP": "urn:oid:1.2.3.4"}
    return Settings(demo=True, data_dir=tmp_path / "data", dicom=DicomSettings(issuers=issuers))


@pytest.mark.parametrize(
    ("vr", "given", "expected"),
    [
        ("SH", "A" * 16, ["A" * 16]),
        ("SH", "A" * 17, []),
        ("LO", "A\\B", []),
        ("LO", " 7 ", ["7"]),
        ("LO", None, []),
    ],
)
def test_a_number_is_never_cut(vr: str, given: Any, expected: list[str]) -> None:
    assert values.number(vr, given) == expected


@pytest.mark.parametrize(
    ("vr", "given", "expected"),
    [
        ("LO", "x" * 70, ["x" * 64]),
        ("LO", "a\\b\nc", ["a/b c"]),
        ("LT", "a\\b\nc", ["a\\b\nc"]),
        ("SH", "", []),
    ],
)
def test_a_text_is_cut_to_its_element(vr: str, given: str, expected: list[str]) -> None:
    assert values.text(vr, given) == expected


@pytest.mark.parametrize(
    ("coding", "expected"),
    [
        ({"code": "7", "system": orders.SCT}, ("CodeValue", "SCT", None)),
        ({"code": "7" * 17, "system": orders.LOINC}, ("LongCodeValue", "LN", None)),
        ({"code": "7", "system": "urn:oid:1.2"}, ("CodeValue", "L", "1.2")),
        ({"code": "7"}, ("CodeValue", "L", None)),
        ({"code": "7" * 65}, None),
        ({"display": "no code"}, None),
    ],
)
def test_a_coding_is_a_coded_entry_of_its_scheme(coding: Any, expected: Any) -> None:
    found = coded.item(coding, "Meaning")
    if expected is None:
        assert found is None
        return
    assert found is not None
    key, scheme, uid = expected
    assert found == {
        key: [coding["code"]],
        "CodingSchemeDesignator": [scheme],
        **({"CodingSchemeUID": [uid]} if uid else {}),
        "CodeMeaning": ["Meaning"],
    }


def told(person: Any = orders.PATIENT, **facts: Any) -> dict[str, list[Any]]:
    request = {**orders.ORDER, "encounter": {"reference": "Encounter/none"}}
    order = Order(request, (), {"Patient/p1": person}, **facts)
    return patient(order, Authorities(), NOW)


def days_ago(days: int) -> str:
    return f"{NOW - timedelta(days=days):%Y-%m-%d}"


def coded_value(system: str, code: str) -> dict[str, Any]:
    return {"valueCodeableConcept": {"coding": [{"system": system, "code": code}]}}


@pytest.mark.parametrize(
    ("observation", "key", "expected"),
    [
        (("8302-2", 1, orders.quantity(182, "cm")), "PatientSize", ["1.82"]),
        (("8302-2", 1, orders.quantity(6, "[ft_i]")), "PatientSize", ["1.829"]),
        (("29463-7", 1, orders.quantity(180, "[lb_av]")), "PatientWeight", ["81.647"]),
        (("29463-7", 1, orders.quantity(80, "stone")), "PatientWeight", None),
        (("29463-7", 400, orders.quantity(80, "kg")), "PatientWeight", None),
        (("82810-3", 1, coded_value(orders.SCT, "77386006")), "PregnancyStatus", [3]),
        (("82810-3", 1, coded_value(orders.SCT, "60001007")), "PregnancyStatus", [1]),
        (("82810-3", 1, coded_value(orders.SCT, "102874004")), "PregnancyStatus", [2]),
        (("82810-3", 1, coded_value(orders.LOINC, "LA4489-6")), "PregnancyStatus", [4]),
        (("82810-3", 300, coded_value(orders.SCT, "60001007")), "PregnancyStatus", None),
    ],
    ids=(
        *("cm", "feet", "pounds", "unit not known", "too old", "pregnant", "not pregnant"),
        *("possibly", "unknown", "of an earlier year"),
    ),
)
def test_an_observation_is_told_in_the_unit_of_the_element(
    observation: Any, key: str, expected: Any
) -> None:
    code, days, value = observation
    found = told(observations=[orders.observation("x", code, days_ago(days), **value)])
    assert found.get(key) == expected


@pytest.mark.parametrize(
    ("changes", "key", "expected"),
    [
        ({"birthDate": "1970"}, "PatientBirthDate", None),
        ({"gender": "other"}, "PatientSex", ["O"]),
        ({"gender": "unknown"}, "PatientSex", None),
        ({"identifier": [{"system": orders.MRN, "value": "x" * 65}]}, "PatientID", None),
        ({"identifier": [{"value": "7"}]}, "PatientID", None),
    ],
)
def test_what_is_not_known_of_a_patient_is_left_out(changes: Any, key: str, expected: Any) -> None:
    assert told({**orders.PATIENT, **changes}).get(key) == expected


def test_a_refuted_allergy_is_not_told() -> None:
    system = "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification"
    refuted = {
        **orders.allergy("a", "Nuts"),
        "verificationStatus": {"coding": [{"system": system, "code": "refuted"}]},
    }
    found = told(allergies=[refuted, orders.allergy("b", "Latex")])
    assert found["Allergies"] == ["Latex"]


def test_ids_that_do_not_fit_are_not_taken_from_the_order() -> None:
    type_ = {"coding": [{"system": orders.V2, "code": "ACSN"}]}
    request = {
        "identifier": [
            {"type": type_, "value": "x" * 17},
            {"system": "urn:dicom:uid", "value": "urn:oid:1.02"},
            {"system": "urn:dicom:uid", "value": "urn:oid:1.2." + "9" * 61},
        ]
    }
    assert stated_accession(request) == ("", "")
    assert stated_study(request) == ""


async def test_a_station_is_told_its_own_time_and_patient_ids(server: Server, write: Write) -> None:
    ct1 = Known("CT1", "*", 0, ("worklist",), issuer="HOSP", timezone="Europe/Berlin")
    with psycopg.connect(server.database.conninfo, autocommit=True) as connection:
        peers.add(connection, ct1)
    await write(*orders.PEOPLE, orders.ENCOUNTER, orders.ORDER, orders.APPOINTMENT)
    keys = ("PatientID", "IssuerOfPatientID", "TimezoneOffsetFromUTC", STEP)
    [found] = await conftest.listed(server, *keys)
    assert found["PatientID"] == ["NAT-77"]
    assert found["IssuerOfPatientID"] == ["HOSP"]
    assert found["TimezoneOffsetFromUTC"] == ["+0100"]
    assert found[STEP][0]["ScheduledProcedureStepStartTime"] == ["050000"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("Müller^Jörg^Max", "M. J."), ("=山田^太郎", "山. 太."), ("Cher", "C."), ("", "")],
)
def test_a_name_is_shown_by_its_initials(name: str, expected: str) -> None:
    assert initials(name) == expected


@pytest.mark.parametrize(("number", "expected"), [("MR-123", "…23"), ("12", "…"), ("", "")])
def test_a_number_is_shown_by_its_end(number: str, expected: str) -> None:
    assert masked(number) == expected


async def test_operators_see_steps_without_names(server: Server, write: Write) -> None:
    await write(*orders.PEOPLE, orders.ENCOUNTER, orders.ORDER, orders.APPOINTMENT)
    with psycopg.connect(server.database.conninfo, autocommit=True) as connection:
        [line] = listed(connection, Wanted(day="20261121", station="CT1", modality="CT"))
        assert listed(connection, Wanted(day="20261122")) == []
        assert listed(connection, Wanted(station="CT2")) == []
        assert listed(connection, Wanted(modality="MR")) == []
    assert (line.start, line.status, line.patient) == ("2026-11-21 09:30", "SCHEDULED", "M. J. …-1")
    await write({**orders.APPOINTMENT, "status": "cancelled"})
    with psycopg.connect(server.database.conninfo, autocommit=True) as connection:
        assert listed(connection, Wanted()) == []
        assert [one.status for one in listed(connection, Wanted(every=True))] == ["left"]
