"""Commands about tenants: whom they work on, and who is told that they were given."""

import getpass
import json
import re

import psycopg
import pytest
from typer.testing import CliRunner

from fhir_server import jobs
from fhir_server.audit.happening import SETTINGS_CHANGED
from fhir_server.audit.record import read
from fhir_server.jobs import Job
from fhir_server.main.cli import app
from tests.fhir_server.tenancy.conftest import NAMES, Installation


def test_commands_work_on_the_tenant_that_is_named(
    empty: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SANGAM_DATA_DIR", str(empty.settings.data_dir))
    with psycopg.connect(empty.as_tenant("north"), autocommit=True) as connection:
        jobs.enqueue_sync(connection, [Job("of.north", {})])

    def said(*command: str) -> str:
        at = ("--database-url", empty.conninfo)
        asked = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*command, *at])
        assert (asked.exit_code, asked.exception) == (0, None), asked.output
        return asked.output

    listed = {name: said("jobs", "list", "--tenant", name) for name in NAMES}
    assert ["of.north" in listed[name] for name in NAMES] == [True, False]
    assert "of.north" not in said("jobs", "list")
    said("tenant", "suspend", "north")
    assert re.findall("(north|south) +│ (active|suspended)", said("tenant", "list")) == [
        ("north", "suspended"),
        ("south", "active"),
    ]
    said("tenant", "resume", "north")
    said("tenant", "set", "south", "--max-resources", "5")
    assert re.search("resources +│ 0 of 5", said("tenant", "show", "south"))
    used = json.loads(said("tenant", "usage", "--json"))["south"]
    assert (used["resources"], used["quota of resources"], used["quota of bytes"]) == (0, 5, None)
    said("tenant", "set", "south", "--max-resources", "0")
    for conninfo, told in (
        (empty.as_tenant("north"), ["suspended", "resumed"]),
        (empty.as_tenant("south"), ["changed: max_resources 5", "changed: max_resources none"]),
    ):
        assert details(conninfo) == [(getpass.getuser(), one) for one in told]
    assert [one for _, one in details(empty.conninfo)][-4:] == [
        "suspended",
        "active",
        "changed: max_resources 5",
        "changed: max_resources none",
    ]


def details(conninfo: str) -> list[tuple[str, str | None]]:
    """Return who changed a tenant, and how."""
    with psycopg.connect(conninfo) as connection:
        query = "SELECT said FROM audit_record ORDER BY position"
        records = [one for (said,) in connection.execute(query) for one in read(said)]
    return [(one.who.name, one.detail) for one in records if one.happening == SETTINGS_CHANGED]
