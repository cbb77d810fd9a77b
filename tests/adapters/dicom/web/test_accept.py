import pytest

from adapters.dicom.web.accept import ANY, Range, accepted, chosen

DICOM = "application/dicom"

RANGES = [
    ("", [Range(ANY)]),
    ("*/*", [Range(ANY)]),
    ("application/dicom", [Range(DICOM)]),
    ('multipart/related; type="application/dicom"', [Range(DICOM, True)]),
    ("multipart/related;type=application/dicom", [Range(DICOM, True)]),
    ("Multipart/Related; Type=Application/DICOM", [Range(DICOM, True)]),
    ("multipart/related", [Range(ANY, True)]),
    (
        'multipart/related; type="image/jls"; transfer-syntax=1.2; boundary=x; q=0.5',
        [Range("image/jls", True, "1.2", 0.5)],
    ),
    (
        "image/png;q=0.1, image/*;q=0.9",
        [Range("image/*", quality=0.9), Range("image/png", quality=0.1)],
    ),
    ("image/png, image/jpeg", [Range("image/png"), Range("image/jpeg")]),
    ("nonsense, image/png, ;;, image/gif;q=2", [Range("image/png")]),
    ('multipart/related; type="a/b,c"', [Range("a/b,c", True)]),
    ('image/png, a/b; x="c, image/jpeg', [Range("image/png")]),
    ('image/png, a/b; x="c\\", image/jpeg\\', [Range("image/png")]),
]  # fmt: skip


@pytest.mark.parametrize(("header", "expected"), RANGES, ids=[one for one, _ in RANGES])
def test_ranges_of_a_header(header: str, expected: list[Range]) -> None:
    assert accepted(header) == tuple(expected)


def test_the_query_goes_before_the_header_and_may_have_lost_its_plus() -> None:
    assert accepted("text/html", "application/dicom json") == (Range("application/dicom+json"),)


OFFERED = [("image/jpeg", False), ("image/png", False), (DICOM, True)]
CHOICES = [
    ("*/*", ("image/jpeg", False)),
    ("image/*", ("image/jpeg", False)),
    ("image/png", ("image/png", False)),
    ("image/*;q=0.5, image/png", ("image/png", False)),
    ("*/*, image/jpeg;q=0", ("image/png", False)),
    ("multipart/related", (DICOM, True)),
    ('multipart/related; type="image/png", image/png;q=0.1', ("image/png", False)),
    ("application/dicom", None),
    ("image/png;q=0", None),
]


@pytest.mark.parametrize(("header", "expected"), CHOICES, ids=[one for one, _ in CHOICES])
def test_the_best_range_that_is_offered_is_chosen(
    header: str, expected: tuple[str, bool] | None
) -> None:
    assert chosen(accepted(header), OFFERED) == expected
