"""Records read, and understood as results."""

import re
from datetime import UTC
from typing import Any

import pytest

from adapters.hl7.mapping.context import Profile, Refusal
from adapters.hl7.mapping.sender_rules import Place, QcRule
from adapters.hl7.mapping.transform import Mapped, transform
from adapters.hl7.message.tokenizer import MOST_PARTS, BadHeader, TooManyParts
from adapters.hl7.profiles.model import Astm, AstmSelect
from adapters.hl7.records import results
from adapters.hl7.records.query import Request, asked
from adapters.hl7.records.transmission import (
    Delimiters,
    escaped,
    is_records,
    messages,
    parse,
    unescaped,
)

HEAD = "H|\\^&|||Maker^Model|||||||P|LIS2-A2|20260110080000\rP|1|4711\rO|1|S-1||^^^PANEL\r"
END = "\rL|1|N\r"
USUAL = Delimiters()


def read(*records: str, astm: Astm | None = None, head: str = HEAD, **said: Any) -> Mapped:
    message = results.opened(head + "\r".join(records) + END, "utf-8", astm, **said)
    return transform(message, Profile("http://h/fhir", "A", UTC))


def one(record: str, *more: str, **said: Any) -> dict[str, Any]:
    """Return the first Observation of a message with this R record."""
    return of(read(record, *more, **said), "Observation")[0]


def of(found: Mapped, kind: str) -> list[dict[str, Any]]:
    return [w.resource for w in found.writes if w.resource["resourceType"] == kind]


ESCAPES = {
    "field": ("a&F&b", "a|b"),
    "component": ("&S&", "^"),
    "repetition": ("&R&", "\\"),
    "escape": ("&E&F&E&", "&F&"),
    "hexadecimal": ("&X4142&", "AB"),
    "half a byte": ("&X414&", "&X414&"),
    "emphasis": ("&H&bold&N&", "bold"),
    "unknown": ("&Q9&", "&Q9&"),
    "unterminated": ("A&F", "A&F"),
}


@pytest.mark.parametrize(("text", "meaning"), ESCAPES.values(), ids=ESCAPES)
def test_escapes(text: str, meaning: str) -> None:
    assert unescaped(text, USUAL) == meaning


@pytest.mark.parametrize("text", ["a|b^c\\d&e", "&F&", "plain", "µg/mL"])
def test_escaping_and_unescaping_are_inverse(text: str) -> None:
    assert unescaped(escaped(text, USUAL), USUAL) == text


def test_the_delimiters_are_those_of_the_header() -> None:
    found = parse("H!@$%!!!Maker$Model\rP!1!!4711\rL!1!N\r")
    assert found.delimiters == Delimiters("!", "@", "$", "%")
    assert found.header.leaf(5, 2) is not None
    assert [leaf.address for leaf in found.records[1].leaves(4)] == ["P[1]-4[1].1"]


@pytest.mark.parametrize("text", ["", "P|1", "H", "H|||", "H|\\^", "H|\\\\&", "Hello|^&"])
def test_a_header_without_usable_delimiters_is_refused(text: str) -> None:
    with pytest.raises(BadHeader):
        parse(text)


@pytest.mark.parametrize("part", ["|", "^", "\\", "\r"])
def test_records_of_too_many_parts_are_refused(part: str) -> None:
    with pytest.raises(TooManyParts):
        parse("H|\\^&\r" + part * (MOST_PARTS + 1))


def test_records_are_told_from_hl7() -> None:
    assert [is_records(raw) for raw in (b"\r\nH|\\^&", b"MSH|^~\\&", b"HEAD", b"")] == [
        *(True, False, False, False)
    ]


def test_a_session_is_split_at_h_and_after_l_byte_for_byte() -> None:
    parts = [b"P|1\r\nL|1\r\n", b"H|\\^&\rL|1|N\r", b"H|\\^&\r", b"H|\\^&\rR|1\r"]
    assert messages(b"".join(parts)) == parts


VALUES: dict[str, tuple[str, dict[str, Any]]] = {
    "number": ("5.40", {"valueQuantity": "5.40"}),
    "less than": ("<0.5", {"valueQuantity": "<0.5"}),
    "greater than": (">1000", {"valueQuantity": ">1000"}),
    "word": ("POSITIVE", {"valueString": "POSITIVE"}),
    "one component": ("^7.1", {"valueQuantity": "7.1"}),
    "word and number": ("REACTIVE^8.2", {"valueString": "REACTIVE^8.2"}),
    "escaped": ("1&F&2", {"valueString": "1|2"}),
}


@pytest.mark.parametrize(("text", "expected"), VALUES.values(), ids=VALUES)
def test_values(text: str, expected: dict[str, Any]) -> None:
    found = one(f"R|1|^^^X|{text}|mg/dL||||F")
    shown = {name: value for name, value in found.items() if name.startswith("value")}
    if quantity := shown.get("valueQuantity"):
        shown["valueQuantity"] = f"{quantity.get('comparator', '')}{quantity['value']}"
    assert shown == expected


STATUSES = {
    **dict.fromkeys("FQVM", "final"),
    **dict.fromkeys("PS", "preliminary"),
    **dict.fromkeys("IN", "registered"),
    "C": "corrected",
    "X": "cancelled",
    "R": "final",
    "W": "preliminary",
}


@pytest.mark.parametrize(("code", "status"), STATUSES.items())
def test_statuses(code: str, status: str) -> None:
    assert one(f"R|1|^^^X|1|||||{code}")["status"] == status


def test_a_result_of_questionable_validity_says_so() -> None:
    assert one("R|1|^^^X|1|||||W")["note"] == [
        {"text": "The analyzer gives the validity of this result as questionable (status W)."}
    ]


def test_a_profile_gives_statuses_flags_and_what_is_usual() -> None:
    astm = Astm(statuses={"OK": "F"}, flags={"++": "HH"}, default_status="P")
    found = of(read("R|1|^^^X|1|||++||OK", "R|2|^^^Y|1", astm=astm), "Observation")
    assert [each["status"] for each in found] == ["final", "preliminary"]
    assert found[0]["interpretation"][0]["coding"][0]["code"] == "HH"


@pytest.mark.parametrize(
    ("code", "status"),
    [("F", "final"), ("P", "preliminary"), ("C", "corrected"), ("X", "cancelled")],
)
def test_report_types(code: str, status: str) -> None:
    head = HEAD.replace("^^^PANEL", "^^^PANEL" + "|" * 21 + code)
    (report,) = of(read("R|1|^^^X|1|||||F", head=head), "DiagnosticReport")
    assert report["status"] == status


@pytest.mark.parametrize("code", ["Y", "Z"])
def test_report_types_without_meaning_are_refused(code: str) -> None:
    head = HEAD.replace("^^^PANEL", "^^^PANEL" + "|" * 21 + code)
    with pytest.raises(Refusal) as refused:
        read("R|1|^^^X|1|||||F", head=head)
    assert refused.value.reason == "UNMAPPABLE_STATUS"


def test_flags_repeat() -> None:
    found = one("R|1|^^^X|1|||H\\A||F")
    assert [each["coding"][0]["code"] for each in found["interpretation"]] == ["H", "A"]


def test_comments_are_notes_of_the_record_before() -> None:
    found = read("C|1|L|of the order|G", "R|1|^^^X|1|||||F", "C|1|I|41^clot|I", "C|2|I|again|I")
    values, comment = of(found, "Observation")
    assert [note["text"] for note in values["note"]] == ["41^clot", "again"]
    assert comment["valueString"] == "of the order"


def test_a_comment_after_a_record_that_is_not_mapped_is_listed() -> None:
    found = read("M|1|x", "C|1|I|of the maker's own|I", "R|1|^^^X|1|||||F")
    listed = dict(found.unmapped)
    assert (listed["M[1]-3[1].1"], listed["C[1]-4[1].1"]) == ("no_target", "no_target")


def test_times_are_of_the_senders_zone_and_completion_is_what_counts() -> None:
    found = one("R|1|^^^X|1|||||F||tech|20260110075500|20260110075900|SN-9")
    assert found["effectiveDateTime"] == "2026-01-10T07:59:00+00:00"


def test_the_lateness_of_a_result_goes_by_its_completion() -> None:
    found = read("R|1|^^^X|1|||||F||||20260110075900", "R|2|^^^Y|1|||||F||||20260110075930")
    times = {w.event_time for w in found.writes if w.resource["resourceType"] == "Observation"}
    assert [str(each) for each in times] == ["2026-01-10 07:59:30+00:00"]


def test_the_instrument_is_the_device_else_who_sends() -> None:
    found = read("R|1|^^^X|1|||||F|||||SN-9", "R|2|^^^Y|1|||||F")
    numbers = [each["identifier"][0]["value"] for each in of(found, "Device")]
    assert numbers == ["SN-9", "Maker-Model"]


def test_formats_of_a_profile_read_its_times() -> None:
    astm = Astm(date_formats=("%d/%m/%Y %H:%M:%S",))
    found = one("R|1|^^^X|1|||||F||||10/01/2026 07:59:00", astm=astm)
    assert found["effectiveDateTime"] == "2026-01-10T07:59:00+00:00"


def test_several_components_make_a_code_where_the_profile_says_so() -> None:
    astm = Astm(test_parts=(4, 5))
    found = one("R|1|^^^GLU^2|1|||||F", astm=astm)
    assert found["code"]["coding"][0]["code"] == "GLU^2"


def test_only_the_records_that_a_profile_selects_count() -> None:
    astm = Astm(select=(AstmSelect(at="R-3.6", keep=("F",)),))
    found = read("R|1|^^^X^^F|1|||||F", "R|2|^^^X^^I|0.03|||||F", astm=astm)
    assert len(of(found, "Observation")) == 1
    assert dict(found.unmapped)["R[2]-4[1].1"] == "profile_ignored"


def test_tests_of_one_specimen_are_orders_of_their_own_in_whatever_message() -> None:
    first, second = (
        next(
            write.identity
            for write in read("R|1|^^^X|1|||||F", head=HEAD.replace("PANEL", code)).writes
            if write.resource["resourceType"] == "ServiceRequest"
        )
        for code in ("A", "B")
    )
    assert first != second


def test_the_first_identifier_that_is_there_says_who_it_is() -> None:
    head = HEAD.replace("P|1|4711", "P|1||L-9|X-7")
    found = read("R|1|^^^X|1|||||F", head=head)
    (patient,) = of(found, "Patient")
    assert [each["value"] for each in patient["identifier"]] == ["L-9"]
    assert dict(found.unmapped)["P[1]-5[1].1"] == "condition_false"


def test_a_result_without_patient_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        read("R|1|^^^X|1|||||F", head=HEAD.replace("P|1|4711\r", ""))
    assert refused.value.reason == "NO_PATIENT_ID"


CONTROLS = {
    "O-12 Q": (HEAD.replace("^^^PANEL", "^^^PANEL|||||||Q"), ()),
    "H-12 Q": (HEAD.replace("|P|LIS2", "|Q|LIS2"), ()),
    "rule of the profile": (HEAD, (QcRule(Place("O", 3), re.compile("^S-")),)),
}


@pytest.mark.parametrize(("head", "rules"), CONTROLS.values(), ids=CONTROLS)
def test_controls_are_apart(head: str, rules: tuple[QcRule, ...]) -> None:
    found = read("R|1|^^^X|1|||||F", head=head, qc=rules)
    assert {w.resource["resourceType"] for w in found.writes} == {
        *("Device", "Specimen", "Observation")
    }


ALL: frozenset[str] = frozenset()
QUERIES = {
    "specimen": ("Q|1|^S-1||ALL", Request((("", "S-1"),), ALL, cancels=False)),
    "patient and specimen": (
        "Q|1|17^S-1||^^^K\\^^^NA",
        Request((("17", "S-1"),), frozenset(("K", "NA")), cancels=False),
    ),
    "several": (
        "Q|1|^S-1\\^S-2||ALL",
        Request((("", "S-1"), ("", "S-2")), ALL, cancels=False),
    ),
    "after rack and position": ("Q|1|^^S-1||ALL", Request((("", "S-1"),), ALL, cancels=False)),
    "everything": ("Q|1|ALL||ALL", Request((), ALL, cancels=False)),
    "taken back": ("Q|1|^S-1||ALL||||||||A", Request((("", "S-1"),), ALL, cancels=True)),
}


@pytest.mark.parametrize(("record", "expected"), QUERIES.values(), ids=QUERIES)
def test_queries(record: str, expected: Request) -> None:
    assert asked(parse(f"H|\\^&\r{record}\rL|1|N\r")) == [expected]
