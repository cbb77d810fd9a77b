import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.hl7.mapping.context import Refusal
from adapters.hl7.message.reasons import PARTIAL, REASONS

ROOT = Path(__file__).parents[4] / "adapters" / "hl7"
# The argument that is the reason, by what is called.
_PLACES = {"Refusal": 0, "Finding": 2, "_leftover": 1}


def used() -> Iterator[tuple[str, str]]:
    """Yield (place, reason) of every reason that is written in the adapter."""
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                for found in _said(node):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", found


def _said(call: ast.Call) -> Iterator[str]:
    name = call.func.id if isinstance(call.func, ast.Name) else ""
    given = [one.value for one in call.keywords if one.arg == "reason"]
    if name in _PLACES and len(call.args) > _PLACES[name]:
        given.append(call.args[_PLACES[name]])
    for one in given:
        # A reason in words is that of something else.
        if isinstance(one, ast.Constant) and isinstance(one.value, str) and one.value.isupper():
            yield one.value


def test_every_reason_that_is_given_is_of_the_closed_list() -> None:
    found = list(used())
    assert len(found) > 10
    assert [one for one in found if one[1] not in REASONS] == []


def test_refusal_has_a_reason_of_the_list() -> None:
    assert Refusal("NO_PATIENT_ID", "x").reason == "NO_PATIENT_ID"
    with pytest.raises(ValueError, match="SOMETHING"):
        Refusal("SOMETHING", "x")


def test_what_is_kept_in_part_is_of_the_list() -> None:
    assert PARTIAL < REASONS
