from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhir_server.errors import BadRequest
from fhir_server.search.context import Context
from fhir_server.search.number import after, order_key, precision

from .matching import Json, finds, query

DECIMALS = st.decimals(allow_nan=False, allow_infinity=False) | st.builds(
    lambda digits, places: Decimal(digits).scaleb(places),
    st.integers(-1200, 1200),
    st.integers(-3, 3),
)


@given(left=DECIMALS, right=DECIMALS)
def test_order_keys_sort_as_the_numbers_do(left: Decimal, right: Decimal) -> None:
    low, high = order_key(left), order_key(right)
    assert (low < high) is (left < right)
    assert (low == high) is (left == right)
    assert (after(low) <= high) is (left < right)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("100", "99.5", "100.5"),
        ("100.00", "99.995", "100.005"),
        ("5.40e-3", "0.005395", "0.005405"),
        ("1e2", "95", "105"),
        ("1.0e2", "95", "105"),
        ("-2", "-2.5", "-1.5"),
        ("0", "-0.5", "0.5"),
    ],
)
def test_the_implicit_range_is_half_a_unit_of_the_last_digit(
    text: str, low: str, high: str
) -> None:
    assert precision(text, Decimal(text), Context()) == (Decimal(low), Decimal(high))


def test_exponent_precision_may_follow_the_digits() -> None:
    by_digits = Context(exponent_by_digits=True)
    assert precision("1e2", Decimal("1e2"), by_digits) == (Decimal(50), Decimal(150))


def risk(probability: object) -> Json:
    name = "probabilityRange" if isinstance(probability, dict) else "probabilityDecimal"
    return {"resourceType": "RiskAssessment", "prediction": [{name: probability}]}


EXACT, NEAR, ABOVE = risk(Decimal("5.0")), risk(Decimal("5.4")), risk(Decimal("5.5"))
RANGE = risk({"low": {"value": 4}, "high": {"value": Decimal("5.0")}})
OPEN = risk({"low": {"value": 5}})


@pytest.mark.parametrize(
    ("value", "exact", "near", "above", "range_", "open_"),
    [
        ("5", True, True, False, False, False),
        ("5.0", True, False, False, False, False),
        ("ne5", False, False, True, True, True),
        ("gt5", False, True, True, False, True),
        ("lt5", False, False, False, True, False),
        ("ge5", True, True, True, True, True),
        ("le5", True, False, False, True, True),
        ("sa5", False, True, True, False, False),
        ("sa4", True, True, True, False, True),
        ("eb5", False, False, False, False, False),
        ("eb5.1", True, False, False, True, False),
        ("ap5", True, True, True, True, True),
        ("ap5.6", False, True, True, False, True),
    ],
)
def test_prefixes(
    value: str, *, exact: bool, near: bool, above: bool, range_: bool, open_: bool
) -> None:
    found = [finds(f"probability={value}", one) for one in (EXACT, NEAR, ABOVE, RANGE, OPEN)]
    assert found == [exact, near, above, range_, open_]


def window(start: int) -> Json:
    return {"resourceType": "MolecularSequence", "referenceSeq": {"windowStart": start}}


WIDE = risk({"low": {"value": 95}, "high": {"value": Decimal("104.9")}})
UPTO = risk({"high": {"value": 5}})


@pytest.mark.parametrize(
    ("text", "stored", "expected"),
    [
        # Half a unit of the last written digit: `100` is [99.5, 100.5), `100.00` is narrower.
        ("probability=100", risk(Decimal("99.5")), True),
        ("probability=100", risk(Decimal("99.49")), False),
        ("probability=100", risk(Decimal("100.49")), True),
        ("probability=100", risk(Decimal("100.5")), False),
        ("probability=100.00", risk(Decimal("99.995")), True),
        ("probability=100.00", risk(Decimal("99.99")), False),
        ("probability=100.00", risk(Decimal("100.005")), False),
        ("probability=100.00", risk(Decimal(100)), True),
        ("probability=ne100", risk(Decimal("100.4")), False),
        ("probability=ne100.00", risk(Decimal("100.4")), True),
        # An exponent without a point: [95, 105).
        ("probability=1e2", risk(Decimal(95)), True),
        ("probability=1E2", risk(Decimal("104.99")), True),
        ("probability=1e%2B2", risk(Decimal(105)), False),
        ("probability=1e2", risk(Decimal(94)), False),
        ("probability=1.0e2", risk(Decimal(105)), False),
        ("probability=1.00e2", risk(Decimal(101)), False),
        ("probability=1e-2", risk(Decimal("0.0104")), True),
        ("probability=1e-2", risk(Decimal("0.0105")), False),
        ("probability=1e2", WIDE, True),
        # Below zero the lower end belongs to the range too.
        ("probability=-5", risk(Decimal("-5.5")), True),
        ("probability=-5", risk(Decimal("-4.5")), False),
        ("probability=0", risk(Decimal("-0.5")), True),
        ("probability=0.0", risk(Decimal("-0.5")), False),
        # With another prefix the number is exact.
        ("probability=gt100", risk(Decimal("100.001")), True),
        ("probability=gt100.00", risk(Decimal(100)), False),
        ("probability=ge100", risk(Decimal("99.9")), False),
        ("probability=le100", risk(Decimal("100.1")), False),
        ("probability=sa100", risk(Decimal("100.0000000001")), True),
        ("probability=eb100", risk(Decimal("99.9999999999")), True),
        # Ten per cent of the value, to both sides, the ends included.
        ("probability=ap100", risk(Decimal(90)), True),
        ("probability=ap100", risk(Decimal(110)), True),
        ("probability=ap100", risk(Decimal("89.99")), False),
        ("probability=ap-100", risk(Decimal(-110)), True),
        ("probability=ap-100", risk(Decimal(-111)), False),
        ("probability=ap0", risk(Decimal(0)), True),
        ("probability=ap0", risk(Decimal("0.1")), False),
        # A range that is open below.
        ("probability=5", UPTO, False),
        ("probability=ne5", UPTO, True),
        ("probability=gt5", UPTO, False),
        ("probability=ge5", UPTO, True),
        ("probability=lt-1000", UPTO, True),
        ("probability=le-1000", UPTO, True),
        ("probability=sa-1000", UPTO, False),
        ("probability=eb5", UPTO, False),
        ("probability=eb5.1", UPTO, True),
        ("probability=ap-1000", UPTO, True),
        ("probability=ap6", UPTO, False),
        ("probability=1e400", risk(Decimal("1e400")), True),
        ("probability=1e400", risk(Decimal("1.2e400")), False),
        ("probability=lt1e400", risk(Decimal("9e399")), True),
        # Integers are equal exactly, however the number is written.
        ("window-start=100", window(100), True),
        ("window-start=100.0", window(100), True),
        ("window-start=1e2", window(100), True),
        ("window-start=1e2", window(97), False),
        ("window-start=ne1e2", window(97), True),
        ("window-start=ne1e2", window(100), False),
        ("window-start=100.4", window(100), False),
        ("window-start=ge100.4", window(100), False),
        ("window-start=le100.4", window(100), True),
        ("window-start=ap95", window(100), True),
    ],
)
def test_numbers(text: str, stored: Json, *, expected: bool) -> None:
    assert finds(text, stored) is expected


def test_a_number_of_any_size_is_searchable() -> None:
    assert finds("probability=gt1e399", risk(Decimal("1e400")))
    assert not finds("probability=gt1e401", risk(Decimal("1e400")))
    assert finds("probability=lt-1e-300", risk(Decimal("-1e-299")))


@pytest.mark.parametrize("text", ["", "five", "1.", ".5", "1e", "1e99999", "1 ", "५", "0x5", "NaN"])
def test_what_is_not_a_number_is_refused(text: str) -> None:
    with pytest.raises(BadRequest) as refused:
        query("RiskAssessment", f"probability=eq{text}")
    assert refused.value.issues[0].code == "value"
    assert refused.value.issues[0].expression == "probability"
