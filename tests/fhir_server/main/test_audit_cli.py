"""`sangam audit` and `sangam erasures`."""

import json
from pathlib import Path

import httpx
import psycopg
import pytest
from anyio import to_thread
from typer.testing import CliRunner

from fhir_server.main.cli import app

pytestmark = pytest.mark.anyio


async def sangam(database_url: str, *command: str) -> tuple[int, str]:
    asked = [*command, "--database-url", database_url]
    result = await to_thread.run_sync(lambda: CliRunner().invoke(app, asked))
    return result.exit_code, result.output


async def test_audit_is_checked_and_written_out(
    client: httpx.AsyncClient, database_url: str, tmp_path: Path
) -> None:
    (await client.put("Patient/a", json={"resourceType": "Patient", "id": "a"})).raise_for_status()
    out = tmp_path / "audit.ndjson"
    asked = ("audit", "export", "--since", "2020-01-01", "--out", str(out))
    assert await sangam(database_url, *asked) == (0, "")
    (event,) = map(json.loads, out.read_text().splitlines())
    assert (event["resourceType"], event["action"]) == ("AuditEvent", "C")
    assert (await sangam(database_url, "audit", "verify"))[0] == 0
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM audit_head")
    status, told = await sangam(database_url, "audit", "verify")
    assert (status, "The end of the day was removed" in told) == (1, True)


async def test_second_person_approves_an_erasure(
    client: httpx.AsyncClient, database_url: str
) -> None:
    (await client.put("Patient/a", json={"resourceType": "Patient", "id": "a"})).raise_for_status()
    erasures = (database_url, "erasures")
    assert (await sangam(*erasures, "ask", "a", "--reason", "by letter", "--by", "x"))[0] == 0
    assert (await sangam(*erasures, "approve", "a", "--by", "x"))[0] == 1
    assert (await sangam(*erasures, "hold", "a", "--reason", "court"))[0] == 0
    assert (await sangam(*erasures, "approve", "a", "--by", "y"))[0] == 1
    assert (await sangam(*erasures, "release", "a"))[0] == 0
    assert (await sangam(*erasures, "approve", "a", "--by", "y"))[0] == 0
    assert "approved" in (await sangam(*erasures, "list"))[1]
    assert await sangam(*erasures, "apply") == (0, "0 resources were erased again.\n")
