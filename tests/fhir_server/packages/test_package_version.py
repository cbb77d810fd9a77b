"""Versions of packages in order, and which one is meant."""

import pytest

from fhir_server.errors import BadRequest
from fhir_server.packages.dependencies import BUILT_IN
from fhir_server.packages.version import best, is_version, order
from fhir_server.vocabulary.artefact import Artefact

ASCENDING = [
    "0.9",
    "1.0.0-1",
    "1.0.0-2",
    "1.0.0-10",
    "1.0.0-ballot",
    "1.0.0-ballot.2",
    "1.0.0-snapshot",
    "1.0.0",
    "1.0.1",
    "1.2.9",
    "1.2.10",
    "2.0.0",
    "10.0.0",
]


def test_versions_are_ordered_by_their_numbers_and_labels() -> None:
    assert sorted(sorted(ASCENDING), key=order) == ASCENDING


def test_zeros_and_builds_make_no_difference() -> None:
    assert order("1.0") == order("1.0.0") == order("1.0.0+20250101")


@pytest.mark.parametrize("text", ["", "1.", "x", "1.x", "1.0.0-", "../1", "1.0.0 ", "current"])
def test_what_is_no_version(text: str) -> None:
    assert not is_version(text)


KNOWN = ["5.1.0", "5.2.0", "5.2.9", "5.2.10", "5.2.11-ballot", "6.0.0", "6.0.0-ballot"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("5.2.9", "5.2.9"),
        ("5.2.x", "5.2.10"),
        ("5.2.X", "5.2.10"),
        ("5.x", "5.2.10"),
        ("*", "6.0.0"),
        ("6.0.0-ballot", "6.0.0-ballot"),
        ("6.0", "6.0.0"),
        ("5.3.x", None),
        ("5.2.1", None),
        ("7.0.0", None),
    ],
)
def test_a_range_takes_the_highest_release_in_it(wanted: str, found: str | None) -> None:
    assert best(wanted, KNOWN) == found


@pytest.mark.parametrize("wanted", ["current", "current$branch", "dev", "latest"])
def test_what_moves_is_no_version(wanted: str) -> None:
    with pytest.raises(BadRequest, match="names no version"):
        best(wanted, KNOWN)


@pytest.mark.parametrize("wanted", ["", "^5.2.0", ">=5", "5.2.x.1", "x.5", "http://a.example/b"])
def test_other_ranges_are_refused(wanted: str) -> None:
    with pytest.raises(BadRequest, match="neither a version nor a range"):
        best(wanted, KNOWN)


def test_what_is_built_in_is_what_the_artefact_holds() -> None:
    assert {f"{name}-{version}" for name, version in BUILT_IN.items()} == set(
        Artefact().index.packages
    )
