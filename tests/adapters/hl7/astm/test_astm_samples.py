"""Messages of analyzers as they are published, each checked for what it must become."""

from collections import Counter
from datetime import UTC
from pathlib import Path
from typing import Any, Final

import pytest

from adapters.hl7.mapping.context import Profile, Refusal
from adapters.hl7.mapping.transform import Mapped, transform
from adapters.hl7.message import accounting
from adapters.hl7.message.tokenizer import BadHeader
from adapters.hl7.profiles.model import Astm
from adapters.hl7.records import results
from adapters.hl7.records.files import messages
from adapters.hl7.records.transmission import parse
from fhir_server.r4 import definitions, json
from fhir_server.validation.structure import Validator

# The senders of these samples put P and O one field before the standard's place.
SHIFTED: Final = Astm(
    patient_ids=("P-4",),
    positions={
        "name": "P-5",
        "gender": "P-7",
        "birth_date": "P-8",
        "address": "P-10",
        "order_test": "O-4",
        "ordered": "O-6",
        "completed": "R-10",
    },
    test_parts=(4,),
)
BA88A: Final = Astm(positions={"completed": "R-11", "collected": "O-9"})
HEMATOLOGY: Final = "astm-samples/hematology-cbc.astm"
SCREENING: Final = "astm-samples/immunology-screening.astm"
CONTROLS: Final = "astm-samples/qc-control-results.astm"
UNITS: Final = "astm-samples/unit-mismatch.astm"
UNMAPPED: Final = "astm-samples/unmapped-fields.astm"


@pytest.fixture(scope="module")
def validator() -> Validator:
    return Validator(definitions.load())


def said(analyzers: Path, name: str, number: int = 0) -> str:
    return messages((analyzers / name).read_bytes())[number].decode()


def read(text: str, astm: Astm | None = SHIFTED) -> Mapped:
    return transform(results.opened(text, "utf-8", astm), Profile("http://h/fhir", "A", UTC))


def of(found: Mapped, kind: str) -> list[dict[str, Any]]:
    return [w.resource for w in found.writes if w.resource["resourceType"] == kind]


def shown(found: Mapped) -> list[tuple[str, str, str]]:
    """Return code, value and unit of each Observation."""
    rows = []
    for one in of(found, "Observation"):
        value = one.get("valueQuantity", {})
        text = str(value.get("comparator", "")) + str(value.get("value", one.get("valueString")))
        rows.append((one["code"]["coding"][0]["code"], text, value.get("unit", "")))
    return rows


def test_chemistry_of_the_ba88a(analyzers: Path) -> None:
    found = read(said(analyzers, "astm/mindray-ba88a-result.txt"), BA88A)
    assert shown(found) == [
        ("ALT", "35.2", "U/L"),
        ("AST", "28.7", "U/L"),
        ("ALP", "82.1", "U/L"),
        ("T-Bil", "0.9", "mg/dL"),
        ("D-Bil", "0.2", "mg/dL"),
        ("TC", "195.0", "mg/dL"),
        ("TG", "145.0", "mg/dL"),
        ("HDL-C", "52.0", "mg/dL"),
        ("CREA", "1.1", "mg/dL"),
        ("TP", "7.2", "g/dL"),
    ]
    first = of(found, "Observation")[0]
    assert (first["status"], first["effectiveDateTime"]) == ("final", "2026-02-02T11:55:30+00:00")
    assert first["referenceRange"][0]["text"] == "10-40"
    (patient,) = of(found, "Patient")
    assert patient["name"] == [{"family": "Doe", "given": ["John"]}]
    assert (patient["gender"], patient["birthDate"]) == ("male", "1980-01-15")
    (report,) = of(found, "DiagnosticReport")
    assert (report["code"]["coding"][0]["code"], len(report["result"])) == ("CHEM", 10)
    (specimen,) = of(found, "Specimen")
    assert specimen["identifier"][0]["value"] == "ACC-2026-001"
    # O-26 Q answers a query; it makes no control of this.
    assert "tag" not in first.get("meta", {})


def test_blood_count_with_marks_in_the_units(analyzers: Path) -> None:
    found = read(said(analyzers, HEMATOLOGY))
    assert shown(found)[:3] == [
        ("WBC", "5.8", "10^3/μL"),
        ("RBC", "4.92", "10^6/μL"),
        ("HGB", "14.8", "g/dL"),
    ]
    first = of(found, "Observation")[0]
    assert first["valueQuantity"]["code"] == "10*3/uL"
    assert first["code"]["coding"][0]["display"] == "White Blood Cell Count"
    assert first["effectiveDateTime"] == "2025-01-15T08:01:00+00:00"
    (patient,) = of(found, "Patient")
    assert patient["identifier"][0]["value"] == "PAT-2025-001"
    assert patient["name"] == [{"family": "Smith", "given": ["John", "A"]}]
    assert (patient["gender"], patient["birthDate"]) == ("male", "1985-03-15")
    assert patient["address"] == [
        {"line": ["123 Main St"], "city": "Anytown", "state": "ST", "postalCode": "12345"}
    ]
    assert of(found, "DiagnosticReport")[0]["code"]["coding"][0]["code"] == "CBC"


def test_a_sender_without_profile_is_read_as_the_standard_says(analyzers: Path) -> None:
    (patient,) = of(read(said(analyzers, HEMATOLOGY), None), "Patient")
    assert "name" not in patient
    assert [one["value"] for one in patient["identifier"]] == ["PAT-2025-001"]


def test_words_and_numbers_of_a_screening(analyzers: Path) -> None:
    assert shown(read(said(analyzers, SCREENING))) == [
        ("HIV", "NON-REACTIVE", ""),
        ("HBSAG", "NON-REACTIVE", ""),
        ("HCV", "NON-REACTIVE", ""),
        ("SYPHILIS", "NON-REACTIVE", ""),
        ("CD4", "850", "cells/μL"),
        ("CD8", "450", "cells/μL"),
        ("CD4CD8", "1.89", ""),
    ]


def test_units_are_kept_as_sent_and_never_converted(analyzers: Path) -> None:
    assert shown(read(said(analyzers, UNITS))) == [
        ("GLUCOSE", "5.4", "mmol/L"),
        ("CREATININE", "88.4", "μmol/L"),
        ("CHOLESTEROL", "4.8", "mmol/L"),
        ("TRIGLYCERIDES", "1.35", "mmol/L"),
        ("UREA", "5.2", "mmol/L"),
    ]
    assert shown(read(said(analyzers, UNITS, 1)))[0] == ("HGB", "128", "g/L")


def test_tests_that_nobody_mapped_arrive_under_their_own_codes(analyzers: Path) -> None:
    found = read(said(analyzers, UNMAPPED))
    assert [row[0] for row in shown(found)] == [
        *("WBC", "RBC", "HGB", "RETICULOCYTES", "RETIC_ABS", "IRF", "NRBC"),
    ]
    assert of(found, "Observation")[3]["code"]["coding"] == [
        {
            "system": "http://h/fhir/hl7/A/codes/OBX-3",
            "code": "RETICULOCYTES",
            "display": "Reticulocyte Count",
        }
    ]


def test_coagulation_of_the_start4(analyzers: Path) -> None:
    found = read(said(analyzers, "stago/stago-start4-coagulation.astm"))
    assert shown(found) == [
        ("PT", "12.5", "sec"),
        ("INR", "1.05", ""),
        ("APTT", "28.5", "sec"),
        ("FIB", "3.2", "g/L"),
        ("TT", "15.2", "sec"),
    ]
    assert of(found, "Observation")[0]["valueQuantity"]["code"] == "s"


@pytest.mark.parametrize(("number", "lots", "count"), [(0, 1, 12), (1, 1, 6), (2, 2, 6)])
def test_controls_have_no_patient(analyzers: Path, number: int, lots: int, count: int) -> None:
    found = read(said(analyzers, CONTROLS, number), None)
    kinds = Counter(w.resource["resourceType"] for w in found.writes)
    assert kinds == {"Device": 1, "Specimen": lots, "Observation": count}
    assert {one["subject"]["reference"] for one in of(found, "Observation")} == {
        write.full_url for write in found.writes if write.resource["resourceType"] == "Device"
    }


REFUSED: Final = {
    0: "BAD_MSH",
    1: "INCOMPLETE_TRANSMISSION",
    2: "BAD_MSH",
    3: "BAD_MSH",
    4: "INCOMPLETE_TRANSMISSION",
    5: "INCOMPLETE_TRANSMISSION",
}


@pytest.mark.parametrize(("number", "reason"), REFUSED.items())
def test_malformed_messages_are_refused(analyzers: Path, number: int, reason: str) -> None:
    text = said(analyzers, "astm-samples/malformed.astm", number)
    try:
        results.opened(text, "utf-8")
        finding = results.finding(parse(text))
        assert finding is not None
        assert finding[0] == reason
    except BadHeader:
        assert reason == "BAD_MSH"
    except Refusal as refusal:
        assert refusal.reason == reason  # noqa: PT017  (a message may be refused in two ways)


def test_a_result_that_says_nothing_has_neither_value_nor_status(analyzers: Path) -> None:
    # A time stands where the status should.
    found = read(said(analyzers, "astm-samples/malformed.astm", 6), None)
    assert [
        (one["status"], one.get("valueQuantity", one.get("valueString")))
        for one in of(found, "Observation")
    ] == [("unknown", None), ("unknown", None), ("unknown", "NULL")]


EVERY: Final = (
    *((HEMATOLOGY, n) for n in range(1)),
    *((SCREENING, n) for n in range(2)),
    *((CONTROLS, n) for n in range(3)),
    *((UNITS, n) for n in range(2)),
    *((UNMAPPED, n) for n in range(2)),
    ("astm/mindray-ba88a-result.txt", 0),
    ("stago/stago-start4-coagulation.astm", 0),
    ("astm-samples/malformed.astm", 6),
    ("astm-samples/malformed.astm", 7),
)


@pytest.mark.parametrize("profile", [None, SHIFTED], ids=["standard", "profile"])
@pytest.mark.parametrize(("name", "number"), EVERY)
def test_each_sample_is_valid_and_accounted_for(
    analyzers: Path, validator: Validator, name: str, number: int, profile: Astm | None
) -> None:
    text = said(analyzers, name, number)
    message = results.opened(text, "utf-8", profile)
    found = transform(message, Profile("http://h/fhir", "A", UTC))
    for write in found.writes:
        raw = json.encode(write.resource)
        assert validator.validate(write.resource["resourceType"], raw, json.decode(raw)) == []
    assert message.source is not None
    arrived = {one for at in message.mapped for one in message.source.origins.get(at, ())}
    listed = dict(found.unmapped)
    assert arrived.isdisjoint(listed)
    assert arrived | set(listed) == {leaf.address for _, _, leaf in parse(text).leaves()}
    assert set(listed.values()) <= set(accounting.REASONS)
