"""docs/astm.md does what it says."""

import re
from pathlib import Path
from typing import Any

from httpx import AsyncClient

from adapters.hl7.records.files import messages
from fhir_server.server import Server
from tests.adapters.hl7.astm.conftest import applied, found, inbox, lines, with_settings

DOCS = Path(__file__).parents[4] / "docs"
PAGE = (DOCS / "astm.md").read_text()
PROFILES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def shown(one: dict[str, Any]) -> str:
    quantity = one["valueQuantity"]
    value = f"{quantity.get('comparator', '')}{quantity['value']}"
    flag = one["interpretation"][0]["coding"][0]["code"]
    return f"{one['code']['coding'][0]['code']} {value} {quantity['unit']} {one['status']} {flag}"


async def test_the_example_gives_the_observations_of_the_page(
    server: Server, client: AsyncClient, tmp_path: Path
) -> None:
    profile, _ = PROFILES
    expected = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)[1].splitlines()
    (tmp_path / "example.toml").write_text(profile)
    there = with_settings(server, hl7={"profiles_dir": str(tmp_path)})
    two = messages((DOCS / "examples/hematology.astm").read_bytes())
    async with lines(there) as connect, connect() as one:
        for message in two:
            await one.send(message)
        await inbox(server, len(two))
    assert [row[0] for row in await applied(there)] == ["done", "done"]
    results = await found(client, "Observation?_sort=_lastUpdated")
    assert sorted(shown(each) for each in results) == sorted(expected)
    patients = {each["subject"]["reference"].split("/")[0] for each in results}
    assert patients == {"Patient", "Device"}


async def test_numbers_of_patients_are_those_of_the_hospital(
    server: Server, client: AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "example.toml").write_text(PROFILES[1])
    there = with_settings(server, hl7={"profiles_dir": str(tmp_path)})
    first, _ = messages((DOCS / "examples/hematology.astm").read_bytes())
    async with lines(there) as connect, connect() as one:
        await one.send(first)
        await inbox(server, 1)
    assert [row[0] for row in await applied(there)] == ["done"]
    (patient,) = await found(client, "Patient")
    assert [one["system"] for one in patient["identifier"]] == ["https://cityhospital.example/mrn"]
