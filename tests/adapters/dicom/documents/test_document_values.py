"""Values of content items."""

import pytest

from adapters.dicom.documents.values import decimal


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("1.40", "1.40"),
        ("+3", "3"),
        (".5", "0.5"),
        ("-007.10", "-7.10"),
        ("1e-3", "0.001"),
        ("1,5", "None"),
        ("1e+400", "None"),
        ("NaN", "None"),
        ("", "None"),
        ("٣", "None"),
    ],
)
def test_decimal_strings_keep_their_digits(sent: str, expected: str) -> None:
    assert str(decimal(sent)) == expected
