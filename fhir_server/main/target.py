"""The server and the database that a command works on."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from fhir_server.config import Settings
from fhir_server.database import Database
from fhir_server.main.databases import base_of, database_of, lent, running_server
from fhir_server.main.options import fail, given
from fhir_server.main.tenants import connected, opener
from fhir_server.main.wiring import running
from fhir_server.server import Server
from fhir_server.tenancy.own_settings import settings_of
from fhir_server.tenancy.roles import as_tenant
from fhir_server.tenancy.tenant import Tenant, named


@dataclass(frozen=True, slots=True)
class Target:
    """What sub-commands open: called the database, or with `server` all that a server has.

    `given` makes settings of flags; `flags` are those of this command. With a `tenant` all is
    that tenant's: settings, database, handle.
    """

    given: Callable[..., Settings]
    flags: Mapping[str, Any] = field(default_factory=dict)
    tenant: str | None = None

    def at(self, *, tenant: str | None = None, **flags: Any) -> "Target":  # noqa: ANN401  (each field checks its own)
        """Return the target that more flags name."""
        return replace(self, flags={**self.flags, **flags}, tenant=tenant or self.tenant)

    def settings(self) -> Settings:
        """Return the settings, flags first."""
        if self.tenant is None:
            return self.installation()
        with self._database() as conninfo:
            return settings_of(self.installation(), self._named(conninfo))

    def installation(self) -> Settings:
        """Return the settings of the installation, whichever tenant is meant."""
        return self.given(**self.flags)

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Database]:
        """Lend the open database."""
        with self._database() as conninfo:
            at = conninfo if self.tenant is None else as_tenant(conninfo, self._named(conninfo))
            async with lent(at) as pool:
                yield pool

    def present(self) -> Settings:
        """Return the settings, or end the command where a server never ran.

        Typed in another directory, it would make an empty database there.
        """
        settings = self.installation()
        if not settings.database_url and not (settings.data_dir / "postgres").exists():
            fail(
                f"No data in {settings.data_dir.resolve()}. Name the server's data directory by "
                "--data-dir or SANGAM_DATA_DIR, or start a server: sangam serve --demo"
            )
        return settings if self.tenant is None else self.settings()

    def listener(self, name: str) -> tuple[str, int] | None:
        """Return host and port of a listener of the running server (`mllp`, `astm`).

        None for a tenant, which has none of these.
        """
        server = running_server(self.installation().data_dir) if self.tenant is None else None
        return (server.host, server.ports[name]) if server and name in server.ports else None

    @asynccontextmanager
    async def server(self) -> AsyncIterator[Server]:
        """Lend the handle over the database, under the base URL of the running server."""
        settings = self.installation()
        with self._database() as conninfo:
            base = base_of(settings)
            opening: AbstractAsyncContextManager[Server]
            if self.tenant is None:
                opening = running(settings, conninfo, base)
            else:
                opening = opener(settings, conninfo, base)(self._named(conninfo))
            async with opening as server:
                yield server

    @contextmanager
    def _database(self) -> Iterator[str]:
        replace(self, tenant=None).present()
        with database_of(self.installation()) as conninfo:
            yield conninfo

    def _named(self, conninfo: str) -> Tenant:
        assert self.tenant is not None
        with connected(conninfo) as connection:
            return named(connection, self.tenant)


def of_flags() -> Target:
    """Return the target before any flag of a command is known."""
    return Target(given)
