"""Each leaf is explained by the element that holds it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.hl7.explain.explanation import Explanation, Line, explain
from adapters.hl7.explain.rules import DECISIONS
from adapters.hl7.explain.views import decisions, plain
from adapters.hl7.explain.words import REASON_TEXTS, WHAT_TO_DO
from adapters.hl7.mapping.tracing import Trace
from adapters.hl7.mapping.transform import transform
from adapters.hl7.message.accounting import REASONS, valued, written
from adapters.hl7.message.charsets import decode
from adapters.hl7.message.files import messages
from adapters.hl7.message.reasons import REASONS as INBOX_REASONS
from adapters.hl7.message.tokenizer import Message, parse
from adapters.hl7.records import results
from adapters.hl7.records.files import messages as record_messages
from adapters.hl7.simulate import microbiology
from adapters.hl7.simulate.panels import CBC, sample
from adapters.hl7.simulate.results import oru
from fhir_server.r4 import json
from tests.adapters.hl7.reading import MSH, PID, message, profile

EXAMPLES = Path(__file__).parents[4] / "docs" / "examples"


def opened(raw: bytes) -> Message:
    text = decode(raw, fallback="cp1252", override="")
    return parse(text.text, text.codec)


def explained(*segments: str, header: str = MSH, **said: Any) -> Explanation:
    return explain(message(*segments, header=header), profile(**said))


def lines(found: Explanation) -> dict[str, Line]:
    return {line.address: line for line in found.lines}


def targets(found: Explanation) -> dict[str, list[tuple[str, str]]]:
    return {
        line.address: [(one.resource, one.path) for one in line.targets]
        for line in found.lines
        if line.targets
    }


def held(resource: Any, path: str) -> Any:
    """Return what stands at an exact path such as `Patient.name[0].family`."""
    node = resource
    for step in path.split(".")[1:]:
        name, *places = re.split(r"[\[\]]+", step.rstrip("]"))
        node = node[name]
        for place in places:
            node = node[int(place)]
    return node


ORU = (
    "PID|1||P1^^^HOSP^MR~N77^^^NAT&1.2.3&ISO^NI||Rao^Asha^Devi||19840302|F",
    "OBR|1|O1|F1|PANEL^Panel^L|||20260301|||||||||||||||20260302101500+0530||CH|F",
    "OBX|1|NM|K^Potassium^L||4.10|mmol/L|3.5-5.1|N|||F",
    "OBX|2|NM|NA^Sodium^L||140|mmol/L|136-145|N|||F",
    "OBX|3|SN|CRP^C reactive protein^L||<^5|mg/L||N|||F",
)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("PID[1]-3[1].1.1", [("Patient", "Patient.identifier[0].value")]),
        ("PID[1]-3[2].1.1", [("Patient", "Patient.identifier[1].value")]),
        ("PID[1]-3[2].5.1", [("Patient", "Patient.identifier[1].type.coding[0].code")]),
        ("PID[1]-5[1].3.1", [("Patient", "Patient.name[0].given[1]")]),
        ("PID[1]-8[1].1.1", [("Patient", "Patient.gender")]),
        (
            "OBR[1]-4[1].1.1",
            [
                ("ServiceRequest", "ServiceRequest.code.coding[0].code"),
                ("DiagnosticReport", "DiagnosticReport.code.coding[0].code"),
            ],
        ),
        ("OBR[1]-7[1].1.1", [("DiagnosticReport", "DiagnosticReport.effectiveDateTime")]),
        ("OBX[2]-3[1].1.1", [("Observation[2]", "Observation.code.coding[0].code")]),
        ("OBX[2]-5[1].1.1", [("Observation[2]", "Observation.valueQuantity.value")]),
        ("OBX[2]-8[1].1.1", [("Observation[2]", "Observation.interpretation[0].coding[0].code")]),
        ("OBX[2]-11[1].1.1", [("Observation[2]", "Observation.status")]),
        ("OBX[3]-5[1].1.1", [("Observation[3]", "Observation.valueQuantity.comparator")]),
        ("OBX[3]-5[1].2.1", [("Observation[3]", "Observation.valueQuantity.value")]),
    ],
)
def test_leaf_leads_to_the_element_that_holds_it(
    address: str, expected: list[tuple[str, str]]
) -> None:
    assert targets(explained(*ORU))[address] == expected


def test_equal_values_are_told_apart_by_their_order() -> None:
    found = targets(explained("PID|1||P1^^^H^MR||Rao^Asha^Asha", *ORU[1:]))
    assert found["PID[1]-5[1].2.1"] == [("Patient", "Patient.name[0].given[0]")]
    assert found["PID[1]-5[1].3.1"] == [("Patient", "Patient.name[0].given[1]")]


def test_value_that_fits_two_elements_goes_to_the_one_of_its_repetition() -> None:
    # LAB is in both systems, as the sender is LIS-LAB.
    found = targets(explained("PID|1||P1~P2^^^LAB^MR", *ORU[1:]))
    assert found["PID[1]-3[2].4.1"] == [("Patient", "Patient.identifier[1].system")]


def samples() -> Iterator[tuple[str, Message]]:
    for file in sorted(EXAMPLES.glob("*.hl7")):
        for number, raw in enumerate(messages(file.read_bytes())):
            yield f"{file.name} {number}", opened(raw)
    for number, raw in enumerate(record_messages((EXAMPLES / "hematology.astm").read_bytes())):
        yield f"hematology.astm {number}", results.opened(raw.decode(), "utf-8")
    yield "simulated CBC", opened(oru(sample(CBC, 7)))
    yield "simulated culture", opened(microbiology.culture(7))


SAMPLES = [name for name, _ in samples()]


@pytest.mark.parametrize("name", SAMPLES)
def test_each_path_is_in_the_resource_that_is_named(name: str) -> None:
    read = dict(samples())[name]
    found = explain(read, profile())
    made = {one.name: one.resource for one in found.made}
    checked = 0
    for line in found.lines:
        for one in line.targets:
            assert one.exact, (name, line.address, one.path)
            if one.resource in made and one.value:
                assert str(held(made[one.resource], one.path)) == one.value
                checked += 1
    assert checked > 10


@pytest.mark.parametrize("name", SAMPLES)
def test_each_leaf_has_one_line_with_targets_or_a_reason(name: str) -> None:
    read = dict(samples())[name]
    found = explain(read, profile())
    if read.source is None:
        wanted = [written(read.segments[one[0]], one) for one in valued(read)]
        assert [line.address for line in found.lines] == wanted
    else:
        assert {line.address for line in found.lines} == set(read.source.leaves)
    assert all(bool(line.targets) != bool(line.reason) for line in found.lines), name
    assert {line.reason for line in found.lines} <= {*REASONS, ""}
    assert sum(found.counts.values()) == len(found.lines)


def test_tracing_changes_nothing_of_the_mapping() -> None:
    raw = oru(sample(CBC, 3))
    usual, traced = opened(raw), opened(raw)
    trace = Trace()
    found = [transform(usual, profile()), transform(traced, profile(), trace=trace)]
    written_of = [[(w.method, w.full_url, w.resource) for w in one.writes] for one in found]
    assert written_of[0] == written_of[1]
    assert found[0].unmapped == found[1].unmapped
    assert dict(trace.marks) == usual.mapped


def test_leaf_of_several_mappings_is_marked_each_time_the_cache_knows_it() -> None:
    obr = "OBR|1||F1|FRESH-1^Fresh^L"
    first = targets(explained(PID, obr, "OBX|1|NM|A^A^L||1||||||F"))
    assert targets(explained(PID, obr, "OBX|1|NM|A^A^L||1||||||F")) == first
    assert [name for name, _ in first["OBR[1]-4[1].1.1"]] == ["ServiceRequest", "DiagnosticReport"]


@pytest.mark.parametrize(
    ("address", "guide", "decision"),
    [
        ("OBX[1]-5[1].1.1", "OBX[Observation]", ""),
        ("OBX[1]-6[1].1.1", "OBX[Observation]", "D18"),
        ("OBX[3]-5[1].2.1", "OBX[Observation]", "D9"),
        ("OBX[1]-11[1].1.1", "OBX[Observation]", "D5"),
        ("PID[1]-3[2].4.2", "PID[Patient]", "D19"),
        ("OBR[1]-3[1].1.1", "OBR[ServiceRequest]", "D1"),
    ],
)
def test_rule_names_the_map_of_the_guide_and_our_decision(
    address: str, guide: str, decision: str
) -> None:
    target = lines(explained(*ORU))[address].targets[0]
    assert (target.map, target.decision) == (guide, decision)


def test_our_decisions_are_told_in_words() -> None:
    assert set(decisions(explained(*ORU))) <= set(DECISIONS)


def test_every_reason_is_told_in_words() -> None:
    assert set(REASON_TEXTS) == set(REASONS)
    assert set(WHAT_TO_DO) == set(INBOX_REASONS)


def test_refused_message_says_why_and_shows_its_leaves() -> None:
    found = explained("PID|1||P1^^^H^MR", "OBR|1||F1|A" + "|" * 21 + "Y", "OBX|1|NM|G||1||||||F")
    assert found.refusal is not None
    assert found.refusal[0] == "UNMAPPABLE_STATUS"
    assert {line.reason for line in found.lines} == {"refused"}
    assert found.made == ()


def test_records_are_explained_where_they_stood() -> None:
    raw = record_messages((EXAMPLES / "hematology.astm").read_bytes())[0]
    found = targets(explain(results.opened(raw.decode(), "utf-8"), profile()))
    assert found["R[2]-4[1].1"] == [("Observation[2]", "Observation.valueQuantity.value")]
    assert found["P[1]-6[1].2"] == [("Patient", "Patient.name[0].given[0]")]


def test_without_values_nothing_tells_of_the_patient() -> None:
    found = explained(*ORU)
    shown = json.encode(plain(found, values=False)).decode()
    secrets = ("Rao", "Asha", "Devi", "P1", "N77", "19840302", "1984-03-02", "4.10", "140")
    assert [one for one in secrets if one in shown] == []
    told = json.encode(plain(found, values=True)).decode()
    assert [one for one in secrets if one not in told] == []


def test_nearly_all_leaves_of_public_messages_lead_to_one_element(shared: Path) -> None:
    files = sorted((shared / "data" / "hl7v2" / "reportstream").rglob("*.hl7"))[::6]
    exact = total = 0
    for file in files:
        for raw in messages(file.read_bytes()):
            for line in explain(opened(raw), profile()).lines:
                total += len(line.targets)
                exact += sum(one.exact for one in line.targets)
    assert total > 1_000
    assert exact >= 0.98 * total


def test_language_without_a_tag_leaves_only_its_text_mapped() -> None:
    pid = "PID|1||P1^^^HOSP^MR" + "|" * 12 + "333^Unknown^99LANG"
    found = lines(explained(pid, "OBR|1||F1|A", "OBX|1|NM|G||1||||||F"))
    assert found["PID[1]-15[1].2.1"].targets[0].path == "Patient.communication[0].language.text"
    reasons = [found[f"PID[1]-15[1].{component}.1"].reason for component in (1, 3)]
    assert reasons == ["invalid_value", "invalid_value"]


def test_end_that_is_the_start_is_listed_as_the_same() -> None:
    at = "20260301080000+0000"
    found = lines(explained(PID, f"OBR|1||F1|A|||{at}|{at}", "OBX|1|NM|G||1||||||F"))
    assert found["OBR[1]-8[1].1.1"].reason == "duplicate_of"


def test_timing_is_where_a_request_has_it() -> None:
    found = targets(
        explained(
            PID,
            "ORC|NW|O1|F1",
            "TQ1|1|2^mg|BID^^^^6^h|0800|||20260101||S||slowly||30^min|5",
            "OBR|1|O1|F1|LYTES^Electrolytes",
            header=MSH.replace("ORU^R01", "OML^O21"),
        )
    )
    timing = "ServiceRequest.occurrenceTiming"
    assert {at: to for at, to in found.items() if at.startswith("TQ1")} == {
        "TQ1[1]-2[1].1.1": [("ServiceRequest", "ServiceRequest.quantityQuantity.value")],
        "TQ1[1]-2[1].2.1": [("ServiceRequest", "ServiceRequest.quantityQuantity.unit")],
        "TQ1[1]-3[1].1.1": [("ServiceRequest", f"{timing}.code.coding[0].code")],
        "TQ1[1]-3[1].5.1": [("ServiceRequest", f"{timing}.repeat.period")],
        "TQ1[1]-3[1].6.1": [("ServiceRequest", f"{timing}.repeat.periodUnit")],
        "TQ1[1]-4[1].1.1": [("ServiceRequest", f"{timing}.repeat.timeOfDay[0]")],
        "TQ1[1]-7[1].1.1": [("ServiceRequest", f"{timing}.repeat.boundsPeriod.start")],
        "TQ1[1]-9[1].1.1": [("ServiceRequest", "ServiceRequest.priority")],
        "TQ1[1]-11[1].1.1": [("ServiceRequest", "ServiceRequest.note[0].text")],
        "TQ1[1]-13[1].1.1": [("ServiceRequest", f"{timing}.repeat.duration")],
        "TQ1[1]-13[1].2.1": [("ServiceRequest", f"{timing}.repeat.durationUnit")],
        "TQ1[1]-14[1].1.1": [("ServiceRequest", f"{timing}.repeat.count")],
    }


def test_timing_of_a_medicine_is_in_its_dosage() -> None:
    found = targets(
        explained(
            PID,
            "ORC|NW|O1|F1",
            "TQ1|1|2^mg|BID||||||||slowly",
            "RXO|R03^Aspirin^L|||||||||",
            header=MSH.replace("ORU^R01", "ORM^O01"),
        )
    )
    dosage = "MedicationRequest.dosageInstruction[0]"
    assert {at: to for at, to in found.items() if at.startswith("TQ1")} == {
        "TQ1[1]-2[1].1.1": [
            ("MedicationRequest", f"{dosage}.doseAndRate[0].doseQuantity.value"),
        ],
        "TQ1[1]-2[1].2.1": [
            ("MedicationRequest", f"{dosage}.doseAndRate[0].doseQuantity.unit"),
        ],
        "TQ1[1]-3[1].1.1": [("MedicationRequest", f"{dosage}.timing.code.coding[0].code")],
        "TQ1[1]-11[1].1.1": [("MedicationRequest", f"{dosage}.text")],
    }


def test_number_of_the_insured_is_an_identifier_and_a_text() -> None:
    fields = {4: "Payer", 49: "S99^^^INS^SN^^20250101"}
    in1 = "|".join(["IN1", "1", *(fields.get(n, "") for n in range(2, 50))])
    found = targets(
        explained("EVN|A01|2026", PID, "PV1|1|I", in1, header=MSH.replace("ORU^R01", "ADT^A01"))
    )
    number = "Coverage.extension[0].valueIdentifier"
    assert {at: to for at, to in found.items() if "-49" in at} == {
        "IN1[1]-49[1].1.1": [
            ("Coverage", f"{number}.value"),
            ("Coverage", "Coverage.subscriberId"),
        ],
        "IN1[1]-49[1].4.1": [("Coverage", f"{number}.system")],
        "IN1[1]-49[1].5.1": [("Coverage", f"{number}.type.coding[0].code")],
        "IN1[1]-49[1].7.1": [("Coverage", f"{number}.period.start")],
    }


def test_laboratory_of_the_same_number_keeps_the_type_that_was_said_first() -> None:
    obx = "OBX|{0}|NM|K{0}||7.2|mmol/L|||||F||||||||||||LAB^^^^^CLIA^{1}^^^05D99"
    found = lines(
        explained(PID, "OBR|1|O1|F1|LYTES", *(obx.format(n, k) for n, k in ((1, "XX"), (2, "TAX"))))
    )
    first, second = (found[f"OBX[{n}]-23[1].7.1"] for n in (1, 2))
    assert [one.path for one in first.targets] == ["Organization.identifier[0].type.coding[0].code"]
    assert (second.targets, second.reason) == ((), "condition_false")
