"""The examples of docs/validation.md do what they say."""

import re
from pathlib import Path

import httpx
import pytest

from tests.fhir_server.api.test_rest_page import requests

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[3] / "docs" / "validation.md"
EXAMPLES = re.findall(r"```http\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=[one.partition("\n")[0] for one in EXAMPLES])
async def test_example(client: httpx.AsyncClient, example: str) -> None:
    found = requests(example)
    assert len(found) == example.count("→")
    for one in found:
        head = dict(line.split(": ", 1) for line in one["head"].splitlines())
        content = one["body"].encode() if one["body"] else None
        response = await client.request(one["method"], one["url"], content=content, headers=head)
        assert response.status_code == int(one["status"]), response.text
