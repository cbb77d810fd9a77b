"""`sangam audit` and `sangam erasures`."""

import json
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
from anyio import to_thread
from typer.testing import CliRunner

from fhir_server.config import Settings
from fhir_server.main.cli import app

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Sangam:
    """The command line, over the database and the data directory of a server."""

    database_url: str
    data_dir: Path

    async def __call__(self, *command: str) -> tuple[int, str]:
        place = ("--database-url", self.database_url, "--data-dir", str(self.data_dir))
        result = await to_thread.run_sync(lambda: CliRunner().invoke(app, [*command, *place]))
        return result.exit_code, result.output


@pytest.fixture
def sangam(database_url: str, settings: Settings) -> Sangam:
    return Sangam(database_url, settings.data_dir)


async def test_audit_is_checked_and_written_out(
    client: httpx.AsyncClient, sangam: Sangam, tmp_path: Path
) -> None:
    (await client.put("Patient/a", json={"resourceType": "Patient", "id": "a"})).raise_for_status()
    out = tmp_path / "audit.ndjson"
    asked = ("audit", "export", "--since", "2020-01-01", "--out", str(out))
    assert await sangam(*asked) == (0, "")
    (event,) = map(json.loads, out.read_text().splitlines())
    assert (event["resourceType"], event["action"]) == ("AuditEvent", "C")
    assert out.stat().st_mode & 0o777 == 0o600
    phrase = tmp_path / "phrase"
    phrase.write_text("correct horse battery staple\n")
    sealed, back = str(tmp_path / "sealed"), str(tmp_path / "back")
    by = ("--passphrase-file", str(phrase))
    assert await sangam("audit", "export", "--out", sealed, *by) == (0, "")
    assert b"AuditEvent" not in (tmp_path / "sealed/audit.ndjson").read_bytes()
    assert (await sangam("tenant", "unseal", sealed, back, *by))[0] == 0
    assert out.read_text() in (tmp_path / "back/audit.ndjson").read_text()
    assert (await sangam("audit", "export", *by))[0] == 1
    assert (await sangam("audit", "verify"))[0] == 0
    with psycopg.connect(sangam.database_url) as connection:
        connection.execute("DELETE FROM audit_head")
    status, told = await sangam("audit", "verify")
    assert (status, "The end of the day was removed" in told) == (1, True)


async def test_second_person_approves_an_erasure(client: httpx.AsyncClient, sangam: Sangam) -> None:
    (await client.put("Patient/a", json={"resourceType": "Patient", "id": "a"})).raise_for_status()
    assert (await sangam("erasures", "ask", "a", "--reason", "by letter", "--by", "x"))[0] == 0
    assert (await sangam("erasures", "approve", "a", "--by", "x"))[0] == 1
    assert (await sangam("erasures", "hold", "a", "--reason", "court"))[0] == 0
    assert (await sangam("erasures", "approve", "a", "--by", "y"))[0] == 1
    assert (await sangam("erasures", "release", "a"))[0] == 0
    assert (await sangam("erasures", "approve", "a", "--by", "y"))[0] == 0
    assert "approved" in (await sangam("erasures", "list"))[1]
    assert await sangam("erasures", "apply") == (0, "0 resources were erased again.\n")
