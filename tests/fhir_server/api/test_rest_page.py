"""The examples of docs/rest.md do what they say."""

import re
from pathlib import Path

import httpx
import pytest

PAGE = Path(__file__).parents[3] / "docs" / "rest.md"
EXAMPLES = re.findall(r"```http\n(.*?)```", PAGE.read_text(), re.DOTALL)
_REQUEST = re.compile(
    r"(?P<method>[A-Z]+) (?P<url>\S+)\n(?P<head>(?:[\w-]+: .*\n)*)"
    r"(?:\n(?P<body>(?:.+\n)+?))?→ (?P<status>\d{3})\n"
)


def requests(example: str) -> list[re.Match[str]]:
    return list(_REQUEST.finditer(example))


def test_no_part_of_an_example_is_passed_over() -> None:
    assert len(EXAMPLES) >= 3
    for example in EXAMPLES:
        assert _REQUEST.sub("", example).strip() == ""


@pytest.mark.parametrize("example", EXAMPLES, ids=[one.partition("\n")[0] for one in EXAMPLES])
async def test_example(client: httpx.AsyncClient, example: str) -> None:
    for one in requests(example):
        head = dict(line.split(": ", 1) for line in one["head"].splitlines())
        content = one["body"].encode() if one["body"] else None
        response = await client.request(one["method"], one["url"], content=content, headers=head)
        assert response.status_code == int(one["status"])
