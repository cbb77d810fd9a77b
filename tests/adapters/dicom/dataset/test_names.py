import pytest

from adapters.dicom.dataset.names import display, families, human_names

REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"


def test_five_components_make_one_name() -> None:
    assert human_names("Adams^John Robert^Quincy^Rev.^B.A. M.Div.") == [
        {
            "family": "Adams",
            "given": ["John Robert", "Quincy"],
            "prefix": ["Rev."],
            "suffix": ["B.A. M.Div."],
        }
    ]


def test_three_groups_make_three_names() -> None:
    assert human_names("Yamada^Tarou=山田^太郎=やまだ^たろう") == [
        {
            "family": "Yamada",
            "given": ["Tarou"],
            "extension": [{"url": REPRESENTATION, "valueCode": "ABC"}],
        },
        {
            "family": "山田",
            "given": ["太郎"],
            "extension": [{"url": REPRESENTATION, "valueCode": "IDE"}],
        },
        {
            "family": "やまだ",
            "given": ["たろう"],
            "extension": [{"url": REPRESENTATION, "valueCode": "SYL"}],
        },
    ]


def test_a_single_group_is_not_marked() -> None:
    assert human_names("=山田^太郎") == [{"family": "山田", "given": ["太郎"]}]


@pytest.mark.parametrize("value", ["", "^", "^^^^", "==", " ^ =^"])
def test_an_empty_name_is_none(value: str) -> None:
    assert human_names(value) == []
    assert display(value) == ""


def test_a_name_is_shown_as_it_is_read() -> None:
    assert display("Adams^John^Quincy^Rev.^B.A.") == "Rev. John Quincy Adams B.A."
    assert display("ADAMS") == "ADAMS"


def test_families_are_compared_without_case_accents_and_punctuation() -> None:
    assert families("Müller-Lüdenscheidt^X") == families("MULLER LUDENSCHEIDT^Y")
    assert families("Yamada=山田") == {"yamada", "山田"}
