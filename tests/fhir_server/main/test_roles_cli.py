"""`sangam role` and `sangam care` as the person at them meets them."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from click.testing import Result
from typer.testing import CliRunner

from fhir_server.access import role_store
from fhir_server.access.role_table import read, shipped
from fhir_server.database import Database
from fhir_server.main import care
from fhir_server.main.cli import app
from fhir_server.main.options import given
from fhir_server.main.target import Target
from fhir_server.server import Server

PAGE = Path(__file__).parents[3] / "docs/security-roles.md"
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for line in block.splitlines()
    if line.startswith("sangam role")
]


@pytest.fixture
def _here(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("SANGAM_DATABASE_URL", database_url)
    monkeypatch.setenv("SANGAM_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return


def sangam(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


async def _in_force(database_url: str) -> tuple[str, list[int]]:
    database = Database(database_url, size=2)
    await database.open()
    async with database.connection() as connection:
        table = await role_store.table(connection)
        changes = await role_store.changed(connection)
    await database.close()
    return table.roles["NURSE"].title, [one.version for one in changes]


@pytest.mark.usefixtures("_here")
def test_role_is_shown_changed_and_put_back(database_url: str) -> None:
    list_, show, set_, reset = COMMANDS
    show, _, file = show.partition(" > ")
    shown = sangam(*show.split()[1:])
    assert read(shown.output.encode()) == shipped().roles["NURSE"]
    Path(file).write_text(shown.output.replace('"Nurse"', '"Night nurse"'))
    changed = sangam(*set_.split()[1:])
    assert changed.output == "NURSE is in force as version 1.\n"
    assert asyncio.run(_in_force(database_url)) == ("Night nurse", [1])
    assert "Night nurse" in sangam(*list_.split()[1:]).output
    assert sangam(*reset.split()[1:]).exit_code == 0
    assert asyncio.run(_in_force(database_url)) == ("Nurse", [2])
    with psycopg.connect(database_url) as connection:
        cursor = connection.execute(
            "SELECT count(*) FROM audit_record WHERE said LIKE '%roles-changed%'"
        )
        assert cursor.fetchone() == (2,)


@pytest.mark.usefixtures("_here")
def test_role_that_may_not_be_is_refused() -> None:
    Path("bad.toml").write_text(
        'title = "x"\n[[grants]]\ntypes = ["Observation"]\nletters = "rsd"\n'
    )
    done = sangam("role", "set", "NURSE", "bad.toml")
    assert done.exit_code == 1
    assert "nobody deletes what belongs to a patient" in done.output
    assert sangam("role", "reset", "WIZARD").output == "There is no such role\n"


@pytest.mark.anyio
@pytest.mark.usefixtures("_here")
async def test_care_relationships_of_what_is_stored_are_made_anew(
    client: httpx.AsyncClient, server: Server
) -> None:
    organization = {"resourceType": "Organization", "id": "o", "name": "O"}
    assert (await client.put("/Organization/o", json=organization)).status_code == 201
    practice = [{"reference": "Organization/o"}]
    patient = {"resourceType": "Patient", "id": "p", "generalPractitioner": practice}
    assert (await client.put("/Patient/p", json=patient)).status_code == 201
    rows = "SELECT actor, patient FROM idx_care"
    async with server.database.statement() as connection:
        made = await (await connection.execute(rows)).fetchall()
        await connection.execute("DELETE FROM idx_care")
        assert await care.rebuilt(Target(given)) == 0
        assert await (await connection.execute(rows)).fetchall() == made
    assert made == [("Organization/o", "p")]
