"""Tenants made, brought up to date, opened and taken away."""

import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, Final

import psycopg

from adapters.dicom.serving import Guest, Guests
from adapters.dicom.storage.tiered import archive_blobs
from fhir_server.audit.happening import ERASURE
from fhir_server.audit.record import Record, keep_beside, who, written
from fhir_server.bases import of_tenant
from fhir_server.blobs import blobs_of
from fhir_server.config import Settings
from fhir_server.errors import BadRequest
from fhir_server.main.migrate import migrate
from fhir_server.main.opening import check_wall
from fhir_server.main.tenant_export import CALLER, INSTANCES
from fhir_server.main.wiring import serving
from fhir_server.server import Server
from fhir_server.tenancy import roles, tenant
from fhir_server.tenancy.handles import Opener
from fhir_server.tenancy.own_settings import check_apart, settings_of
from fhir_server.tenancy.tenant import Connection, Tenant
from fhir_server.tenancy.usage import Allowance

_KEPT: Final = ("active", "suspended")


@contextmanager
def connected(conninfo: str) -> Iterator[Connection]:
    """Lend a connection in autocommit as the operator of the installation."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        yield connection


def find(conninfo: str, name: str) -> Tenant:
    """Return the tenant of this name; NotFound when there is none."""
    with connected(conninfo) as connection:
        return tenant.named(connection, name)


def create(
    settings: Settings,
    conninfo: str,
    name: str,
    own: Mapping[str, Any] | None = None,
    *,
    max_resources: int | None = None,
    max_bytes: int | None = None,
) -> Tenant:
    """Make a tenant: its row, role, schema and tables. What broke off is gone on with.

    BadRequest when its settings cannot be used, Conflict when it is there already.
    """
    with connected(conninfo) as connection:
        wanted = tenant.new(name, own, max_resources=max_resources, max_bytes=max_bytes)
        check(settings, connection, wanted)
        begun = _begun(connection, wanted)
        serve_by = roles.login(settings, conninfo)
        if not settings.database_url and not settings.tenants.login_url:
            roles.make_login(connection)
        roles.make(connection, begun, serve_by)
        migrate(roles.as_tenant(conninfo, begun), tenant=True)
        tenant.enter(connection, name, "active", ("creating",))
        return tenant.named(connection, name)


def _begun(connection: Connection, wanted: Tenant) -> Tenant:
    """Return the row of a tenant that is being made: the one that a broken-off try left, or new."""
    for one in tenant.listed(connection):
        if one.name == wanted.name and one.state == "creating":
            return one
    tenant.add(connection, wanted)
    return wanted


def check(settings: Settings, connection: Connection, wanted: Tenant) -> None:
    """Raise BadRequest where a tenant's settings are wrong, or share what cannot be shared."""
    found = settings_of(settings, wanted)
    others = {
        one.name: settings_of(settings, one)
        for one in tenant.listed(connection)
        if one.name != wanted.name
    }
    check_apart(settings, others, found)


def migrate_all(settings: Settings, conninfo: str) -> int:
    """Bring the schema of every tenant up to date; return how many there are.

    Each is a transaction of its own: what breaks off is gone on with.
    """
    with connected(conninfo) as connection:
        found = [one for one in tenant.listed(connection) if one.state in _KEPT]
        for one in found:
            roles.make_reader(connection, one, roles.login(settings, conninfo))
    for one in found:
        migrate(roles.as_tenant(conninfo, one), tenant=True)
    return len(found)


def settings_of_all(settings: Settings, conninfo: str) -> Iterator[tuple[Settings, str, str]]:
    """Yield settings, conninfo and name of each tenant that is kept."""
    with connected(conninfo) as connection:
        found = [one for one in tenant.listed(connection) if one.state in _KEPT]
    for one in found:
        yield settings_of(settings, one), roles.as_tenant(conninfo, one), one.name


def check_walls(settings: Settings, conninfo: str) -> None:
    """Refuse a tenant without a second wall where its settings require one."""
    with connected(conninfo) as connection:
        found = [one for one in tenant.listed(connection) if one.state in _KEPT]
    serve_by = roles.login(settings, conninfo)
    for one in found:
        check_wall(settings_of(settings, one), roles.as_tenant(serve_by, one))


def erase(settings: Settings, conninfo: str, name: str, confirmed: str) -> None:
    """Drop schema, role and files of a tenant, for good; one broken off is gone on with.

    It must be suspended, and `confirmed` be its name: BadRequest or Conflict say what is not so.
    """
    if confirmed != name:
        raise BadRequest("The name that was typed to confirm is another")
    with connected(conninfo) as connection:
        tenant.enter(connection, name, "erasing", ("suspended", "creating", "erasing"))
        # Its own audit goes with it: that it went is told by the installation's.
        said = Record("happening", who(CALLER), happening=ERASURE, about=[name], detail="tenant")
        keep_beside(connection, [written(said)])
        leaving = tenant.named(connection, name)
        own = settings_of(settings, leaving)
        if own.dicom.s3.bucket:
            _empty_bucket(own, roles.as_tenant(conninfo, leaving), name)
        roles.drop(connection, leaving)
        folder = own.data_dir
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            raise BadRequest("Files of the tenant cannot be removed; its row is kept")
        tenant.remove(connection, name)


def _empty_bucket(own: Settings, conninfo: str, name: str) -> None:
    """Remove a tenant's DICOM files from the object store; OSError when that cannot be."""
    archive = archive_blobs(blobs_of(own, conninfo, name), own.dicom)
    with connected(conninfo) as connection:
        for (digest,) in connection.execute(INSTANCES).fetchall():
            archive.remove(digest)


def opener(settings: Settings, conninfo: str, base: str) -> Opener:
    """Return what opens the handles of tenants of the installation with this base URL."""
    serve_by = roles.login(settings, conninfo)

    @asynccontextmanager
    async def opened(one: Tenant) -> AsyncIterator[Server]:
        own = settings_of(settings, one)
        own.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        said = roles.as_tenant(serve_by, one)
        async with serving(own, said, of_tenant(base, one.name), one.name) as server:
            limited = one.max_resources is not None or one.max_bytes is not None
            allowance = Allowance(server.database, one, own.tenants.usage_seconds)
            yield replace(server, afford=allowance) if limited else server

    return opened


def guests(settings: Settings, conninfo: str) -> Guests:
    """Return what tells DICOM listeners of the tenants that have AE titles."""
    serve_by = roles.login(settings, conninfo)
    known: dict[str, tuple[Tenant, Guest]] = {}

    def guest(one: Tenant) -> Guest:
        before = known.get(one.name)
        if before is None or before[0] != one:
            own = settings_of(settings, one)
            said = roles.as_tenant(serve_by, one)
            blobs = blobs_of(own, said, one.name)
            known[one.name] = before = (one, Guest(own, said, blobs, one.state == "active"))
        return before[1]

    def present() -> dict[str, Guest]:
        with connected(conninfo) as connection:
            found = [one for one in tenant.listed(connection) if one.state in _KEPT]
        every = {one.name: guest(one) for one in found}
        return {name: one for name, one in every.items() if one.settings.dicom.ae_titles}

    return present
