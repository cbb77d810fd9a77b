"""Spellings of units that laboratories use, and what they must not be taken for."""

import pytest

from adapters.hl7.mapping import units
from adapters.hl7.mapping.units import is_ucum, members, ucum


@pytest.mark.parametrize("code", [*units._SPELLINGS, *units._ANY_CAPITALS.split()])  # noqa: SLF001
def test_every_code_that_is_given_is_ucum(code: str) -> None:
    assert is_ucum(code)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Thou/cumm", "10*3/uL"), ("x 10³ / µL", "10*3/uL"), ("10^3/mm3", "10*3/uL"),
        ("10⁹/L", "10*9/L"),
        ("10¹²/L", "10*12/L"), ("kg/m²", "kg/m2"),
        ("mill/cumm", "10*6/uL"), ("Million/cu.mm", "10*6/uL"), ("Lakhs / cumm", "10*5/uL"),
        ("lac/cumm", "10*5/uL"), ("Cells/cu.mm", "{cells}/uL"), ("/cumm", "/uL"),
        ("Gms%", "g/dL"), ("mg%", "mg/dL"), ("mgm/dl", "mg/dL"), ("Mg/dL", "mg/dL"),
        ("µIU/ml", "u[IU]/mL"), ("IU/ml", "[IU]/mL"), ("u/l", "U/L"), ("mEq/lt", "meq/L"),
        ("mm / 1st Hour", "mm/h"), ("Seconds", "s"), ("mmHg", "mm[Hg]"), ("°C", "Cel"),
        ("ml/min/1.73 m²", "mL/min/{1.73_m2}"), ("mg/24 hrs", "mg/(24.h)"), ("INR", "{INR}"),
        ("Lakhs/cmm", "10*5/uL"), ("cells/c.mm", "{cells}/uL"), ("10^3/mcL", "10*3/uL"),
        ("mill/cu.mm.", "10*6/uL"), ("mmol/Litre", "mmol/L"), ("mm/1st hr.", "mm/h"),
        ("Gm", "g"), ("mcIU/mL", "u[IU]/mL"), ("kg/m^2", "kg/m2"), ("GBq", "GBq"),
        ("gm/l", "g/L"), ("mcg/mg creatinine", "ug/mg{creat}"), ("copies/mL", "{copies}/mL"),
    ],
)  # fmt: skip
def test_usual_spellings(text: str, code: str) -> None:
    assert ucum(text) == code


@pytest.mark.parametrize(
    ("text", "code"), [("g/L", "g/L"), ("G/L", "10*9/L"), ("T/L", "10*12/L"), ("M/uL", "10*6/uL")]
)
def test_capitals_that_mean_something_count(text: str, code: str) -> None:
    assert ucum(text) == code


@pytest.mark.parametrize(
    "text",
    ["MU/L", "Gm/mL", "Mmol", "pH", "AU/mL", "PT", "IU", "cc", "x" * 200, "mg/dL\nmg", "1/x"],
)
def test_what_ucum_would_take_for_another_unit_gets_no_code(text: str) -> None:
    assert ucum(text) == ""


def test_declared_code_of_ucum_is_taken_as_it_is() -> None:
    assert members("pico", "pH", declared=True)["code"] == "pH"
    assert members("x", "no such", declared=True) == {"unit": "x"}


def test_agreed_code_comes_before_the_usual_one_and_may_be_none() -> None:
    assert members("C", agreed={"C": "Cel"})["code"] == "Cel"
    assert members("mg/dL", agreed={"mg/dL": ""}) == {"unit": "mg/dL"}
