"""PV1, PV2, ROL, PRT, EVN and NPU, field by field."""

from decimal import Decimal
from typing import Any

import pytest

from adapters.hl7.mapping.transform import transform
from tests.adapters.hl7.mapping.telling import (
    DOCTOR,
    EXT5,
    HEADER,
    V3,
    at,
    check,
    concept,
    extension,
    said,
    segment,
)
from tests.adapters.hl7.reading import CODES, EXT, IDS, THO, message, profile, resources


def participant(code: str) -> dict[str, Any]:
    return {"system": f"{V3}ParticipationType", "code": code}


ENCOUNTER: list[tuple[str, str, Any]] = [
    ("f2=E", "class", {"system": f"{V3}ActCode", "code": "EMER"}),
    ("f2=R", "class", {"system": f"{THO}/v2-0004", "code": "R"}),
    ("f2=", "class", {"system": f"{V3}NullFlavor", "code": "UNK"}),
    ("f2=P", "status", "planned"),
    ("f45=20260105", "status", "finished"),
    ("f3=W1^R1", "location.0.status", "active"),
    ("f3=W1^R1", "location.0.location.display", "W1, R1"),
    ("f2=P;f3=W1", "location.0.status", "planned"),
    ("f6=W1", "location.0.status", "completed"),
    ("f11=W1", "location.0.extension.0.valueCodeableConcept.coding.0.code", "temporary"),
    ("f42=W1", "location.0.status", "reserved"),
    ("f4=R", "type", [concept(f"{THO}/v2-0007", "R")]),
    ("f5=A1^^^HOSP", "hospitalization.preAdmissionIdentifier.value", "A1"),
    (f"f7={DOCTOR}", "participant.0.type.0.coding.0", {
        **participant("ATND"), "display": "attender"}),
    (f"f8={DOCTOR}", "participant.0.type.0", {
        "coding": [participant("REF")], "text": "referrer"}),
    (f"f9={DOCTOR}", "participant.0.type.0.coding.0", participant("CON")),
    (f"f17={DOCTOR}", "participant.0.type.0.coding.0", participant("ADM")),
    (f"f52={DOCTOR}", "participant.0.type.0.coding.0", participant("PART")),
    ("f10=MED", "serviceType", concept(f"{THO}/service-type", "382", (f"{THO}/v2-0069", "MED"))),
    ("f13=R", "hospitalization.reAdmission", concept(f"{THO}/v2-0092", "R")),
    ("f14=7", "hospitalization.admitSource", concept(f"{THO}/v2-0023", "7")),
    ("f15=A0~A2~B6", "hospitalization.specialArrangement", [
        concept(f"{THO}/encounter-special-arrangements", "wheel", (f"{THO}/v2-0009", "A2")),
        concept(f"{THO}/v2-0009", "B6")]),
    ("f16=VIP", "hospitalization.specialCourtesy", [concept(f"{CODES}/0099", "VIP")]),
    ("f36=01", "hospitalization.dischargeDisposition", concept(
        f"{THO}/discharge-disposition", "home", (f"{THO}/v2-0112", "01"))),
    ("f36=30", "hospitalization.dischargeDisposition", concept(f"{THO}/v2-0112", "30")),
    ("f37=SNF^20260101", "hospitalization.destination.display", "SNF"),
    ("f38=VEG", "hospitalization.dietPreference", [concept(f"{CODES}/0114", "VEG")]),
    ("f44=20260101;f45=20260105", "period", {"start": "2026-01-01", "end": "2026-01-05"}),
    ("f50=V9^^^HOSP", "identifier.1", {"system": f"{IDS}/HOSP", "value": "V9"}),
    ("f54=E1^^^HOSP", "episodeOfCare.0.reference", "EpisodeOfCare"),
    ("f53=Asthma", "episodeOfCare.0.reference", "EpisodeOfCare"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "path", "expected"), ENCOUNTER)
def test_every_field_of_pv1(fields: str, path: str, expected: Any) -> None:
    pairs = dict(part.split("=", 1) for part in fields.split(";"))
    found = said(segment("PV1", **{"f2": "I", "f19": "V1"} | pairs))
    value = at(resources(found, "Encounter")[0], path)
    kinds = {w.full_url: w.resource["resourceType"] for w in found.writes}
    # A reference is told by the type of what it refers to.
    assert (kinds.get(value, value) if isinstance(value, str) else value) == expected


def test_location_is_part_of_what_is_around_it() -> None:
    pv1 = segment("PV1", f2="I", f3="W1^R2^B3^HOSP^^^BLD^F4^By the door", f19="V1", f40="H")
    found = said(pv1)
    chain = {w.full_url: w for w in found.writes if w.resource["resourceType"] == "Location"}
    (encounter,) = resources(found, "Encounter")
    reference, kinds = encounter["location"][0]["location"]["reference"], []
    bed = chain[reference]
    while reference:
        place = chain[reference].resource
        kinds.append((place["physicalType"]["coding"][0]["code"], place["name"]))
        reference = place.get("partOf", {}).get("reference", "")
    assert kinds == [
        ("bd", "B3"), ("ro", "R2"), ("lvl", "F4"), ("wa", "W1"), ("bu", "BLD"), ("si", "HOSP"),
    ]  # fmt: skip
    assert bed.resource["description"] == "By the door"
    assert bed.resource["operationalStatus"] == {"system": f"{THO}/v2-0116", "code": "H"}
    assert (bed.method, bed.resource["mode"]) == ("PUT", "instance")


def test_bed_of_the_same_name_in_another_room_is_another_bed() -> None:
    places = [
        next(
            w.full_url
            for w in said(segment("PV1", f2="I", f3=place, f19="V1")).writes
            if w.resource.get("name") == "B1"
        )
        for place in ("W1^R1^B1", "W1^R2^B1", "W1^R1^B1")
    ]
    assert places[0] == places[2] != places[1]


def test_financial_class_is_a_coverage_of_an_unknown_payor() -> None:
    found = said(segment("PV1", f2="I", f19="V1", f20="SELF^20260101"))
    (coverage,) = resources(found, "Coverage")
    assert coverage["type"] == concept(f"{CODES}/0064", "SELF")
    assert coverage["payor"][0]["extension"][0]["valueCode"] == "unknown"


SECOND: list[tuple[str, str, Any]] = [
    ("f1=W1", "location.0.status", "planned"),
    ("f3=R07^Chest pain^I10", "reasonCode.0.coding.0.display", "Chest pain"),
    ("f8=20260101", "extension", extension(
        f"{EXT5}Encounter.plannedStartDate", valueDateTime="2026-01-01")),
    ("f9=20260105", "extension", extension(
        f"{EXT5}Encounter.plannedEndDate", valueDateTime="2026-01-05")),
    ("f11=3", "length", {"value": Decimal(3), "unit": "d",
                         "system": "http://unitsofmeasure.org", "code": "d"}),
    ("f12=Pain", "reasonCode", [{"text": "Pain"}]),
    (f"f13={DOCTOR}", "participant.0.type.0.coding.0.code", "REF"),
    ("f22=Y", "meta.security", [{"system": f"{THO}/v2-0136", "code": "Y"}]),
    ("f25=1", "priority.coding.0", {"system": f"{V3}ActPriority", "code": "EM"}),
    ("f38=A", "extension", extension(
        f"{EXT}/encounter-modeOfArrival",
        valueCoding={"system": f"{THO}/v2-0430", "code": "A"})),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "path", "expected"), SECOND)
def test_every_field_of_pv2(fields: str, path: str, expected: Any) -> None:
    found = said(segment("PV2", **dict([fields.split("=", 1)])))
    assert at(resources(found, "Encounter")[0], path) == expected


@pytest.mark.parametrize(
    ("role", "code"),
    [("AD", "ADM"), ("AT", "ATND"), ("CP", "CON"), ("RP", "REF"), ("PI", "40570005"), ("TN", "TN")],
)
def test_role_after_the_visit_is_a_participant(role: str, code: str) -> None:
    rol = segment("ROL", f3=role, f4=DOCTOR, f5="2020", f6="2021", f12="5", f13="W1", f14="ACME")
    found = said(rol)
    (encounter,) = resources(found, "Encounter")
    (one,) = encounter["participant"]
    assert one["type"][0]["coding"][0]["code"] == code
    assert one["period"] == {"start": "2020", "end": "2021"}
    (held,) = resources(found, "PractitionerRole")
    assert held.keys() >= {"organization", "location", "telecom", "code", "practitioner"}


@pytest.mark.parametrize("name", ["ROL", "PRT"])
def test_primary_care_provider_is_the_general_practitioner(name: str) -> None:
    fields = {"f3": "PP", "f4": DOCTOR} if name == "ROL" else {"f4": "PP", "f5": DOCTOR}
    found = said(segment(name, **fields))
    role = next(w for w in found.writes if w.resource["resourceType"] == "PractitionerRole")
    (patient,) = resources(found, "Patient")
    assert patient["generalPractitioner"] == [{"reference": role.full_url}]
    assert "participant" not in resources(found, "Encounter")[0]


def test_evn() -> None:
    evn = segment("EVN", f1="A01", f2="20260101090000", f4="02", f5=DOCTOR,
                  f6="20260101080000", f7="HOSP")  # fmt: skip
    found = said(evn)
    (provenance,) = resources(found, "Provenance")
    kinds = {w.full_url: w.resource["resourceType"] for w in found.writes}
    assert [kinds[one["reference"]] for one in provenance["target"]] == ["Patient", "Encounter"]
    assert provenance["recorded"] == "2026-01-01T09:00:00+05:30"
    assert provenance["occurredDateTime"] == "2026-01-01T08:00:00+05:30"
    assert provenance["reason"] == [concept(f"{V3}ActReason", "TREAT", (f"{THO}/v2-0062", "02"))]
    assert kinds[provenance["agent"][0]["who"]["reference"]] == "Practitioner"
    assert provenance["location"]["display"] == "HOSP"


def test_event_without_operator_is_said_by_its_facility() -> None:
    (provenance,) = resources(said(segment("EVN", f2="20260101090000")), "Provenance")
    assert provenance["agent"][0]["who"] == {"display": "LAB"}


def test_state_of_a_bed() -> None:
    told = message("EVN|A20|20260101", "NPU|W1^R1^B1|U", header=HEADER.replace("A01", "A20"))
    found = transform(told, profile())
    check(told, found)
    bed = found.writes[-1]
    assert (bed.method, bed.resource["operationalStatus"]["code"]) == ("PUT", "U")


def test_state_of_a_bed_without_a_code_is_none() -> None:
    told = message("EVN|A20|20260101", "NPU|W1^R1^B1|^U", header=HEADER.replace("A01", "A20"))
    found = transform(told, profile())
    check(told, found)
    assert "operationalStatus" not in found.writes[-1].resource


def test_names_and_numbers_of_who_is_in_charge() -> None:
    doctor = "7^Iyer^Ravi^K^Jr^Dr^MD^^HR^L^^^EN^^^^^^2020^2021"
    (person,) = resources(said(segment("PV1", f2="I", f19="V1", f7=doctor)), "Practitioner")
    assert person["name"] == [{
        "family": "Iyer", "given": ["Ravi", "K"], "suffix": ["Jr"], "prefix": ["Dr"],
        "use": "official", "period": {"start": "2020", "end": "2021"},
    }]  # fmt: skip
    assert person["identifier"] == [{
        "type": concept(f"{THO}/v2-0203", "EN"), "system": f"{IDS}/HR", "value": "7",
    }]  # fmt: skip
    assert person["qualification"][0]["code"]["coding"][0]["code"] == "MD"


def test_visit_in_a_report_has_no_security_label() -> None:
    header = HEADER.replace("ADT^A01^ADT_A01", "ORU^R01")
    told = message(
        "PID|1||P1", "PV1|1|O", segment("PV2", f22="Y"), "OBR|1||F1|X", "OBX|1|NM|A||1",
        header=header,
    )  # fmt: skip
    found = transform(told, profile())
    check(told, found)
    assert "meta" not in resources(found, "DiagnosticReport")[0]["contained"][0]
    assert ("PV2[1]-22[1].1.1", "condition_false") in found.unmapped


def test_instance_of_a_role_is_an_identifier_of_it() -> None:
    found = said(segment("ROL", f1="R1^HIS", f3="AT", f4=DOCTOR))
    (role,) = resources(found, "PractitionerRole")
    assert role["identifier"][0] == {"system": f"{IDS}/HIS", "value": "R1"}
