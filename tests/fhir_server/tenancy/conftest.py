"""Two tenants of one installation, with equal settings but for their AE titles."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from fhir_server.api.app import create_app
from fhir_server.api.by_tenant import by_tenant
from fhir_server.config import Limits, Settings
from fhir_server.main import tenants
from fhir_server.server import Server
from fhir_server.tenancy import roles, tenant
from fhir_server.tenancy.handles import Register, handles
from fhir_server.tenancy.own_settings import settings_of
from fhir_server.tenancy.tenant import Tenant

NAMES = ("north", "south")
LOGIN = "sangam_test_tenants"
LIMITS = Limits(client_requests=10_000, requests=10_000, writes=10_000)


@dataclass(frozen=True)
class Installation:
    """An installation with two tenants: its settings, its conninfo, and theirs."""

    settings: Settings
    conninfo: str

    def of(self, name: str) -> Tenant:
        with psycopg.connect(self.conninfo) as connection:
            return tenant.named(connection, name)

    def as_tenant(self, name: str) -> str:
        login = roles.login(self.settings, self.conninfo)
        return roles.as_tenant(login, self.of(name))

    def enter(self, name: str, state: tenant.State) -> None:
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            tenant.enter(connection, name, state, ("active", "suspended"))

    def blobs(self, name: str) -> Path:
        return settings_of(self.settings, self.of(name)).data_dir / "blobs"


@pytest.fixture(scope="module")
def installation(
    own_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    login = make_conninfo(own_database, user=LOGIN, password=LOGIN)
    settings = Settings(
        demo=True,
        data_dir=tmp_path_factory.mktemp("installation"),
        database_url=own_database,
        limits=LIMITS,
        tenants={"login_url": login, "look_seconds": 0.01},
    )
    made = Installation(settings, own_database)
    with psycopg.connect(own_database, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {LOGIN}")
        connection.execute(f"CREATE ROLE {LOGIN} LOGIN NOINHERIT PASSWORD '{LOGIN}'")
        for name in NAMES:
            own = {
                "hl7": {"channels": [{"name": "lab", "port": 0}]},
                "dicom": {"ae_titles": [name.upper()], "quiet_seconds": 0},
            }
            tenants.create(settings, own_database, name, own)
        yield made
        for one in tenant.listed(connection):
            roles.drop(connection, one)
            tenant.remove(connection, one.name)
        connection.execute(f"DROP ROLE {LOGIN}")


# As for the installation (tests/conftest.py): a TRUNCATE of so many tables takes a second.
EMPTY = """
DO $$
DECLARE name regclass;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT oid FROM pg_class WHERE relnamespace = '{}'::regnamespace
        AND relkind = 'r' AND relname <> 'alembic_version' AND pg_relation_size(oid) > 0
    LOOP
        EXECUTE format('DELETE FROM %s', name);
    END LOOP;
END $$
"""


@pytest.fixture
def empty(installation: Installation) -> Installation:
    """The same, the tenants without a row."""
    with psycopg.connect(installation.conninfo, autocommit=True) as connection:
        for name in NAMES:
            connection.execute(EMPTY.format(installation.of(name).schema))
    return installation


@asynccontextmanager
async def opened(installation: Installation, base: str) -> AsyncIterator[dict[str, Server]]:
    """Lend the handles of both tenants."""
    opener = tenants.opener(installation.settings, installation.conninfo, base)
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(opener(installation.of(name))) for name in NAMES
        }


@pytest.fixture
async def client(server: Server, installation: Installation) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of an installation with tenants; its paths begin at the root."""
    register = Register(server.database, 0.0)
    opener = tenants.opener(installation.settings, installation.conninfo, server.base)
    async with handles(register, opener, create_app) as held:
        transport = httpx.ASGITransport(app=by_tenant(create_app(server), held.of))
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
            yield http


async def happens(condition: Callable[[], bool | Awaitable[bool]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)
