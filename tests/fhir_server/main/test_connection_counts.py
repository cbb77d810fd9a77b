"""How many connections a server may hold is counted, and too few are refused."""

import re
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from fhir_server.config import Settings
from fhir_server.database import Database
from fhir_server.main import connections, postgres, preparing
from fhir_server.main.refused import Refused
from fhir_server.main.serve import _analyzers, _images

LOGIN = "sangam_test_few"


def served(**more: object) -> Settings:
    return Settings.model_validate({"demo": True, **more})


SETTINGS = [
    pytest.param(served(), id="as it comes"),
    pytest.param(served(processes=8, astm_port=0), id="processes"),
    pytest.param(served(dicom={"processes": 3, "tls_port": 0}), id="images"),
    pytest.param(served(hl7={"processes": 8, "plain_port": False}), id="messages"),
]


@pytest.mark.parametrize("size", [2, 3, 9, 16])
async def test_pools_hold_as_many_as_is_counted(database_url: str, size: int) -> None:
    database = Database(database_url, size=size)
    await database.open()
    wall = await database.wall()
    assert wall is not None
    held = sum(pool.max_size for pool in (*database._pools, *wall.pools))  # noqa: SLF001
    await database.close()
    assert connections.of_pools(size) == held


@pytest.mark.parametrize("settings", SETTINGS)
def test_processes_are_those_that_the_supervisor_starts(settings: Settings) -> None:
    ports = {"dicom": object(), "dicom-tls": object()}
    named = {
        name: one
        for name, one in ports.items()
        if name == "dicom" or settings.dicom.tls_port is not None
    }
    astm = _analyzers(settings, None if settings.astm_port is None else object())  # type: ignore[arg-type]
    images = _images(settings, named)  # type: ignore[arg-type]
    others = 2 + settings.hl7.processes - 1
    assert connections.processes(settings) == settings.processes + len(astm + images) + others


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("tenants", [0, 40])
def test_pools_are_as_large_as_fits(settings: Settings, tenants: int) -> None:
    best = connections.preferred(settings)
    most = connections.for_embedded(settings, tenants)
    assert connections.fitting(settings, most - 3, tenants) == best
    least = connections.needed(settings, connections.LEAST, tenants)
    assert connections.fitting(settings, least, tenants) == connections.LEAST
    with pytest.raises(Refused, match=f"need {least}. Set its max_connections"):
        connections.fitting(settings, least - 1, tenants)


def test_a_postgresql_as_it_comes_is_enough_for_a_server_as_it_comes() -> None:
    assert connections.fitting(served(), 97, 0) == connections.LEAST


def test_a_login_that_is_allowed_too_few_is_refused(own_database: str) -> None:
    given = make_conninfo(own_database, user=LOGIN, password=LOGIN)
    with psycopg.connect(own_database, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {LOGIN}")
        connection.execute(f"CREATE ROLE {LOGIN} LOGIN SUPERUSER PASSWORD '{LOGIN}'")
        connection.execute(f"ALTER ROLE {LOGIN} CONNECTION LIMIT 20")
        try:
            with pytest.raises(Refused, match="allows this login 20 connections"):
                preparing._pools(served(database_url=given), given)  # noqa: SLF001
        finally:
            connection.execute(f"DROP ROLE {LOGIN}")


def test_the_embedded_postgresql_takes_as_many_as_are_needed(
    tmp_path: Path,
) -> None:
    def taken(wanted: int) -> int:
        (tmp_path / "postgresql.conf").write_text("")
        postgres._configure(tmp_path, postgres._ours(tmp_path, wanted))  # noqa: SLF001
        (found,) = re.findall(r"max_connections = '(\d+)'", (tmp_path / "sangam.conf").read_text())
        return int(found)

    assert [taken(wanted) for wanted in (0, 700, 0, 900)] == [240, 700, 700, 900]


@pytest.mark.parametrize(("tenants", "started"), [(0, 0), (40, 1)])
def test_more_tenants_than_the_last_time_start_it_anew(
    own_database: str, monkeypatch: pytest.MonkeyPatch, tenants: int, started: int
) -> None:
    settings, asked = served(), []

    def start(_: Path, *, connections: int) -> str:
        asked.append(connections)
        return own_database

    allowed = connections.needed(settings, connections.preferred(settings), 0)
    monkeypatch.setattr(connections, "allowed", lambda _: allowed)
    monkeypatch.setattr(connections, "tenants_of", lambda _: tenants)
    monkeypatch.setattr(postgres, "stop", lambda _: None)
    monkeypatch.setattr(postgres, "start", start)
    monkeypatch.setattr(preparing, "owned", lambda uri: uri)
    assert preparing._roomy(settings, own_database) == own_database  # noqa: SLF001
    assert asked == [connections.for_embedded(settings, tenants)] * started


def test_tenants_are_counted(own_database: str) -> None:
    with psycopg.connect(own_database) as connection:
        add = "INSERT INTO tenancy.tenant (name, schema, role) VALUES ('n', 't_n', 't_n')"
        before = connections.tenants_of(connection)
        connection.execute(add)
        assert connections.tenants_of(connection) == before + 1
        connection.rollback()
        assert connections.allowed(connection) > connections.LEAST
