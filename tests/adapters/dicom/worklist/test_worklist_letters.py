"""Names in the letters that a peer can read."""

from typing import Any

import msgspec
import pytest

from adapters.dicom.dataset import identifier
from adapters.dicom.query.requester import identifier as keys
from adapters.dicom.worklist.find import Asked
from adapters.dicom.worklist.person_names import person_name
from adapters.dicom.worklist.rows import folded

IMPLICIT = "1.2.840.10008.1.2"
REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"

HINDI = {"use": "official", "family": "शर्मा", "given": ["अनिल"]}
LATIN = {"use": "usual", "family": "Sharma", "given": ["Anil"]}
KANJI = {"family": "山田", "given": ["太郎"]}
KANA = {"family": "ヤマダ", "given": ["タロウ"]}
MARKED = [
    {**KANA, "extension": [{"url": REPRESENTATION, "valueCode": "SYL"}]},
    {**KANJI, "extension": [{"url": REPRESENTATION, "valueCode": "IDE"}]},
    {
        "family": "Yamada",
        "given": ["Tarou"],
        "extension": [{"url": REPRESENTATION, "valueCode": "ABC"}],
    },
]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([HINDI], ("शर्मा^अनिल", [])),
        ([LATIN, HINDI], ("शर्मा^अनिल", ["Sharma^Anil"])),
        (MARKED, ("Yamada^Tarou=山田^太郎=ヤマダ^タロウ", [])),
        ([KANJI, KANA], ("=山田^太郎=ヤマダ^タロウ", [])),
        ([{"text": "Ann Lee"}], ("Ann Lee", [])),
        ([{"family": "A^B=C\\D", "given": ["E"]}], ("A B C D^E", [])),
        ([{"use": "old", "family": "Before"}, {"family": "Now"}], ("Now", [])),
        (
            [{"family": "F", "given": ["G", "H", "I"], "prefix": ["P"], "suffix": ["S"]}],
            ("F^G^H I^P^S", []),
        ),
        (None, ("", [])),
    ],
    ids=(
        *("Hindi", "Hindi and Latin", "marked groups", "groups by their letters", "text"),
        *("delimiters", "an old name", "all components", "none"),
    ),
)
def test_fhir_names_are_groups_and_components(names: Any, expected: Any) -> None:
    assert person_name(names) == expected


@pytest.mark.parametrize(
    ("names", "character_set", "expected"),
    [
        ([HINDI], "", ("ISO_IR 192", "शर्मा^अनिल")),
        ([HINDI], "ISO_IR 192", ("ISO_IR 192", "शर्मा^अनिल")),
        ([HINDI], "ISO_IR 100", ("", "Sharma^Anil")),
        ([LATIN, HINDI], "ISO_IR 100", ("", "Sharma^Anil")),
        ([{"family": "Müller"}], "ISO_IR 100", ("ISO_IR 100", "Müller")),
        ([{"family": "Müller"}], "ISO_IR 6", ("", "Muller")),
        ([{"family": "Иванов"}], "ISO_IR 144", ("ISO_IR 144", "Иванов")),
        ([{"family": "Иванов"}], "ISO_IR 100", ("", "Ivanov")),
        (MARKED, "ISO_IR 100", ("", "Yamada^Tarou")),
        (
            MARKED,
            "\\ISO 2022 IR 87",
            ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=ヤマダ^タロウ"),
        ),
        ([KANJI, KANA], "ISO_IR 100", ("", "Yamada^Tarou")),
    ],
)
def test_a_name_reaches_a_peer_in_its_set(
    names: Any, character_set: str, expected: tuple[str, str]
) -> None:
    name, others = person_name(names)
    found = answered({"PatientName": [name], "OtherPatientNames": others}, character_set)
    told = "\\".join(found[0x00080005].values) if 0x00080005 in found else ""
    assert (told, found[0x00100010].values) == (expected[0], (expected[1],))


def test_an_alias_is_no_way_to_write_a_name() -> None:
    told = {"PatientName": ["Yamada^Tarou=山田^太郎"], "OtherPatientNames": ["Smith^John"]}
    assert answered(told, "ISO_IR 100")[0x00100010].values == ("Yamada^Tarou",)


def answered(told: dict[str, Any], character_set: str, *stated: str) -> identifier.Keys:
    given = {key.tag: key for key in keys(None, ["PatientName", *stated])}
    row = (msgspec.json.encode(told).decode(), "{}", "SCHEDULED")
    return identifier.read(Asked(given, IMPLICIT, character_set).answer(row), IMPLICIT)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [("ISO_IR 144", "ISO_IR 144"), ("ISO_IR 100", "ISO_IR 192")],
)
def test_without_a_set_of_the_peer_that_of_the_query_serves_if_it_can(
    stated: str, expected: str
) -> None:
    found = answered({"PatientName": ["Иванов"]}, "", f"SpecificCharacterSet={stated}")
    assert (found[0x00080005].values, found[0x00100010].values) == ((expected,), ("Иванов",))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([HINDI], ["शरमा^अनिल", "sharma^anil"]),
        ([{"use": "official", "family": "शर्मा"}, {"family": "Sarma"}], ["शरमा", "sharma", "sarma"]),
        ([{"family": "Müller"}], ["muller"]),
        ([{"family": "Иванов"}], ["иванов", "ivanov"]),
        ([KANJI, KANA], ["山田^太郎", "ヤマタ^タロウ", "yamada^tarou"]),
    ],
    ids=("Hindi", "two names", "Latin", "Cyrillic", "Japanese"),
)
def test_a_patient_is_looked_for_by_each_name_that_peers_are_told(
    names: Any, expected: list[str]
) -> None:
    name, others = person_name(names)
    assert folded({"PatientName": [name], "OtherPatientNames": others})["PatientName"] == expected
