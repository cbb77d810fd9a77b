"""What a version of a SearchParameter makes of what is known of its earlier ones."""

import pytest

from fhir_server.interactions.search_parameter import Plan, plan
from fhir_server.search.parameter import Parameter
from fhir_server.store.coverage import Coverage


def parameter(expression: str, id_: int = 0, code: str = "a") -> Parameter:
    return Parameter(id_, "Patient", code, "token", "urn:a", expression)


def known(id_: int, state: str, expression: str) -> Coverage:
    return Coverage(id_, 1, 1, state, None, parameter(expression, id_))


A, B = parameter("a"), parameter("b")
RENAMED = parameter("a", code="other")

CASES = [
    pytest.param([], [A], Plan(new=[A]), id="a new one is to be indexed"),
    pytest.param([known(1, "complete", "a")], [A], Plan(), id="the same changes nothing"),
    pytest.param(
        [known(1, "complete", "a")],
        [RENAMED],
        Plan(kept=[(1, parameter("a", 1, "other"))]),
        id="another code has the same rows",
    ),
    pytest.param(
        [known(1, "complete", "a")], [B], Plan(new=[B]), id="the old one stays in force meanwhile"
    ),
    pytest.param(
        [known(1, "complete", "a"), known(2, "indexing", "b")],
        [A],
        Plan(dropped=[2]),
        id="back to the one in force",
    ),
    pytest.param(
        [known(1, "complete", "a"), known(2, "failed", "b")],
        [parameter("c")],
        Plan(new=[parameter("c")], dropped=[2]),
        id="one that was never in force goes at once",
    ),
    pytest.param(
        [known(1, "complete", "a"), known(2, "pending", "b")],
        [],
        Plan(retired=[1], dropped=[2]),
        id="no longer active",
    ),
    pytest.param(
        [known(1, "retired", "a")],
        [A],
        Plan(kept=[(1, parameter("a", 1))], revived=[1]),
        id="active again before its rows are gone",
    ),
    pytest.param(
        [known(1, "dropping", "a")], [A], Plan(new=[A]), id="active again when they are going"
    ),
    pytest.param(
        [known(1, "retired", "a"), known(2, "complete", "b")],
        [A],
        Plan(kept=[(1, parameter("a", 1))], revived=[1], retired=[2]),
        id="back to the one before",
    ),
]


@pytest.mark.parametrize(("found", "wanted", "planned"), CASES)
def test_the_searchable_one_stays_until_another_is(
    found: list[Coverage], wanted: list[Parameter], planned: Plan
) -> None:
    assert plan(found, wanted) == planned
