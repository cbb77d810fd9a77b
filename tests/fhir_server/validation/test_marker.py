"""No issue quotes what a resource says, whatever is wrong with it."""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from tests.fhir_server.validation.test_mutations import MUTATIONS, VALID, VALIDATOR

MARK = "Zaphod Marker"


def leaves(data: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each place of a value that is no object and no list: its holder and key."""
    for key, value in list(data.items() if isinstance(data, dict) else enumerate(data)):
        if isinstance(value, dict | list):
            yield from leaves(value)
        elif key != "resourceType":
            yield data, key


def issues(data: Any) -> str:
    found = VALIDATOR.judge(data["resourceType"], data, warnings=True, advice=True).issues
    return repr(found)


@pytest.mark.parametrize("name", VALID)
def test_a_mark_at_any_leaf_is_not_quoted(name: str) -> None:
    count = 0
    for at in range(len(list(leaves(VALID[name])))):
        data = deepcopy(VALID[name])
        holder, key = list(leaves(data))[at]
        holder[key] = MARK
        count += MARK in issues(data)
        holder[key] = {MARK: MARK}
        count += MARK in issues(data)
    assert count == 0


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_defect_beside_marks_quotes_none(name: str) -> None:
    type_name, change, _ = MUTATIONS[name]
    data = deepcopy(VALID[type_name])
    change(data)
    for holder, key in list(leaves(data)):
        if isinstance(holder[key], str) and len(holder[key]) < 100:
            holder[key] = f"{holder[key]}{MARK}"
    found = issues(data)
    assert "Issue(" in found
    assert MARK not in found
