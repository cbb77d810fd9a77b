"""Quality control, which is never a patient's, and specimens that come first."""

import re
from typing import Any

import pytest

from adapters.hl7.mapping.context import Refusal
from adapters.hl7.mapping.sender_rules import Place, QcRule
from adapters.hl7.mapping.transform import Mapped
from fhir_server.r4 import json
from fhir_server.r4.definitions import load
from fhir_server.validation.structure import Validator
from tests.adapters.hl7.reading import BASE, IDS, MSH, PID, THO, mapped, resources

OUL = MSH.replace("ORU^R01", "OUL^R22^OUL_R22")
CONTROL = "SPM|1|QC1||SER^Serum^HL70487|||||||Q^Control specimen^HL70369"
PATIENTS = CONTROL.replace("Q^Control specimen", "P^Patient")
SAC = "SAC|||TUBE1"
INV = "INV|LYPHO^Lyphochek^L|OK||||||||||20271231||||LOT42"
OBR = "OBR|1|W1|F1|GLU^Glucose^L|||20260101120000"
OBX = "OBX|1|NM|GLU^Glucose^L||99.10|mg/dL|90-110||||F|||||||COBAS^^SN1"


def kinds(found: Mapped) -> list[str]:
    return sorted({w.resource["resourceType"] for w in found.writes})


def qc(*segments: str, header: str = OUL, **said: Any) -> Mapped:
    return mapped(*segments, header=header, **said)


def test_control_is_of_the_analyzer_and_nobody_else() -> None:
    found = qc(CONTROL, SAC, INV, OBR, OBX)
    assert kinds(found) == ["Device", "Observation", "Specimen"]
    urls = {w.resource["resourceType"]: w.full_url for w in found.writes}
    (observation,) = resources(found, "Observation")
    assert observation["subject"] == observation["device"] == {"reference": urls["Device"]}
    assert observation["specimen"] == {"reference": urls["Specimen"]}
    assert observation["meta"] == {"tag": [{"system": f"{BASE}/hl7/tags", "code": "qc"}]}
    assert str(observation["valueQuantity"]["value"]) == "99.10"
    assert observation["effectiveDateTime"] == "2026-01-01T12:00:00+05:30"


def test_control_material_has_its_lot() -> None:
    (lot,) = resources(qc(CONTROL, SAC, INV, OBR, OBX), "Specimen")
    assert {"type": {"text": "lot"}, "system": f"{IDS}/lot", "value": "LOT42"} in lot["identifier"]
    assert lot["meta"]["tag"][1] == {"system": f"{THO}/v2-0369", "code": "Q"}
    assert {"text": "Expires 2027-12-31"} in lot["note"]
    assert "subject" not in lot


def test_analyzer_without_a_number_is_the_sender() -> None:
    (device,) = resources(qc(CONTROL, OBR, OBX.partition("|||||||COBAS")[0]), "Device")
    assert device["identifier"] == [{"system": f"{IDS}/sender", "value": "LIS-LAB"}]


@pytest.mark.parametrize("role", "QCEVBFO")
def test_roles_of_control(role: str) -> None:
    control = CONTROL.replace("Q^Control specimen", role)
    assert "Patient" not in kinds(qc(PID, control, OBR, OBX))


@pytest.mark.parametrize("role", ["P", "G", ""])
def test_roles_of_patients(role: str) -> None:
    specimen = CONTROL.replace("Q^Control specimen^HL70369", role)
    assert "Patient" in kinds(qc(PID, specimen, OBR, OBX))


def test_whoever_is_named_beside_control_is_no_patient() -> None:
    found = qc(PID, "PV1|1|I", CONTROL, OBR, OBX)
    assert kinds(found) == ["Device", "Observation", "Specimen"]
    assert ("PID[1]-3[1].1.1", "condition_false") in found.unmapped


def test_control_beside_a_patient_is_kept_apart() -> None:
    found = qc(PID, PATIENTS, OBR, OBX, CONTROL, OBR.replace("F1", "F2"), OBX)
    (patients,) = [o for o in resources(found, "Observation") if "meta" not in o]
    (controls,) = [o for o in resources(found, "Observation") if "meta" in o]
    urls = {w.resource["resourceType"]: w.full_url for w in found.writes}
    assert patients["subject"] == {"reference": urls["Patient"]}
    assert controls["subject"] == {"reference": urls["Device"]}
    assert len(resources(found, "DiagnosticReport")) == 1


RULES = [
    (Place("OBR", 3), "^QC", OBR.replace("F1", "QC77")),
    (Place("MSH", 16), "^2$", OBR),
    (Place("PID", 5, 1), "(?i)control", OBR),
]


@pytest.mark.parametrize(("place", "pattern", "obr"), RULES, ids=[str(r[0]) for r in RULES])
def test_signs_of_a_profile(place: Place, pattern: str, obr: str) -> None:
    rule = QcRule(place, re.compile(pattern))
    header = MSH + "||||2"
    pid = PID + "||CONTROL^1"
    assert kinds(qc(pid, obr, OBX, header=header, qc=(rule,))) == ["Device", "Observation"]
    assert "Patient" in kinds(qc(pid, obr, OBX, header=header))


def test_control_may_stay_in_the_inbox() -> None:
    found = qc(CONTROL, OBR, OBX, qc_policy="inbox_only")
    assert found.writes == ()
    assert ("OBX[1]-5[1].1.1", "profile_ignored") in found.unmapped


def test_runs_of_a_control_are_results_of_their_own() -> None:
    runs = [OBR, OBR.replace("20260101", "20260102"), OBR]
    keys = [resources(qc(CONTROL, run, OBX), "Observation")[0]["identifier"] for run in runs]
    assert keys[0] == keys[2] != keys[1]


def test_result_of_nobody_that_is_no_control_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        qc(PATIENTS, OBR, OBX)
    assert refused.value.reason == "NO_PATIENT_ID"


def test_orders_follow_their_specimen() -> None:
    second = "SPM|2|S2||UR^Urine^HL70487"
    obx = OBX.replace("GLU^Glucose", "PRO^Protein")
    found = qc(PID, PATIENTS, SAC, OBR, "ORC|SC", OBX, second, OBR.replace("F1", "F2"), obx)
    specimens = [w.full_url for w in found.writes if w.resource["resourceType"] == "Specimen"]
    observations = resources(found, "Observation")
    assert [o["specimen"]["reference"] for o in observations] == specimens
    assert [len(r["result"]) for r in resources(found, "DiagnosticReport")] == [1, 1]


def test_observation_of_the_specimen_itself_has_it_as_focus() -> None:
    seen = "OBX|1|ST|HEM^Hemolysis^L||slight||||||F"
    found = qc(PID, PATIENTS, seen, OBR, OBX)
    urls = {w.resource["resourceType"]: w.full_url for w in found.writes}
    focused = [o for o in resources(found, "Observation") if "focus" in o]
    assert [o["focus"] for o in focused] == [[{"reference": urls["Specimen"]}]]


@pytest.mark.parametrize("event", ["R22", "R23", "R24"])
def test_every_structure_of_oul_is_taken(event: str) -> None:
    segments = {
        "R22": (PID, PATIENTS, SAC, OBR, OBX),
        "R23": (PID, SAC, PATIENTS, OBR, OBX),
        "R24": (PID, OBR, OBX, PATIENTS, SAC),
    }[event]
    found = qc(*segments, header=MSH.replace("ORU^R01", f"OUL^{event}"))
    (observation,) = resources(found, "Observation")
    urls = {w.resource["resourceType"]: w.full_url for w in found.writes}
    assert observation["specimen"] == {"reference": urls["Specimen"]}
    assert resources(found, "Specimen")[0]["container"][0]["identifier"][0]["value"] == "TUBE1"


def test_control_is_valid() -> None:
    validator = Validator(load())
    for write in qc(CONTROL, SAC, INV, OBR, OBX).writes:
        raw = json.encode(write.resource)
        kind = write.resource["resourceType"]
        assert validator.validate(kind, raw, json.decode(raw)) == []
