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

from fhir_server.api.app import Asgi, create_app
from fhir_server.api.by_tenant import by_tenant
from fhir_server.config import Limits, Settings
from fhir_server.main import tenants
from fhir_server.main.wiring import BESIDE, FIGURES
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


def settings_over(place: Path, conninfo: str) -> Settings:
    """Return the settings of an installation with tenants whose files lie in a place."""
    login = make_conninfo(conninfo, user=LOGIN, password=LOGIN)
    return Settings(
        demo=True,
        data_dir=place,
        database_url=conninfo,
        limits=LIMITS,
        tenants={"login_url": login, "look_seconds": 0.01},
    )


@pytest.fixture(scope="session")
def made(own_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Tenant]]:
    """Two tenants with schemas and roles, which the installation does not know yet."""
    settings = settings_over(tmp_path_factory.mktemp("making"), own_database)
    with psycopg.connect(own_database, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {LOGIN}")
        connection.execute(f"CREATE ROLE {LOGIN} LOGIN NOINHERIT PASSWORD '{LOGIN}'")
        for name in NAMES:
            own = {
                "hl7": {"channels": [{"name": "lab", "port": 0}]},
                "astm": {"port": 0},
                "dicom": {"ae_titles": [name.upper()], "quiet_seconds": 0},
            }
            tenants.create(settings, own_database, name, own)
        found = tenant.listed(connection)
        connection.execute("DELETE FROM tenancy.tenant")
    yield found
    with psycopg.connect(own_database, autocommit=True) as connection:
        for one in found:
            roles.drop(connection, one)
        connection.execute(f"DROP ROLE {LOGIN}")


@pytest.fixture(scope="module")
def installation(
    own_database: str, made: list[Tenant], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    settings = settings_over(tmp_path_factory.mktemp("installation"), own_database)
    with psycopg.connect(own_database, autocommit=True) as connection:
        for one in made:
            connection.execute(EMPTY.format(one.schema))
            tenant.add(connection, one)
        yield Installation(settings, own_database)
        for one in tenant.listed(connection):
            if one.schema not in {known.schema for known in made}:
                roles.drop(connection, one)
            tenant.remove(connection, one.name)


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


def application(handle: Server) -> Asgi:
    """Return the whole application of a tenant, with what is beside FHIR."""
    return create_app(handle, FIGURES, [one for make in BESIDE for one in make(handle)])


@pytest.fixture
async def client(server: Server, installation: Installation) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of an installation with tenants; its paths begin at the root."""
    register = Register(server.database, 0.0)
    opener = tenants.opener(installation.settings, installation.conninfo, server.base)
    async with handles(register, opener, application) as held:
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


async def by_rest(client: httpx.AsyncClient, name: str, n: int) -> None:
    patient = {"resourceType": "Patient", "id": f"p{n}", "name": [{"family": name}]}
    patient["identifier"] = [{"system": "urn:mrn", "value": f"M{n}"}]
    answer = await client.put(f"/fhir/t/{name}/Patient/p{n}", json=patient)
    assert answer.status_code in {200, 201}
    created = {"resourceType": "Observation", "status": "final", "code": {"text": name}}
    created["subject"] = {"reference": f"Patient/p{n}"}
    answer = await client.post(f"/fhir/t/{name}/Observation", json=created)
    assert answer.status_code == 201
