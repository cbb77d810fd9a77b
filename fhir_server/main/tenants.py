"""Tenants made, brought up to date, opened and taken away."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, Final, TypeAlias

import psycopg

from adapters.dicom.serving import Guest, Guests
from adapters.dicom.storage.tiered import archive_blobs
from fhir_server.audit.happening import ERASURE, SETTINGS_CHANGED
from fhir_server.bases import of_tenant
from fhir_server.blobs import blobs_of
from fhir_server.config import Settings
from fhir_server.errors import BadRequest
from fhir_server.main import administered
from fhir_server.main.schema import migrate
from fhir_server.main.startable import check_wall
from fhir_server.main.tenant_export import INSTANCES
from fhir_server.main.wiring import serving
from fhir_server.server import Server
from fhir_server.tenancy import erased, roles, tenant
from fhir_server.tenancy.handles import Opener
from fhir_server.tenancy.own_settings import check_apart, settings_of
from fhir_server.tenancy.tenant import Connection, Tenant
from fhir_server.tenancy.usage import Allowance

KEPT: Final = ("active", "suspended")
"""The states of tenants that are whole."""

_ERASABLE: Final[tuple[tenant.State, ...]] = ("suspended", "creating", "importing", "erasing")
_THERE: Final = "SELECT to_regclass('dicom_instance') IS NOT NULL"


Change: TypeAlias = Callable[[Tenant], Tenant]
"""Returns a tenant as it is to be."""


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
        make(settings, conninfo, connection, begun)
        migrate(roles.as_tenant(conninfo, begun), tenant=True)
        administered.note(roles.as_tenant(conninfo, begun), name, SETTINGS_CHANGED, "created")
        with connection.transaction():
            administered.keep(connection, name, SETTINGS_CHANGED, "created")
            tenant.enter(connection, name, "active", ("creating",))
        return tenant.named(connection, name)


def make(settings: Settings, conninfo: str, connection: Connection, begun: Tenant) -> None:
    """Make role and schema of a tenant, for the login that is to serve it."""
    if not settings.database_url and not settings.tenants.login_url:
        roles.make_login(connection)
    roles.make(connection, begun, roles.login(settings, conninfo))


def _begun(connection: Connection, wanted: Tenant) -> Tenant:
    """Return the row of a tenant that is being made: the one that a broken-off try left, or new."""
    for one in tenant.listed(connection):
        if one.name == wanted.name and one.state == "creating":
            return one
    tenant.add(connection, wanted)
    return wanted


def enter(conninfo: str, name: str, state: tenant.State, before: tenant.State) -> None:
    """Suspend or resume a tenant; Conflict when it is in another state."""
    with connected(conninfo) as connection:
        one = tenant.named(connection, name)
        if one.state == before:
            said = "suspended" if state == "suspended" else "resumed"
            administered.note(roles.as_tenant(conninfo, one), name, SETTINGS_CHANGED, said)
        with connection.transaction():
            administered.keep(connection, name, SETTINGS_CHANGED, state)
            tenant.enter(connection, name, state, (before,))


def change(settings: Settings, conninfo: str, name: str, otherwise: Change) -> None:
    """Give a tenant other settings or quotas; BadRequest when they cannot be used."""
    with connected(conninfo) as connection:
        before = tenant.named(connection, name)
        one = otherwise(before)
        check(settings, connection, one)
        said = f"changed: {', '.join(_changed(before, one)) or 'nothing'}"
        if one.state in KEPT:
            administered.note(roles.as_tenant(conninfo, one), name, SETTINGS_CHANGED, said)
        with connection.transaction():
            administered.keep(connection, name, SETTINGS_CHANGED, said)
            tenant.change(connection, one)


def _changed(before: Tenant, after: Tenant) -> Iterator[str]:
    """Yield the names of what is otherwise; values may be secrets."""
    for group in sorted(before.settings.keys() | after.settings.keys()):
        if before.settings.get(group) != after.settings.get(group):
            yield group
    for quota in ("max_resources", "max_bytes"):
        if getattr(before, quota) != getattr(after, quota):
            yield f"{quota} {getattr(after, quota) or 'none'}"


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
        found = [one for one in tenant.listed(connection) if one.state in KEPT]
        for one in found:
            roles.make_reader(connection, one, roles.login(settings, conninfo))
    for one in found:
        migrate(roles.as_tenant(conninfo, one), tenant=True)
    return len(found)


def settings_of_all(settings: Settings, conninfo: str) -> Iterator[tuple[Settings, str, str]]:
    """Yield settings, conninfo and name of each tenant that is kept."""
    with connected(conninfo) as connection:
        found = [one for one in tenant.listed(connection) if one.state in KEPT]
    for one in found:
        yield settings_of(settings, one), roles.as_tenant(conninfo, one), one.name


def check_walls(settings: Settings, conninfo: str) -> None:
    """Refuse a tenant without a second wall where its settings require one."""
    with connected(conninfo) as connection:
        found = [one for one in tenant.listed(connection) if one.state in KEPT]
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
        with connection.transaction():
            # Its own audit goes with it: that it went is told by the installation's.
            administered.keep(connection, name, ERASURE, "tenant")
            tenant.enter(connection, name, "erasing", _ERASABLE)
        leaving = tenant.named(connection, name)
        if roles.exists(connection, leaving):
            erased.remember(settings, conninfo, leaving)
        clear(settings, connection, conninfo, leaving)
        tenant.remove(connection, name)


def clear(settings: Settings, connection: Connection, conninfo: str, leaving: Tenant) -> None:
    """Drop schema, role and files of a tenant. BadRequest when a file cannot be removed."""
    own = settings_of(settings, leaving)
    if own.dicom.s3.bucket and roles.exists(connection, leaving):
        _empty_bucket(own, roles.as_tenant(conninfo, leaving), leaving.name)
    roles.drop(connection, leaving)
    folder = own.data_dir
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        raise BadRequest("Files of the tenant cannot be removed; its row is kept")


def _empty_bucket(own: Settings, conninfo: str, name: str) -> None:
    """Remove a tenant's DICOM files from the object store; OSError when that cannot be."""
    archive = archive_blobs(blobs_of(own, conninfo, name), own.dicom)
    with connected(conninfo) as connection:
        if connection.execute(_THERE).fetchone() != (True,):
            return  # its making broke off
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
            found = [one for one in tenant.listed(connection) if one.state in KEPT]
        every = {one.name: guest(one) for one in found}
        return {name: one for name, one in every.items() if one.settings.dicom.ae_titles}

    return present
