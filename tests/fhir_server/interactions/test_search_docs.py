"""The searches of docs/search.md are answered as it says."""

import re
from pathlib import Path

import httpx
import pytest

TEXT = (Path(__file__).parents[3] / "docs/search.md").read_text()
LINES = [
    line
    for block in re.findall(r"```http\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize("line", LINES)
async def test_the_searches_of_the_page(line: str, client: httpx.AsyncClient) -> None:
    request, _, status = line.partition("  # ")
    method, _, url = request.partition(" ")
    answer = await client.request(method, f"/{url}")
    assert answer.status_code == int(status or 200), answer.text


def test_the_page_has_searches() -> None:
    assert len(LINES) > 15
