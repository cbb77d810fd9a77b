"""Profiles read, and what their writers are told."""

import pytest

from adapters.hl7.mapping.sender_rules import Place
from adapters.hl7.profiles.model import place_of, target_of
from adapters.hl7.profiles.read import Unusable, read, together


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "a.toml: version: this key is missing"),
        ("version=", "a.toml: this is no TOML: Invalid value (at end of document)"),
        ("version='1'\nzone='UTC'", "a.toml: zone: there is no such key; write one of"),
        ("version='1'\nquirk=[]", "a.toml: quirk: there is no such key; did you mean quirks?"),
        (
            "version='1'\n[match]\nchanels=['a']",
            "a.toml: match.chanels: there is no such key; did you mean channels?",
        ),
        (
            "version='1'\n[astm.positions]\nresult='R-4'",
            "a.toml: astm.positions.result: write 'patient_id', ",
        ),
        (
            "version='1'\n[match]\naddresses=['10.0.0.0/33']",
            "a.toml: match.addresses[0]: value is not a valid IPv4 or IPv6 network",
        ),
        (
            "version='1'\n[time]\nzone='Asia/Bombay'",
            "a.toml: time.zone: write an IANA zone such as Asia/Kolkata",
        ),
        (
            "version='1'\n[text]\nfallback='cp99'",
            "a.toml: text.fallback: write a codec of Python such as cp1252",
        ),
        (
            "version='1'\n[text]\ncharset='EBCDIC'",
            "a.toml: text.charset: write a value of MSH-18 that is supported",
        ),
        (
            "version='1'\n[codes.OBX-3]\nGLU='2345-7'",
            "a.toml: codes.OBX-3.GLU: write code^display^system, such as",
        ),
        (
            "version='1'\n[units]\n'gm/x'='gm/x'",
            "a.toml: units.gm/x: this is no UCUM code; write one such as mg/dL",
        ),
        (
            "version='1'\n[[quirks]]\ndo='copy'\nfrom='OBX-3'",
            "a.toml: quirks[0]: copy also needs to",
        ),
        (
            "version='1'\n[[quirks]]\ndo='drop'\nat='obx3'",
            "a.toml: quirks[0].at: write a place such as OBX-3, PID-3.1 or ZPI-2",
        ),
        (
            "version='1'\n[[qc]]\nat='PID-3.1'\nmatches='('",
            "a.toml: qc[0].matches: this is no regular expression of RE2 (missing ): ()",
        ),
        (
            "version='1'\n[match]\npattern='LIS(?=.)'",
            "a.toml: match.pattern: this is no regular expression of RE2 (invalid perl operator",
        ),
        (
            "version='1'\nsender='a b'",
            "a.toml: sender: write letters, digits",
        ),
        (
            "version='1'\n[tables.9999]\nA='B'",
            "a.toml: tables.9999 is not read; write one of 0001,",
        ),
        (
            "version='1'\n[astm]\nrole='client'",
            "a.toml: astm: a client needs the address of the analyzer",
        ),
        (
            "version='1'\n[[critical.values]]\ncode='K'",
            "critical.values[0]: a critical value needs",
        ),
    ],
    ids=lambda value: value.splitlines()[-1] if "\n" in value else None,
)
def test_what_is_wrong_names_file_key_and_what_to_write(text: str, problem: str) -> None:
    with pytest.raises(Unusable) as caught:
        read("a.toml", text.encode())
    assert problem in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(Unusable) as caught:
        read("a.toml", b"sendr='x'\n[time]\nzone='Mars/Dome'")
    assert [one.key for one in caught.value.problems] == ["version", "time.zone", "sendr"]


@pytest.mark.parametrize("name", ["a b.toml", "a/b.toml", ".toml"])
def test_file_name_is_part_of_uris(name: str) -> None:
    with pytest.raises(Unusable):
        read(name, b"version='1'")


def test_file_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(Unusable, match="save the file as UTF-8"):
        read("a.toml", b"version='\xff'")


def test_hostile_nesting_is_a_problem_like_any_other() -> None:
    with pytest.raises(Unusable, match="nested too deeply"):
        read("a.toml", b"version = " + b"[" * 5000)


def test_label_tells_name_version_and_content() -> None:
    one, other = read("a.toml", b"version='1'"), read("a.toml", b"version='1' ")
    assert one.label.split()[:2] == ["a", "1"]
    assert one.fingerprint != other.fingerprint


def test_sender_is_the_file_unless_it_is_named() -> None:
    assert read("a.toml", b"version='1'").sender == "a"
    assert read("a.toml", b"version='1'\nsender='LIS-LAB'").sender == "LIS-LAB"


def test_two_profiles_of_one_sender_are_told() -> None:
    one, other = read("a.toml", b"version='1'"), read("b.toml", b"version='1'\nsender='a'")
    found = together([one, other])
    assert found.by_sender == {"a": one}
    assert [str(problem) for problem in found.problems] == [
        "b.toml: sender: a is the sender of a.toml already; write another name"
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("OBX-3", Place("OBX", 3)),
        ("PID-3.4.2", Place("PID", 3, 4, 2)),
        ("ZPI-12.1", Place("ZPI", 12, 1)),
        ("R-3.4", Place("R", 3, 4)),
    ],
)
def test_place_is_read_and_written(text: str, place: Place) -> None:
    assert place_of(text) == place
    assert str(place) == text


@pytest.mark.parametrize("text", ["", "OBX", "OBX-0", "OBX-3.0", "OBX-3.1.1.1", "obx-3", "OBXX-3"])
def test_other_text_is_no_place(text: str) -> None:
    with pytest.raises(ValueError, match="write a place"):
        place_of(text)


def test_target_has_the_system_of_table_0396_or_a_url() -> None:
    assert target_of("2345-7^Glucose^LN") == ("http://loinc.org", "2345-7", "Glucose")
    assert target_of("1^One^urn:oid:1.2.3") == ("urn:oid:1.2.3", "1", "One")
