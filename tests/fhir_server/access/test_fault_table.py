"""The table of known faults: each has tests that are there; and content that could run."""

import ast
import base64
import re
from functools import cache
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parents[3]
TESTS = ROOT / "tests"
PAGE = (ROOT / "docs" / "security-fault-classes.md").read_text()
ROWS = re.findall(r"^\| (\d+) \|.*\| ([^|]+) \|$", PAGE, re.MULTILINE)


@cache
def named(path: Path) -> set[str]:
    """The tests of a file."""
    tree = ast.parse(path.read_text())
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {one.name for one in tree.body if isinstance(one, kinds)}


def test_the_table_has_the_25_faults() -> None:
    assert [int(number) for number, _ in ROWS] == list(range(1, 26))


@pytest.mark.parametrize(("number", "tests"), ROWS, ids=[number for number, _ in ROWS])
def test_the_tests_of_a_fault_are_there(number: str, tests: str) -> None:
    found = [one.partition("::") for one in re.findall(r"`([^`]+)`", tests)]
    missing = [
        name or path for path, _, name in found if name not in named(TESTS / path) or not name
    ]
    assert (bool(found), missing) == (True, [])


SCRIPT = "<script>alert(document.domain)</script>"


@pytest.mark.anyio
async def test_stored_content_runs_nowhere(client: httpx.AsyncClient) -> None:
    page = f"<html><body>{SCRIPT}</body></html>".encode()
    data = base64.b64encode(page).decode()
    binary = {"resourceType": "Binary", "id": "b", "contentType": "text/html", "data": data}
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">{SCRIPT}</div>'
    patient = {"resourceType": "Patient", "id": "p", "text": {"status": "generated", "div": div}}
    codes = [
        (await client.put("/Binary/b", json=binary)).status_code,
        (await client.put("/Patient/p", json=patient)).status_code,
    ]
    shown = await client.get("/Binary/b", headers={"Accept": "text/html"})
    listed = await client.get("/Patient", headers={"Accept": "text/html"})
    names = ("content-disposition", "content-security-policy", "x-content-type-options")
    assert (codes, listed.status_code) == ([201, 422], 406)
    assert (shown.content, [shown.headers[name] for name in names]) == (
        page,
        ["attachment", "sandbox; default-src 'none'", "nosniff"],
    )
