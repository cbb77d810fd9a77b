"""The logins of the embedded PostgreSQL."""

import os
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import conninfo, errors

from fhir_server import second_wall
from fhir_server.config import Settings
from fhir_server.main import logins
from fhir_server.main.refused import Refused
from fhir_server.tenancy.roles import LOGIN

pytestmark = pytest.mark.skipif(
    "SANGAM_TEST_DATABASE_URL" in os.environ, reason="logins of the embedded PostgreSQL"
)

# As a version made it whose one login was the superuser.
OLD = """
CREATE SCHEMA tx; CREATE SCHEMA tenancy;
CREATE TABLE alembic_version (version_num text);
CREATE TABLE body (key bigint GENERATED ALWAYS AS IDENTITY, json text);
CREATE SEQUENCE process_node;
CREATE TABLE tx.concept (code text) PARTITION BY LIST (code);
CREATE TABLE tx.concept_1 PARTITION OF tx.concept FOR VALUES IN ('1');
CREATE TABLE tenancy.tenant (name text, schema text, role text);
CREATE FUNCTION weight() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE ROLE t_old_{0} NOLOGIN NOINHERIT;
CREATE SCHEMA t_old_{0} AUTHORIZATION t_old_{0};
INSERT INTO tenancy.tenant VALUES ('old', 't_old_{0}', 't_old_{0}');
INSERT INTO body (json) VALUES ('kept');
"""
STILL = """
SELECT relname FROM pg_class WHERE relowner = to_regrole('postgres') AND relkind IN ('r', 'p', 'S')
    AND relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'tx', 'tenancy'))
UNION ALL SELECT nspname FROM pg_namespace WHERE nspowner = to_regrole('postgres')
    AND nspname IN ('tx', 'tenancy')
UNION ALL SELECT proname FROM pg_proc WHERE proowner = to_regrole('postgres')
    AND pronamespace = 'public'::regnamespace
"""


@pytest.fixture(scope="module")
def old(server_uri: str, worker_id: str) -> Iterator[str]:
    """A database that the superuser made, the superuser's conninfo."""
    name = f"sangam_old_{worker_id}"
    with psycopg.connect(server_uri, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        uri = conninfo.make_conninfo(server_uri, dbname=name, user="postgres")
        with psycopg.connect(uri) as made:
            made.execute(OLD.format(worker_id))
        yield uri
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.execute(f"DROP ROLE t_old_{worker_id}")


def test_what_the_superuser_made_becomes_the_owners(old: str, worker_id: str) -> None:
    for _ in "again":
        owner = logins.settle(old)
    with psycopg.connect(owner) as connection:
        assert connection.execute(STILL).fetchall() == []
        asked = (
            "SELECT current_user, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        )
        assert connection.execute(asked).fetchone() == (logins.OWNER, False, False)
        connection.execute("ALTER TABLE body ADD COLUMN more int")
        connection.execute(f"SET ROLE t_old_{worker_id}")


def test_nothing_is_done_twice(old: str) -> None:
    logins.settle(old)
    place = "SELECT xmin::text, ctid::text FROM pg_class WHERE relname = 'body'"
    with psycopg.connect(old) as connection:
        before = connection.execute(place).fetchone()
    logins.settle(old)
    with psycopg.connect(old) as connection:
        assert connection.execute(place).fetchone() == before


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE body DISABLE ROW LEVEL SECURITY",
        "DROP TABLE body",
        "CREATE TABLE mine (n int)",
        "CREATE ROLE mine",
        "DELETE FROM tx.concept",
        "UPDATE tenancy.tenant SET name = 'mine'",
        "UPDATE alembic_version SET version_num = ''",
        "SET ROLE sangam_owner",
        "SET ROLE postgres",
    ],
)
def test_who_serves_writes_rows_and_nothing_else(old: str, statement: str) -> None:
    served_by = logins.serving(Settings(demo=True), logins.settle(old))
    with psycopg.connect(served_by) as connection:
        connection.execute("INSERT INTO body (json) VALUES ('new')")
        connection.execute("SELECT nextval('process_node'), (SELECT count(*) FROM tx.concept)")
        connection.execute("SET LOCAL ROLE sangam_reader")
        connection.execute("RESET ROLE")
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE kept DISABLE TRIGGER ALL",
        "ALTER TABLE kept NO FORCE ROW LEVEL SECURITY",
        "CREATE TABLE mine (n int)",
        "CREATE TEMP TABLE kept (n int)",
        "GRANT ALL ON kept TO PUBLIC",
        "DROP SCHEMA t_old_{0} CASCADE",
    ],
)
def test_who_serves_a_tenant_defines_nothing_there(
    old: str, worker_id: str, statement: str
) -> None:
    """The tenant's role, which owns its schema, is what the session is in."""
    owner = logins.settle(old)
    name = f"t_old_{worker_id}"
    with psycopg.connect(owner) as connection:
        connection.execute(f"SET ROLE {name}")
        connection.execute(f"CREATE TABLE IF NOT EXISTS {name}.kept (n int)")
        connection.execute("RESET ROLE")
        connection.execute(f"GRANT {name} TO {LOGIN} WITH INHERIT FALSE, SET TRUE")
    said = f"-c role={name} -c search_path={name}"
    serving = conninfo.make_conninfo(owner, user=LOGIN, options=said)
    with psycopg.connect(serving) as connection:
        connection.execute("INSERT INTO kept VALUES (1)")
        with pytest.raises(errors.InsufficientPrivilege, match="who serves defines nothing"):
            connection.execute(statement.format(worker_id))


def test_a_database_that_is_given_can_be_served_by_another_login(own_database: str) -> None:
    owner = conninfo.make_conninfo(own_database, user=logins.OWNER)
    given = conninfo.make_conninfo(own_database, user="sangam_test_serving")
    settings = Settings(demo=True, database_url=owner, serving_url=given)
    with psycopg.connect(own_database, autocommit=True) as superuser:
        superuser.execute("CREATE ROLE sangam_test_serving LOGIN NOINHERIT")
        try:
            for _ in "again":
                assert logins.serving(settings, owner) == given
            with psycopg.connect(given, autocommit=True) as connection:
                assert connection.execute(second_wall.STANDS).fetchone() is not None
                connection.execute("INSERT INTO audit_record (position, said) VALUES (1, '')")
                for refused in ("UPDATE audit_record SET said = 'x'", "CREATE TABLE mine (n int)"):
                    with pytest.raises(errors.InsufficientPrivilege):
                        connection.execute(refused)
            assert conninfo.conninfo_to_dict(logins.keeper(settings, given))["user"] == logins.OWNER
            with pytest.raises(Refused):
                logins.serving(settings.model_copy(update={"serving_url": owner}), owner)
        finally:
            superuser.execute("DROP OWNED BY sangam_test_serving")
            superuser.execute("DROP ROLE sangam_test_serving")


def test_a_database_that_is_given_is_served_by_its_own_login() -> None:
    settings = Settings(demo=True, database_url="postgresql://someone@somewhere/hospital")
    assert logins.serving(settings, settings.database_url) == settings.database_url
