from decimal import Decimal
from fractions import Fraction

import pytest

from terminology.ucum.unit import unit


@pytest.mark.parametrize(
    ("code", "dimension", "factor"),
    [
        ("mg/dL", "g1.m-3", Fraction(10)),
        ("g/L", "g1.m-3", Fraction(1000)),
        ("10*3/uL", "m-3", Fraction(10**12)),
        ("/min", "s-1", Fraction(1, 60)),
        ("%", "", Fraction(1, 100)),
        ("{score}", "", Fraction(1)),
        ("mm[Hg]", "g1.m-1.s-2", Fraction(133322)),
        ("kg/m2", "g1.m-2", Fraction(1000)),
        ("[in_i]", "m1", Fraction(254, 10000)),
        ("[IU]/mL", "[iU]1.m-3", Fraction(10**6)),
        ("B[SPL]", "B[SPL]1", Fraction(1)),
    ],
)
def test_units_are_exact_multiples_of_base_units(
    code: str, dimension: str, factor: Fraction
) -> None:
    found = unit(code)
    assert found is not None
    assert (found.dimension, found.factor) == (dimension, factor)


def test_temperature_scales_have_an_offset() -> None:
    celsius, fahrenheit = unit("Cel"), unit("[degF]")
    assert celsius is not None
    assert fahrenheit is not None
    assert celsius.canonical(Decimal(37)) == fahrenheit.canonical(Decimal("98.6"))
    assert celsius.canonical(Decimal(-40)) == fahrenheit.canonical(Decimal(-40))


@pytest.mark.parametrize("code", ["", "xyz", "µg", "mg/", "(((m99)99)99)99", "m" * 101, "mg\n"])
def test_what_ucum_does_not_know_is_none(code: str) -> None:
    assert unit(code) is None
