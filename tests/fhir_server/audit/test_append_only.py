"""What was audited is changed by no session that serves: PostgreSQL refuses it."""

import os
import time
from dataclasses import replace
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo

from adapters.hl7.inbox import erase as hl7
from fhir_server.audit import chain
from fhir_server.caller import trusted
from fhir_server.config import Settings
from fhir_server.interactions import auditing, erasure, retention
from fhir_server.main import logins
from fhir_server.r4 import definitions
from fhir_server.server import Server

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        "SANGAM_TEST_DATABASE_URL" in os.environ, reason="logins of the embedded PostgreSQL"
    ),
]

# As PostgreSQL rounds.
TODAY = f"audit_record_{round(time.time() / 86_400) % 16}"
KIND = definitions.load().type_ids["AuditEvent"]
EVENTS = f"(SELECT key FROM resource WHERE type_id = {KIND})"


@pytest.fixture
def database_url(database_url: str) -> str:
    """The conninfo of the login by which the embedded PostgreSQL is served."""
    owner = make_conninfo(database_url, user=logins.OWNER)
    return logins.serving(Settings(demo=True), owner)


@pytest.fixture
async def audited(client: httpx.AsyncClient, server: Server) -> Server:
    """Two patients who were written and audited, and a record that is yet to be an event."""
    for id_ in ("ann", "bob"):
        written = await client.put(f"Patient/{id_}", json={"resourceType": "Patient", "id": id_})
        written.raise_for_status()
    await auditing.settle(server)
    (await client.get("Patient/ann")).raise_for_status()
    return server


ATTACKS = [
    "UPDATE audit_record SET said = '{}'",
    f"UPDATE {TODAY} SET said = ''",
    "DELETE FROM audit_record",
    "TRUNCATE audit_record",
    f"TRUNCATE {TODAY}",
    "UPDATE audit_link SET event = chain",
    "DELETE FROM audit_link",
    "TRUNCATE audit_link",
    "UPDATE audit_head SET chain = ''",
    "UPDATE audit_head SET day = day - 1, links = links + 1",
    "DELETE FROM audit_head",
    f"UPDATE body SET json = '' WHERE key IN {EVENTS}",
    f"UPDATE body SET version = 7 WHERE key IN {EVENTS}",
    f"DELETE FROM body WHERE key IN {EVENTS}",
    "TRUNCATE body",
    f"UPDATE resource SET version = 2 WHERE type_id = {KIND}",
    f"UPDATE resource SET type_id = 1 WHERE type_id = {KIND}",
    f"UPDATE resource SET deleted = true WHERE type_id = {KIND}",
    f"DELETE FROM resource WHERE type_id = {KIND}",
    "TRUNCATE resource",
]
ON_THE_LEDGER = ["UPDATE erased SET digest = ''", "DELETE FROM erased"]
FOREIGN = "CREATE TEMP TABLE resource (key bigint, type_id int); SET search_path = pg_temp, public"
"""Another `resource` in front of ours."""


async def refused(conninfo: str, statement: str, before: str = "") -> None:
    async with await psycopg.AsyncConnection.connect(conninfo) as connection:
        if before:
            await connection.execute(before)
        with pytest.raises(errors.InsufficientPrivilege):
            await connection.execute(statement.replace(" resource ", " public.resource "))
        await connection.rollback()


async def test_who_serves_changes_nothing_that_was_audited(audited: Server) -> None:
    for statement in (*ATTACKS, *ON_THE_LEDGER):
        await refused(audited.database.conninfo, statement)
    for before in ("SET sangam.keeping = 'on'", "SET ROLE sangam_reader; RESET ROLE"):
        await refused(audited.database.conninfo, f"DELETE FROM body WHERE key IN {EVENTS}", before)
    for setting in ("session_replication_role = replica", "ROLE sangam_owner"):
        await refused(audited.database.conninfo, f"SET {setting}")
    await refused(audited.database.conninfo, FOREIGN)
    for change in ("DISABLE TRIGGER ALL", "DISABLE TRIGGER audit_kept"):
        await refused(audited.database.conninfo, f"ALTER TABLE body {change}")
    assert await _faults(audited) == []


async def test_what_a_version_before_let_a_server_do_is_taken_back(database_url: str) -> None:
    owner = make_conninfo(database_url, user=logins.OWNER)
    with psycopg.connect(owner) as connection:
        connection.execute("GRANT ALL ON audit_record, audit_link, body TO sangam_server")
    logins.serving(Settings(demo=True), owner)
    asked = """
        SELECT has_table_privilege('sangam_server', 'audit_record', 'UPDATE, DELETE, TRUNCATE'),
               has_table_privilege('sangam_server', 'audit_link', 'UPDATE, DELETE, TRUNCATE'),
               has_table_privilege('sangam_server', 'body', 'TRUNCATE'),
               has_table_privilege('sangam_server', 'body', 'UPDATE')
    """
    with psycopg.connect(owner) as connection:
        assert connection.execute(asked).fetchone() == (False, False, False, True)


async def test_the_owner_changes_nothing_in_passing(audited: Server) -> None:
    """Where one login does all, what was meant for other rows leaves these as they are."""
    owner = make_conninfo(audited.database.conninfo, user=logins.OWNER)
    for statement in ATTACKS:
        await refused(owner, statement)
    await refused(owner, f"DELETE FROM body WHERE key IN {EVENTS}", FOREIGN)
    for statement in ("UPDATE audit_record SET said = '{}'", "UPDATE audit_link SET number = 1"):
        await refused(owner, statement, "SET sangam.keeping = 'on'")


async def test_others_rows_are_changed_as_ever(audited: Server) -> None:
    async with audited.database.transaction() as connection:
        await connection.execute(f"UPDATE body SET json = json WHERE key NOT IN {EVENTS}")
        done = await connection.execute("UPDATE resource SET version = version WHERE id = 'ann'")
        assert done.rowcount == 1


async def test_an_erasure_writes_events_anew(audited: Server) -> None:
    one, other = trusted("one", "cli"), trusted("other", "cli")
    number = await erasure.ask(audited, one, "ann", "asked for")
    await erasure.approve(audited, other, "ann")
    await erasure.carry_out(audited, number, [hl7.erase])
    assert await _count(audited, "body WHERE json LIKE '%Patient/ann%'") == 0
    assert await _count(audited, "audit_record WHERE said LIKE '%\"ann\"%'") == 0
    assert await _faults(audited) == []


async def test_days_that_became_events_are_emptied(audited: Server) -> None:
    async with await psycopg.AsyncConnection.connect(audited.database.conninfo) as connection:
        slot = "(extract(epoch FROM now()) / 86400)::bigint - 5"
        await connection.execute(
            f"INSERT INTO audit_record (slot, feed_xid, position, said)"
            f" SELECT ({slot}) % 16, '1', n, '' FROM generate_series(1, 2) AS n"
        )
    before = await _count(audited, "audit_record")
    await auditing.settle(audited)
    await auditing.empty(audited)
    assert await _count(audited, "audit_record") == before - 2


async def test_retention_lets_days_of_six_years_ago_go(audited: Server, own_database: str) -> None:
    settings = {**audited.settings.model_dump(), "retention": {"days": {"AuditEvent": 2_192}}}
    audited = replace(audited, settings=Settings.model_validate(settings))
    await auditing.settle(audited)
    with psycopg.connect(own_database) as superuser:
        superuser.execute("UPDATE audit_link SET day = day - 2500")
        row: Any = superuser.execute(
            "UPDATE audit_head SET day = day - 2500 RETURNING day, links, chain"
        ).fetchone()
        seal = chain.sealed(audited.registry.context.page_key, chain.Head(*row))
        superuser.execute("UPDATE audit_head SET seal = %s", (seal,))
    await retention.run(audited, {})
    assert await _count(audited, "audit_link") == 0
    assert await _count(audited, f"body WHERE key IN {EVENTS}") == 0


async def _count(server: Server, what: str) -> int:
    async with server.database.connection() as connection:
        row = await (await connection.execute(f"SELECT count(*) FROM {what}")).fetchone()
    assert row is not None
    return int(row[0])


async def _faults(server: Server) -> list[chain.Fault]:
    async with server.database.connection() as connection:
        return await chain.verify(connection, server.registry.context.page_key, KIND)
