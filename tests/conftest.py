"""What tests stand on: a PostgreSQL for each worker, with one database that is migrated.

It is embedded; SANGAM_TEST_DATABASE_URL (a superuser's) names one that all workers share.
It starts when the first test asks for it and ends with the run, however that ends.
"""

import gc
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import hypothesis
import psycopg
import pytest
from filelock import FileLock
from flows.running import Running
from psycopg import conninfo, sql
from psycopg_pool import ConnectionPool

from fhir_server.api.app import create_app
from fhir_server.config import Limits, Settings
from fhir_server.database import Database
from fhir_server.main import migrate, postgres, wiring
from fhir_server.server import Server
from tests import sessions
from tests.cluster import QUICK, lay

# What an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

BASE = "http://testserver/fhir"
TEMPLATE = "sangam_template"
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")

# Waits until the run is over, also by a kill: then its end of the pipe closes.
WATCH = """
cat
for one in "$0"/postgres-*/postmaster.pid; do
    [ -f "$one" ] && kill -QUIT "$(head -n 1 "$one")"
done
sleep 0.2
rm -rf "$0"
"""
_run = pytest.StashKey[Path]()
_watch = pytest.StashKey["subprocess.Popen[bytes]"]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    # A developer's own sangam.toml is none of the tests'.
    os.environ["SANGAM_CONFIG"] = os.devnull
    # HTTPX looks for it through all of the path at each request, and it is not there.
    sys.modules.setdefault("trio", None)
    given = getattr(config, "workerinput", None)
    if given is not None:
        config.stash[_run] = Path(given["sangam_run"])
        os.environ["SANGAM_TEST_RUN"] = given["sangam_run"]
        return
    place = tempfile.mkdtemp(prefix="sangam-test-")
    config.stash[_run] = Path(place)
    os.environ["SANGAM_TEST_RUN"] = place
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        # Else each server that a test starts would compile everything, and each of its
        # processes again, which takes longer than what else they do to start.
        os.environ["PYTHONPYCACHEPREFIX"] = f"{place}/compiled"
    if config.option.basetemp is None:
        # The usual place is closed to other accounts again by each run that starts, and
        # a PostgreSQL that root starts runs under one.
        config.option.basetemp = f"{place}/tmp"
    config.stash[_watch] = subprocess.Popen(
        ["sh", "-c", WATCH, place], stdin=subprocess.PIPE, start_new_session=True
    )


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell a worker of pytest-xdist which run it belongs to."""
    node.workerinput["sangam_run"] = str(node.config.stash[_run])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Name each test's group, as pytest-xdist 3.8 fails to with pytest 9.2.

    It sets `_nodeid`, which pytest no longer reads: every group was split among the workers.
    """
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        for mark in item.iter_markers("xdist_group"):
            suffix = f"@{mark.args[0]}"
            if not item.nodeid.endswith(suffix):
                item._id = type(item._id).parse(f"{item.nodeid}{suffix}")  # noqa: SLF001


def pytest_collection_finish() -> None:
    # As a process of the server does (main/children.py): what was imported is not looked
    # through again and again, which took a sixth of the run.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_unconfigure(config: pytest.Config) -> None:
    watch = config.stash.get(_watch, None)
    if watch is not None:
        watch.communicate(timeout=300)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public data beside the project, or a skip."""
    place = Path(os.environ.get("SANGAM_SHARED", Path(__file__).parents[2] / "shared"))
    if not place.is_dir():
        pytest.skip(f"no public data at {place} (set SANGAM_SHARED)")
    return place


@pytest.fixture(scope="session")
def server_uri(request: pytest.FixtureRequest) -> str:
    """The maintenance database of this worker's PostgreSQL."""
    if given := os.environ.get("SANGAM_TEST_DATABASE_URL"):
        return given
    # Transactions of one database hold back the change feed of each other one of its cluster,
    # and locks and sessions are listed for the whole of it.
    place = request.config.stash[_run] / f"postgres-{WORKER}"
    lay(place)
    return postgres.start(place, QUICK)


@pytest.fixture(scope="session")
def own_database(server_uri: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """This worker's database, migrated."""
    if not os.environ.get("SANGAM_TEST_DATABASE_URL"):
        uri = conninfo.make_conninfo(server_uri, dbname=postgres.DATABASE)
        sessions.keep(uri)
        yield uri
        sessions.end()
        return
    run, name = request.config.stash[_run], f"sangam_{WORKER}"
    with FileLock(run / "lock"):
        if not (run / "migrated").exists():
            migrate.migrate(_create(server_uri, TEMPLATE, "template0"))
            (run / "migrated").touch()
        uri = _create(server_uri, name, TEMPLATE)
    sessions.keep(uri)
    yield uri
    sessions.end()
    _drop(server_uri, name)


@pytest.fixture(scope="session")
def emptying(own_database: str) -> Iterator[ConnectionPool]:
    """One connection for the whole run: a new one would read the catalogue first."""
    # A test may have ended every session.
    check = ConnectionPool.check_connection
    options = {"autocommit": True}
    with ConnectionPool(
        own_database, kwargs=options, min_size=1, num_workers=1, check=check, open=True
    ) as pool:
        yield pool


@pytest.fixture
def database_url(own_database: str, emptying: ConnectionPool) -> str:
    """A migrated database without a row."""
    with emptying.connection() as connection:
        connection.execute(EMPTY)
    return own_database


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Open pools over an empty database."""
    opened = Database(database_url, size=8)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def usual() -> Settings:
    # Many clients of a test come from one address.
    limits = Limits(client_requests=10_000, requests=10_000, writes=10_000)
    return Settings(demo=True, limits=limits)


@pytest.fixture
def settings(usual: Settings, tmp_path: Path) -> Settings:
    """Settings over a fresh data directory."""
    return usual.model_copy(update={"data_dir": tmp_path / "data"})


@pytest.fixture
async def server(database_url: str, settings: Settings) -> AsyncIterator[Server]:
    """The handle, its pools open, over an empty database."""
    async with wiring.running(settings, database_url, BASE) as built:
        yield built


@pytest.fixture
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the application; its paths are below the FHIR base."""
    transport = httpx.ASGITransport(app=create_app(server))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
        yield http


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    server = Running(tmp_path_factory.mktemp("standing") / "data")
    yield server
    if server.process is not None and server.process.poll() is None:
        assert server.stop() == 0, server.log()


@pytest.fixture
def running(standing: Running) -> Running:
    """A server of processes of its own, which runs and holds what other tests left there.

    The tests of the group "server" share it, as a start takes seconds of a core.
    """
    if standing.process is None or standing.process.poll() is not None:
        standing.start()
    return standing


# A TRUNCATE makes new files of a table and of each of its indexes, and a restarted sequence is
# a new file too: both together took a third of what a small test costs PostgreSQL. So rows are
# deleted while they fit the ten pages that PostgreSQL plans for in a table it knows nothing of,
# and a table that grew, or that was analysed, is truncated. The locks wait for who still writes.
EMPTY = """
DO $$
DECLARE filled text; grown text; name text;
BEGIN
    SELECT string_agg(oid::regclass::text, ', '),
           string_agg(oid::regclass::text, ', ')
               FILTER (WHERE reltuples >= 0 OR pg_relation_size(oid) >= 10 * 8192
                                 OR pg_table_size(oid) > 40 * 8192)
      INTO filled, grown FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
      AND relname <> 'alembic_version' AND pg_relation_size(oid) > 0;
    IF filled IS NOT NULL THEN
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', filled);
        IF grown IS NOT NULL THEN
            EXECUTE format('TRUNCATE %s CASCADE', grown);
        END IF;
        SET LOCAL session_replication_role = replica;
        FOREACH name IN ARRAY string_to_array(filled, ', ')
        LOOP
            EXECUTE format('DELETE FROM %s', name);
        END LOOP;
        SET LOCAL session_replication_role = origin;
    END IF;
    PERFORM setval(seqrelid, seqstart, false)
    FROM pg_sequence JOIN pg_class ON pg_class.oid = seqrelid
    WHERE relnamespace = 'public'::regnamespace
      AND pg_sequence_last_value(seqrelid) IS NOT NULL;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'tx' AND tablename ~ '_[0-9]+$'
    LOOP
        EXECUTE format('DROP TABLE tx.%I', name);
    END LOOP;
    DELETE FROM tx.code_system;
END $$
"""


def _create(server_uri: str, name: str, template: str) -> str:
    _drop(server_uri, name)
    with psycopg.connect(server_uri, autocommit=True) as connection:
        names = (sql.Identifier(name), sql.Identifier(template))
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*names))
    return conninfo.make_conninfo(server_uri, dbname=name)


def _drop(server_uri: str, name: str) -> None:
    with psycopg.connect(server_uri, autocommit=True) as connection:
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
        connection.execute(statement.format(sql.Identifier(name)))
