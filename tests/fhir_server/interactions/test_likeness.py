"""How alike two Patients are, from a small table of pairs."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.interactions.likeness import Level, folded, grade, likeness, person
from fhir_server.match_settings import MatchSettings

SETTINGS = MatchSettings()
MRN, ABHA = "urn:hospital", "https://healthid.ndhm.gov.in"


def patient(
    family: str = "",
    given: str = "",
    born: str = "",
    *,
    gender: str = "",
    phone: str = "",
    mrn: str = "",
    **more: Any,
) -> dict[str, Any]:
    name = {"family": family, "given": [given]}
    found: dict[str, Any] = {"resourceType": "Patient", "birthDate": born, "gender": gender, **more}
    found["name"] = [{k: v for k, v in name.items() if v not in ("", [""])}] if family else []
    found["telecom"] = [{"system": "phone", "value": phone}] if phone else []
    found["identifier"] = [{"system": MRN, "value": mrn}] if mrn else []
    return {k: v for k, v in found.items() if v}


WHOLE = patient("Rao", "Asha", "1980-01-02", gender="female", phone="+91 98765 43210", mrn="P 1")
TWIN = patient("Rao", "Usha", "1980-01-02", gender="female", phone="9876543210")


PAIRS: dict[str, tuple[dict[str, Any], str | None]] = {
    "itself": (WHOLE, "certain"),
    "identifier and name": (patient("RAO", "asha", mrn="p1"), "certain"),
    "identifier alone": (patient(mrn="P1"), "probable"),
    "identifier of somebody else": (patient("Singh", "Ravi", "1975-03-04", mrn="P1"), "possible"),
    "another identifier": (patient("Rao", "Asha", "1980-01-02", mrn="P2"), "probable"),
    "name and telephone in another form": (
        patient("Rao", "Asha", "1980-01-02", phone="09876543210"),
        "certain",
    ),
    "name and birth date": (patient("Rao", "Asha", "1980-01-02"), "probable"),
    "name in other letters": (patient("Rao", "आशा", "1980-01-02"), "probable"),
    "name misspelt": (patient("Raoo", "Ashaa", "1980-01-02", gender="female"), "possible"),
    "names exchanged": (patient("Asha", "Rao", "1980-01-02", gender="female"), "possible"),
    "day and month exchanged": (patient("Rao", "Asha", "1980-02-01"), "possible"),
    "year of birth alone": (patient("Rao", "Asha", "1980"), "possible"),
    "name alone": (patient("Rao", "Asha"), "possible"),
    "name in one text": (
        {"resourceType": "Patient", "name": [{"text": "Asha Rao"}], "birthDate": "1980-01-02"},
        "probable",
    ),
    "twin": (TWIN, "possible"),
    "another sex": (patient("Rao", "Asha", "1980-01-02", gender="male"), "probable"),
    "family name alone": (patient("Rao"), None),
    "birth date alone": (patient(born="1980-01-02"), "possible"),
    "birth date of another": (patient("Singh", "Ravi", "1980-01-02"), None),
    "nothing alike": (patient("Singh", "Ravi", "1975-03-04"), None),
}


def graded(one: dict[str, Any], other: dict[str, Any]) -> str | None:
    return grade(SETTINGS, likeness(SETTINGS, person(one), person(other)))


@pytest.mark.parametrize(("other", "expected"), PAIRS.values(), ids=PAIRS)
def test_pair_is_graded_alike_from_both_sides(other: dict[str, Any], expected: str | None) -> None:
    assert (graded(WHOLE, other), graded(other, WHOLE)) == (expected, expected)


@pytest.mark.parametrize(
    ("one", "other", "level"),
    [
        ("Lakshmi", "Laxmi", Level.ALIKE),
        ("Mohammed", "Muhammad", Level.ALIKE),
        ("Srinivas", "Shrinivas", Level.ALIKE),
        ("Asha", "A.", Level.ALIKE),
        ("Asha", "Usha", Level.DIFFERS),
        ("Kaur", "Singh", Level.DIFFERS),
    ],
)
def test_given_names_are_alike_by_letters_and_sound(one: str, other: str, level: Level) -> None:
    found = likeness(SETTINGS, person(patient("Rao", one)), person(patient("Rao", other)))
    assert found.levels == {"family": Level.AGREES, "given": level}


NAMES = st.sampled_from(("Rao", "Row", "Asha", "Lakshmi", "Laxmi", "Mohammed", "Muhammad", "Li"))


@given(family=NAMES, first=NAMES, other=NAMES, sex=st.sampled_from(("female", "male", "")))
def test_names_and_sex_alone_are_never_certain_nor_probable(
    family: str, first: str, other: str, sex: str
) -> None:
    one = patient(family, first, gender=sex)
    assert graded(one, patient(family, other, gender=sex)) in {"possible", None}
    assert graded(one, one) == "possible"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("D'Souza", "dsouza"), ("Müller", "muller"), ("आशा", "asa"), ("  ", ""), (None, "")],
)
def test_names_are_compared_in_small_latin_letters(text: object, expected: str) -> None:
    assert folded(text) == expected


def test_of_endless_names_no_more_is_compared_than_of_others() -> None:
    """Else who stores one and describes it holds everybody up: letters times letters."""
    endless = patient("r" * 100_000, "b", name=[{"family": "r" * 100_000, "given": ["b"] * 5_000}])
    found = person(endless)
    assert (found.families, found.givens) == (frozenset(["r" * 64]), frozenset("b"))
    many = " ".join(f"w{n}" for n in range(5_000))
    for name in ({"text": many}, {"family": many, "given": [many] * 9}):
        found = person({**endless, "name": [name] * 20})
        assert found.families == found.givens == {f"w{n}" for n in range(20)}
