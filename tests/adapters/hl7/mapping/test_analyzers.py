"""Messages of real analyzer models, with what was read off them by hand."""

from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from adapters.hl7.mapping.context import Refusal
from adapters.hl7.mapping.transform import Mapped, transform
from adapters.hl7.mapping.units import UCUM
from adapters.hl7.message.accounting import REASONS, valued, written
from adapters.hl7.message.charsets import decode
from adapters.hl7.message.files import messages
from adapters.hl7.message.tokenizer import Message, parse
from fhir_server.r4 import json
from fhir_server.r4.definitions import load
from fhir_server.validation.structure import Validator
from tests.adapters.hl7.reading import CODES, THO, profile, resources


def unit(sent: str, code: str | None = None) -> dict[str, str]:
    return {"unit": sent, "system": UCUM, "code": code or sent}


def quantity(value: str, members: dict[str, str]) -> dict[str, Any]:
    return {"value": Decimal(value), **members}


K, M, GDL, PCT = unit("10*3/uL"), unit("10*6/uL"), unit("g/dL"), unit("%")
MGDL, UL, SEC, GL = unit("mg/dL"), unit("U/L"), unit("sec", "s"), unit("g/L")
DETECTED = {
    "coding": [{"system": "http://snomed.info/sct", "code": "260415000", "display": "Not detected"}]
}
NORMAL = {"coding": [{"system": f"{THO}/v3-ObservationInterpretation", "code": "N"}]}
END = "effectivePeriod"
START = "effectiveDateTime"

# file: patient (id, family, given, birth date, gender), code of the report, its status, its time,
# and of each result: code, display, value, status, flags
EXPECTED: dict[str, tuple[Any, ...]] = {
    "mindray/bc2000-cbc-result.hl7": (
        ("PAT003", "MARTIN", "ALICE", "1992-03-08", "female"),
        ("CBC", "final", (END, {"end": "2026-02-01T14:00:00+00:00"})),
        [
            ("WBC", "WHITE BLOOD CELL", quantity("6.8", K), "final", None),
            ("RBC", "RED BLOOD CELL", quantity("4.35", M), "final", None),
            ("HGB", "HEMOGLOBIN", quantity("13.0", GDL), "final", None),
            ("HCT", "HEMATOCRIT", quantity("39.5", PCT), "final", None),
            ("PLT", "PLATELET", quantity("225", K), "final", None),
        ],
    ),
    "mindray/bc5380-cbc-result.hl7": (
        ("PAT001", "DOE", "JOHN", "1980-01-15", "male"),
        ("CBC", "final", (END, {"end": "2026-01-23T11:00:00+00:00"})),
        [
            ("WBC", "WHITE BLOOD CELL", quantity("7.5", K), "final", None),
            ("RBC", "RED BLOOD CELL", quantity("4.82", M), "final", None),
            ("HGB", "HEMOGLOBIN", quantity("14.2", GDL), "final", None),
            ("HCT", "HEMATOCRIT", quantity("42.0", PCT), "final", None),
        ],
    ),
    "mindray/bs200-chemistry-result.hl7": (
        ("PAT003", "RABE", "FARA", "1975-08-10", "male"),
        ("CHEM", "final", (END, {"end": "2026-01-23T13:50:00+00:00"})),
        [
            ("CREA", "CREATININE", quantity("1.1", MGDL), "final", None),
            ("ALT", "ALANINE AMINOTRANSFERASE", quantity("32", UL), "final", None),
            ("AST", "ASPARTATE AMINOTRANSFERASE", quantity("28", UL), "final", None),
        ],
    ),
    "mindray/bs360e-chemistry-result.hl7": (
        ("PAT002", "SMITH", "JANE", "1990-05-20", "female"),
        ("CHEM", "final", (END, {"end": "2026-01-23T12:50:00+00:00"})),
        [
            ("CREA", "CREATININE", quantity("0.9", MGDL), "final", None),
            ("ALT", "ALANINE AMINOTRANSFERASE", quantity("25", UL), "final", None),
            ("AST", "ASPARTATE AMINOTRANSFERASE", quantity("22", UL), "final", None),
        ],
    ),
    # The INR lost a field: its status stands in OBX-10, so nobody knows whether it is final.
    "stago/stago-start4-coagulation.hl7": (
        ("PAT002", "RAKOTO", "MARIE", "1990-02-20", "female"),
        ("1", "unknown", (END, {"end": "2026-01-23T11:00:00+00:00"})),
        [
            ("PT", "PROTHROMBIN TIME", quantity("12.5", SEC), "final", None),
            ("INR", "INTERNATIONAL NORMALIZED RATIO", quantity("1.05", {}), "unknown", None),
            ("APTT", "ACTIVATED PARTIAL THROMBOPLASTIN TIME", quantity("28.5", SEC), "final",
             None),
            ("FIB", "FIBRINOGEN", quantity("3.2", GL), "final", None),
            ("TT", "THROMBIN TIME", quantity("15.2", SEC), "final", None),
        ],
    ),
    "hl7/abbott-architect-result.hl7": (
        ("PAT003", "RAKOTO", "JAO", "1985-04-12", "female"),
        ("1", "final", (END, {"end": "2026-01-23T12:15:00+00:00"})),
        [
            ("HIV", "HIV 1/2 Ag/Ab", "NEGATIVE", "final", [NORMAL]),
            ("HBSAG", "Hepatitis B Surface Ag", "POSITIVE", "final", [NORMAL]),
        ],
    ),
    "hl7/genexpert-result.hl7": (
        ("PAT-GX001", "DOE", "JANE", "1985-03-20", "female"),
        ("94500-6", "final", (START, "2026-02-01T14:00:00+00:00")),
        [
            ("94500-6", "SARS-CoV-2 RNA", DETECTED, "final", None),
            ("94745-7", "Ct value", quantity("28.5", {"unit": "Ct"}), "final", None),
        ],
    ),
    "hl7/mindray-cbc-result.hl7": (
        ("PAT001", "DOE", "JOHN", "1980-01-15", "male"),
        ("CBC", "final", (END, {"end": "2026-01-23T11:00:00+00:00"})),
        [
            ("WBC", "WHITE BLOOD CELL", quantity("7.5", K), "final", None),
            ("RBC", "RED BLOOD CELL", quantity("4.82", M), "final", None),
            ("HGB", "HEMOGLOBIN", quantity("14.2", GDL), "final", None),
            ("HCT", "HEMATOCRIT", quantity("42.0", PCT), "final", None),
        ],
    ),
    "hl7/sysmex-result.hl7": (
        ("PAT002", "SMITH", "JANE", "1990-05-20", "female"),
        ("CBC", "final", (END, {"end": "2026-01-23T10:30:00+00:00"})),
        [
            ("WBC", "WBC", quantity("8.2", K), "final", None),
            ("RBC", "RBC", quantity("4.5", M), "final", None),
            ("PLT", "PLATELET", quantity("250", K), "final", None),
        ],
    ),
}  # fmt: skip


def read(file: Path) -> list[Message]:
    found = []
    for raw in messages(file.read_bytes()):
        decoded = decode(raw, fallback="cp1252")
        found.append(parse(decoded.text, decoded.codec))
    return found


@pytest.fixture(scope="module")
def validator() -> Validator:
    return Validator(load())


def check(message: Message, found: Mapped, validator: Validator) -> None:
    """Every leaf is in a resource or listed with a reason, and every resource is valid."""
    everything = [written(message.segments[a[0]], a) for a in valued(message)]
    mapped = [written(message.segments[a[0]], a) for a in message.mapped]
    listed = [address for address, _ in found.unmapped]
    assert sorted(mapped + listed) == sorted(everything)
    assert {reason for _, reason in found.unmapped} <= set(REASONS)
    for write in found.writes:
        raw = json.encode(write.resource)
        type_name = write.resource["resourceType"]
        assert validator.validate(type_name, raw, json.decode(raw)) == []


@pytest.mark.parametrize("name", EXPECTED)
def test_message_of_an_analyzer_goes_through(name: str, shared: Path, validator: Validator) -> None:
    (message,) = read(shared / "data/hl7v2/analyzers" / name)
    found = transform(message, profile())
    patient, report, results = EXPECTED[name]
    check(message, found, validator)
    (person,) = resources(found, "Patient")
    (name_,) = person["name"]
    assert (
        person["identifier"][0]["value"],
        name_["family"],
        *name_["given"],
        person["birthDate"],
        person["gender"],
    ) == patient
    (found_report,) = resources(found, "DiagnosticReport")
    code, status, (time, moment) = report
    coding = found_report["code"]["coding"][0]
    assert (coding["code"], found_report["status"], found_report[time]) == (code, status, moment)
    observations = resources(found, "Observation")
    assert [row(o) for o in observations] == results
    urls = {w.resource["resourceType"]: w.full_url for w in found.writes}
    assert {o["subject"]["reference"] for o in observations} == {urls["Patient"]}
    assert {o[time] if time == START else o[time]["end"] for o in observations} == {
        moment if time == START else moment["end"]
    }
    assert len(found_report["result"]) == len(observations)
    assert not any("referenceRange" in o for o in observations)


def row(observation: dict[str, Any]) -> tuple[Any, ...]:
    coding = observation["code"]["coding"][0]
    value = next(v for k, v in observation.items() if k.startswith("value"))
    return (
        coding["code"],
        coding["display"],
        value,
        observation["status"],
        observation.get("interpretation"),
    )


def test_no_result_message_of_the_folder_is_forgotten(shared: Path) -> None:
    folder = shared / "data/hl7v2/analyzers"
    files = {str(f.relative_to(folder)) for f in folder.glob("*/*.hl7")}
    assert files == {*EXPECTED, "hl7/expected-order.hl7"}


def test_order_of_the_folder_becomes_a_request(shared: Path, validator: Validator) -> None:
    (message,) = read(shared / "data/hl7v2/analyzers/hl7/expected-order.hl7")
    found = transform(message, profile())
    check(message, found, validator)
    assert resources(found, "Observation") == resources(found, "DiagnosticReport") == []
    assert len(resources(found, "ServiceRequest")) == 1


def test_status_in_the_wrong_field_is_said_and_not_taken(shared: Path) -> None:
    (message,) = read(shared / "data/hl7v2/analyzers/stago/stago-start4-coagulation.hl7")
    found = transform(message, profile())
    assert found.warnings == {
        "OBR-31 holds a result status": 1,
        "OBX-10 holds a result status": 1,
    }
    assert "reasonCode" not in resources(found, "ServiceRequest")[0]


def test_codes_of_an_analyzer_are_its_own(shared: Path) -> None:
    (message,) = read(shared / "data/hl7v2/analyzers/hl7/sysmex-result.hl7")
    found = transform(message, profile())
    systems = {o["code"]["coding"][0]["system"] for o in resources(found, "Observation")}
    assert systems == {f"{CODES}/OBX-3"}


def test_public_messages_are_accounted_for_and_valid(shared: Path, validator: Validator) -> None:
    """A message without patient identification gets one here, so that all are mapped."""
    files = sorted((shared / "data/hl7v2/reportstream").rglob("*.hl7"))
    counts: Counter[str] = Counter()
    for file in files:
        for message in read(file):
            for pid in message.named("PID"):
                if not pid.peek(3):
                    pid.fields += [""] * (4 - len(pid.fields))
                    pid.fields[3] = "TEST"
            try:
                found = transform(message, profile())
            except Refusal as refusal:
                counts[refusal.reason] += 1
                continue
            counts["mapped"] += 1
            check(message, found, validator)
    assert counts == {
        "mapped": 224,
        "UNSUPPORTED_MESSAGE": 1,
        "NO_PATIENT_ID": 1,
        "UNMAPPABLE_STATUS": 1,
    }
