from typing import cast

import pytest

from adapters.hl7.mapping.units import UCUM, members, parts, ucum
from adapters.hl7.message.tokenizer import Repetition


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("10^3/uL", "10*3/uL"), ("K/uL", "10*3/uL"), ("x10^3/µL", "10*3/uL"),
        ("10*3/uL", "10*3/uL"), ("10^9/L", "10*9/L"), ("10^6/uL", "10*6/uL"),
        ("million/cumm", "10*6/uL"), ("lakh/cumm", "10*5/uL"), ("lakhs/cumm", "10*5/uL"),
        ("cells/cumm", "{cells}/uL"), ("mg/dl", "mg/dL"), ("gm/dL", "g/dL"), ("g%", "g/dL"),
        ("gm%", "g/dL"), ("mmol/l", "mmol/L"), ("IU/L", "[IU]/L"), ("uIU/mL", "u[IU]/mL"),
        ("mIU/mL", "m[IU]/mL"), ("mcg/dL", "ug/dL"), ("µg/dL", "ug/dL"), ("mEq/L", "meq/L"),
        ("mm/hr", "mm/h"), ("mm/1st hr", "mm/h"), ("sec", "s"), ("fl", "fL"), ("/HPF", "/[HPF]"),
        ("%", "%"), ("g/L", "g/L"), ("U/L", "U/L"), ("pg", "pg"), ("mm[Hg]", "mm[Hg]"),
        ("mL/min/{1.73_m2}", "mL/min/{1.73_m2}"), ("MG/DL", "mg/dL"), ("FL", "fL"),
        ("G/L", "10*9/L"), ("T/L", "10*12/L"), ("Cel", "Cel"), ("kg/m2", "kg/m2"),
        ("ug/dl", "ug/dL"), ("dl", "dL"), ("a", "a"),
    ],
)  # fmt: skip
def test_units_as_laboratories_write_them(text: str, code: str) -> None:
    assert ucum(text) == code


@pytest.mark.parametrize(
    "text", ["Ct", "C", "K", "F", "index", "mg/", "mg//dL", "RLU", "S/CO", "mg/dLx", "Units"]
)
def test_unknown_units_get_no_code(text: str) -> None:
    assert ucum(text) == ""
    assert members(text) == {"unit": text}


def test_unit_stays_as_sent_beside_its_code() -> None:
    assert members("gm/dL") == {"unit": "gm/dL", "system": UCUM, "code": "g/dL"}
    assert members("") == {}


class Parts:
    """Components of OBX-6, read as those of a message are."""

    def __init__(self, text: str) -> None:
        self.all = text.split("^")

    def peek(self, component: int) -> str:
        return self.all[component - 1] if component <= len(self.all) else ""


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("10*3/uL^10*3/uL^UCUM", ("10*3/uL", "10*3/uL", "UCUM")),
        ("10e3/uL^10e3/uL^L", ("10e3/uL", "10e3/uL", "L")),
        ("thou/uL^1000/uL^L", ("thou/uL", "1000/uL", "L")),
        ("10*3/uL^10^3/uL^UCUM", ("10*3/uL", "10^3/uL", "UCUM")),
        ("10^3/uL", ("10^3/uL", "", "")),
        ("kg/m^2", ("kg/m^2", "", "")),
    ],
)
def test_a_power_is_put_together_and_a_name_that_is_one_is_left(
    sent: str, read: tuple[str, str, str]
) -> None:
    assert parts(cast("Repetition", Parts(sent))) == read
