"""docs/hl7-outbound.md and docs/law.md name what there is."""

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from adapters.hl7.profiles.destination import Law, Outbound, Trigger
from adapters.hl7.profiles.read import Unusable, read

DOCS = Path(__file__).parents[4] / "docs"
OUTBOUND = (DOCS / "hl7-outbound.md").read_text()
LAW = (DOCS / "law.md").read_text()


@pytest.mark.parametrize("page", [OUTBOUND, LAW], ids=["outbound", "law"])
def test_the_profile_of_the_page_can_be_used(page: str) -> None:
    (profile,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert read("city.toml", profile.encode()).sender == "city"


@pytest.mark.parametrize(
    ("page", "table"), [(OUTBOUND, Outbound), (LAW, Law)], ids=["outbound", "law"]
)
def test_the_page_has_every_key(page: str, table: type[BaseModel]) -> None:
    rows = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("| `")]
    told = {key for row in rows for key in re.findall(r"`(\w+)`", row)}
    assert set(table.model_fields) - told == set()


def test_the_page_has_every_trigger() -> None:
    rows = [line.split(" | ")[0] for line in OUTBOUND.splitlines() if line.startswith("| `")]
    told = {key for row in rows for key in re.findall(r"`([A-Z]{3}\^\w+)`", row)}
    assert told | {"ADT"} == set(get_args(Trigger))


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        pytest.param('triggers = ["ADT"]', "outbound: triggers need the address", id="address"),
        pytest.param('version = "3.0"', "outbound.version: write a version", id="version"),
        pytest.param('delimiters = "|^^&"', "outbound.delimiters: write MSH-1", id="delimiters"),
        pytest.param('charset = "UNICODE"', "outbound.charset: write a value", id="charset"),
        pytest.param(
            'address = "x:1"\ntriggers = ["ORU^R01", "OUL^R22"]', "write one of", id="two"
        ),
        pytest.param('[outbound.codes]\n"2345-7" = "GLU"', "write system|code", id="codes"),
        pytest.param('[law]\norders_via = "own"', "needs outbound.address", id="law_without"),
    ],
)
def test_what_cannot_work_is_refused_with_advice(said: str, problem: str) -> None:
    with pytest.raises(Unusable, match=re.escape(problem)):
        read("lis.toml", f'version = "1"\n[outbound]\n{said}\n'.encode())
