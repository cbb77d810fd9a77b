"""Messages put right before they are mapped, and accounted for as they came."""

import re
from decimal import Decimal
from typing import Any

import pytest

from adapters.hl7.mapping.quirks import corrected, settle
from adapters.hl7.mapping.sender_rules import Condition, LocalExtension, Place, Quirk
from adapters.hl7.mapping.transform import Mapped, transform
from adapters.hl7.message.accounting import valued, written
from adapters.hl7.message.tokenizer import Message, parse
from adapters.hl7.profiles.model import place_of
from tests.adapters.hl7.reading import MSH, PID, message, profile, resources

OBR = "OBR|1||F1|PANEL"
OBX = "OBX|1|NM|GLU^Sugar||5.1|mmol/L|||||F"


def quirk(kind: Any, target: str, source: str = "", **said: Any) -> Quirk:
    return Quirk(kind, place_of(target), source=place_of(source) if source else None, **said)


def account(found: Mapped, sent: Message) -> dict[str, str]:
    """Return what became of each leaf, the reason in brackets; every leaf is there once."""
    mapped = {written(sent.segments[a[0]], a): path for a, path in sent.mapped.items()}
    listed = {address: f"({reason})" for address, reason in found.unmapped}
    everything = [written(sent.segments[a[0]], a) for a in valued(sent)]
    assert sorted([*mapped, *listed]) == sorted(everything)
    return {**mapped, **listed}


def put_right(*segments: str, quirks: list[Quirk]) -> tuple[Mapped, dict[str, str]]:
    sent = message(*segments)
    before = [list(one.fields) for one in sent.segments]
    found = transform(sent, profile(quirks=tuple(quirks)))
    after = [one.fields for one in sent.segments]
    assert [[*b, *[""] * (len(a) - len(b))] for a, b in zip(after, before, strict=True)] == after
    return found, account(found, sent)


def test_copied_field_is_used_where_it_was_missing() -> None:
    obr = "OBR|1||F1|PANEL|||||||||||||||O77"
    found, told = put_right(PID, obr, OBX, quirks=[quirk("copy", "OBR-2", "OBR-19")])
    (order,) = resources(found, "ServiceRequest")
    assert [one["value"] for one in order["identifier"]] == ["O77", "F1"]
    assert told["OBR[1]-19[1].1.1"] == "ServiceRequest.identifier.value"
    assert "OBR[1]-2[1].1.1" not in told


def test_valued_target_stays_unless_it_is_to_be_overwritten() -> None:
    obr = "OBR|1|O1|F1|PANEL|||||||||||||||O77"
    found, _ = put_right(PID, obr, OBX, quirks=[quirk("copy", "OBR-2", "OBR-19")])
    assert resources(found, "ServiceRequest")[0]["identifier"][0]["value"] == "O1"
    found, told = put_right(
        PID, obr, OBX, quirks=[quirk("copy", "OBR-2", "OBR-19", overwrite=True)]
    )
    assert resources(found, "ServiceRequest")[0]["identifier"][0]["value"] == "O77"
    assert told["OBR[1]-2[1].1.1"] == "(profile_ignored)"


def test_moved_component_counts_where_it_stood() -> None:
    found, told = put_right(
        "PID|1||P1^^^HOSP^MR||ASHA^RAO", OBR, OBX, quirks=[
            quirk("move", "PID-9.1", "PID-5.2"),
        ]
    )  # fmt: skip
    (patient,) = resources(found, "Patient")
    assert [one.get("family") for one in patient["name"]] == ["ASHA", "RAO"]
    assert told["PID[1]-5[1].2.1"] == "Patient.name.family"


def test_source_is_the_nearest_segment_before() -> None:
    segments = ("ZRQ|A1", "OBR|1||F1|ONE", "ZRQ|A2", "OBR|2||F2|TWO")
    found, _ = put_right(PID, *segments, quirks=[quirk("copy", "OBR-2", "ZRQ-1")])
    numbers = [one["identifier"][0]["value"] for one in resources(found, "ServiceRequest")]
    assert numbers == ["A1", "A2"]


def test_dropped_field_is_listed_as_ignored() -> None:
    found, told = put_right(PID, OBR, OBX, quirks=[quirk("drop", "OBX-6")])
    assert "unit" not in resources(found, "Observation")[0]["valueQuantity"]
    assert told["OBX[1]-6[1].1.1"] == "(profile_ignored)"


def test_default_stands_where_nothing_is_and_is_no_leaf() -> None:
    obx = ("OBX|1|NM|A||1", "OBX|2|NM|B||2||||||P")
    found, told = put_right(PID, OBR, *obx, quirks=[quirk("default", "OBX-11", value="F")])
    assert [one["status"] for one in resources(found, "Observation")] == ["final", "preliminary"]
    assert "OBX[1]-11[1].1.1" not in told


def test_value_of_a_default_is_text_and_no_delimiters() -> None:
    found, _ = put_right(PID, OBR, "OBX|1|ST|A", quirks=[quirk("default", "OBX-5", value="a^b|c")])
    assert resources(found, "Observation")[0]["valueString"] == "a^b|c"


def test_codes_of_a_table_mean_those_of_the_standard_in_every_repetition() -> None:
    obx = "OBX|1|NM|A||9|||CRIT~hi|||DONE"
    flags = quirk("table", "OBX-8.1", codes={"CRIT": "HH", "hi": "H"})
    found, told = put_right(
        PID, OBR, obx, quirks=[flags, quirk("table", "OBX-11.1", codes={"DONE": "F"})]
    )
    (seen,) = resources(found, "Observation")
    assert [one["coding"][0]["code"] for one in seen["interpretation"]] == ["HH", "H"]
    assert seen["status"] == "final"
    assert told["OBX[1]-8[2].1.1"] == "Observation.interpretation"


@pytest.mark.parametrize(("code", "unit"), [("GLU", ""), ("NA", "mmol/L")])
def test_condition_is_of_the_same_segment(code: str, unit: str) -> None:
    when = Condition(Place("OBX", 3, 1), re.compile("^GLU$"))
    found, _ = put_right(
        PID, OBR, f"OBX|1|NM|{code}||5|mmol/L|||||F", quirks=[quirk("drop", "OBX-6", when=when)]
    )
    assert resources(found, "Observation")[0]["valueQuantity"].get("unit", "") == unit


def test_condition_of_another_segment_is_of_the_message() -> None:
    when = Condition(Place("MSH", 3), re.compile("^OTHER$"))
    found, _ = put_right(PID, OBR, OBX, quirks=[quirk("drop", "OBX-6", when=when)])
    assert "unit" in resources(found, "Observation")[0]["valueQuantity"]


def test_message_is_as_it_came_after_all_quirks() -> None:
    text = f"{MSH}\rPID|1||P1\rOBX|1|NM|A^a&b~c"
    sent = parse(text)
    done = corrected(sent, [quirk("move", "PID-9", "OBX-3"), quirk("drop", "PID-3")])
    assert sent.segments[1].fields[3] == ""
    assert sent.segments[1].fields[9] == "A^a&b~c"
    settle(sent, done)
    told = ["|".join(one.fields).rstrip("|") for one in sent.segments[1:]]
    assert told == text.split("\r")[1:]


@pytest.mark.parametrize(
    ("kind", "text", "member", "value"),
    [
        ("string", "ward 7", "valueString", "ward 7"),
        ("code", "a  b", "valueCode", "a b"),
        ("boolean", "Y", "valueBoolean", True),
        ("integer", "12", "valueInteger", 12),
        ("decimal", "1.40", "valueDecimal", Decimal("1.40")),
        ("date", "20260102", "valueDate", "2026-01-02"),
    ],
)
def test_leaf_of_a_z_segment_becomes_an_extension(
    kind: Any, text: str, member: str, value: object
) -> None:
    wanted = LocalExtension(Place("ZPI", 2, 1), "Patient", "urn:x", kind)
    sent = message(PID, f"ZPI|1|{text}", OBR, OBX)
    found = transform(sent, profile(extensions=(wanted,)))
    assert resources(found, "Patient")[0]["extension"] == [{"url": "urn:x", member: value}]
    assert account(found, sent)["ZPI[1]-2[1].1.1"] == "Patient.extension"


def test_value_of_another_type_is_listed() -> None:
    wanted = LocalExtension(Place("ZPI", 1), "Patient", "urn:x", "integer")
    sent = message(PID, "ZPI|twelve", OBR, OBX)
    found = transform(sent, profile(extensions=(wanted,)))
    assert "extension" not in resources(found, "Patient")[0]
    assert account(found, sent)["ZPI[1]-1[1].1.1"] == "(z_segment)"


def test_extension_that_could_be_of_two_patients_is_of_none() -> None:
    wanted = LocalExtension(Place("ZPI", 1), "Patient", "urn:x")
    sent = message(PID, "ZPI|a", OBR, OBX, "PID|2||P2^^^HOSP^MR", "OBR|2||F2|PANEL", OBX)
    found = transform(sent, profile(extensions=(wanted,)))
    assert [one.get("extension") for one in resources(found, "Patient")] == [None, None]
    assert found.warnings == {"The extension of ZPI-1 could be of several resources": 1}
