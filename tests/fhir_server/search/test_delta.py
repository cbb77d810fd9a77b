"""Rows of some parameters taken into, and out of, those that a resource has."""

import pytest

from fhir_server.search.delta import SORT_TABLE, Delta, Present, applied, union
from fhir_server.search.rows import Edge, IndexRows

NOTHING = IndexRows((), (), {})


def sort_row(least: str, greatest: str = "{}") -> dict[str, list[tuple[str, str]]]:
    return {SORT_TABLE: [(least, greatest)]}


TOKEN = IndexRows((5, 6), (), sort_row('{"7":"a"}', '{"7":"b"}'))
DATE = IndexRows((8,), (), {"idx_date": [(9, 1, 2)]})
REFERENCE = IndexRows((3,), (Edge(4, 1, "x", None),), sort_row('{"4":"Patient/x"}'))


@pytest.mark.parametrize(
    ("present", "delta", "sorts", "rows"),
    [
        pytest.param(Present([1]), Delta(DATE), False, ((1, 8), DATE.ranges), id="add"),
        pytest.param(Present([1, 8]), Delta(DATE), False, None, id="there already"),
        pytest.param(Present([1, 8]), Delta(NOTHING, DATE), False, ((1,), {}), id="remove"),
        pytest.param(Present([1]), Delta(NOTHING, DATE), False, ((1,), {}), id="never there"),
        pytest.param(
            Present([1, 5, 6]), Delta(DATE, TOKEN), True, ((1, 8), DATE.ranges), id="both"
        ),
        pytest.param(
            Present([1], {"2": "z"}),
            Delta(TOKEN),
            True,
            ((1, 5, 6), sort_row('{"2":"z","7":"a"}', '{"7":"b"}')),
            id="sort values are joined",
        ),
        pytest.param(
            Present([1, 5, 6], {"2": "z", "7": "a"}, {"7": "b"}),
            Delta(NOTHING, TOKEN),
            True,
            ((1,), sort_row('{"2":"z"}')),
            id="sort values are taken out",
        ),
        pytest.param(
            Present([1], {"2": "z"}),
            Delta(DATE),
            True,
            ((1, 8), DATE.ranges | sort_row('{"2":"z"}')),
            id="sort values stay beside those of others",
        ),
    ],
)
def test_rows_of_other_parameters_stay_as_they_are(
    present: Present, delta: Delta, *, sorts: bool, rows: tuple[object, object] | None
) -> None:
    found = applied(present, delta, sorts=sorts)
    assert (None if found is None else (found.terms, found.ranges)) == rows


def test_the_scopes_are_the_parameters_of_the_rows() -> None:
    assert Delta(union([TOKEN, DATE]), REFERENCE).scopes == {9, 4}


def test_a_union_joins_the_rows_of_all() -> None:
    joined = union([TOKEN, DATE, REFERENCE])
    assert joined == IndexRows(
        (3, 5, 6, 8),
        REFERENCE.edges,
        {"idx_date": [(9, 1, 2)], **sort_row('{"4":"Patient/x","7":"a"}', '{"7":"b"}')},
    )


def test_nothing_is_empty() -> None:
    assert Delta(union([]), union([])).empty
    assert not Delta(NOTHING, DATE).empty
