"""The second wall inside each tenant."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from fhir_server.database import Database
from fhir_server.main import logins, tenants
from fhir_server.r4.definitions import load
from fhir_server.second_wall import Reach, reader_of
from fhir_server.tenancy import roles, tenant
from tests.fhir_server.tenancy.conftest import NAMES, Installation

EVERY = Reach("{%s}" % ",".join(map(str, range(1, 200))))  # noqa: UP031
BODIES = "SELECT count(*) FROM body"
STORED = """
INSERT INTO resource VALUES (7, %(type)s, 'a', 1, now(), false, '', pg_current_xact_id());
INSERT INTO body VALUES (7, 1, now(), 1, '{}')
"""


@asynccontextmanager
async def database_of(installation: Installation, name: str) -> AsyncIterator[Database]:
    found = Database(installation.as_tenant(name), size=2, idle_seconds=5)
    await found.open()
    yield found
    await found.close()


@pytest.mark.parametrize("name", NAMES)
async def test_each_tenant_has_a_reader_of_its_own(empty: Installation, name: str) -> None:
    async with database_of(empty, name) as database:
        wall = await database.wall()
        assert wall is not None
        assert wall.reader == reader_of(empty.of(name).schema)
        async with database.transaction() as connection:
            for statement in STORED.split(";"):
                await connection.execute(statement, {"type": 5})
            async with database.behind(connection, Reach("{6}")):
                assert await (await connection.execute(BODIES)).fetchone() == (0,)
            row = await (await connection.execute("SELECT current_user")).fetchone()
            assert row == (empty.of(name).role,)
            assert await (await connection.execute(BODIES)).fetchone() == (1,)
        for reach, found in ((EVERY, 1), (Reach("{6}"), 0), (Reach("{5}"), 1)):
            async with database.restricted(reach) as connection:
                assert await (await connection.execute(BODIES)).fetchone() == (found,)


async def test_a_tenant_of_before_gets_its_wall_at_the_next_start(empty: Installation) -> None:
    reader = reader_of(empty.of("north").schema)
    with psycopg.connect(empty.conninfo, autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {reader}")
        connection.execute(f"DROP ROLE {reader}")
    async with database_of(empty, "north") as database:
        assert await database.wall() is None
    tenants.migrate_all(empty.settings, empty.conninfo)
    async with database_of(empty, "north") as database:
        assert await database.wall() is not None


async def test_the_audit_of_a_tenant_is_appended_to_alone(empty: Installation) -> None:
    said = empty.as_tenant("north")
    add = "INSERT INTO audit_record (position, said) VALUES (1, '')"
    type_id = load().type_ids["AuditEvent"]
    async with database_of(empty, "north") as database, database.statement() as connection:
        for statement in (add, *STORED.split(";"), "SET sangam.keeping = 'on'"):
            await connection.execute(statement, {"type": type_id} if "type" in statement else None)
        for statement in (
            "UPDATE audit_record SET said = 'x'",
            "DELETE FROM audit_record",
            "TRUNCATE audit_record",
            "UPDATE body SET json = ''",
            "DELETE FROM body",
            "DELETE FROM resource",
        ):
            with pytest.raises(InsufficientPrivilege, match="what was audited is not changed"):
                await connection.execute(statement)
    kept = Database(said, size=2, keeper=logins.keeper(empty.settings, said))
    async with kept.keeping() as connection:
        asked = "SELECT current_user, (SELECT count(*) FROM audit_record)"
        assert await (await connection.execute(asked)).fetchone() == (empty.of("north").role, 1)
        await connection.execute("TRUNCATE audit_record")


def test_the_reader_goes_with_the_tenant(installation: Installation) -> None:
    made = tenant.new("passing")
    asked = "SELECT rolname FROM pg_roles WHERE rolname LIKE 't_passing%'"
    with psycopg.connect(installation.conninfo, autocommit=True) as connection:
        roles.make(connection, made, roles.login(installation.settings, installation.conninfo))
        assert len(connection.execute(asked).fetchall()) == 2
        roles.drop(connection, made)
        assert connection.execute(asked).fetchall() == []
