"""What a tenant uses, and its quotas."""

import asyncio
import math
from dataclasses import dataclass, field, fields
from typing import Any, Final

from fhir_server.database import Connection, Database
from fhir_server.errors import Throttled
from fhir_server.tenancy.tenant import Tenant

AUDIT_EVENT: Final = 7
"""The number of the type AuditEvent: who reads makes those, and they are no one's to delete."""

# A negative key is that of a resource contained in another.
_RESOURCES: Final = f"""
SELECT count(*) FROM resource WHERE key > 0 AND NOT deleted AND type_id <> {AUDIT_EVENT}
"""
_BYTES: Final = """
SELECT coalesce(sum(pg_total_relation_size(t.oid)), 0)::bigint FROM pg_class AS t
WHERE t.relkind = 'r'
  AND t.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'resource'::regclass)
"""

STATEMENT: Final = f"SELECT ({_RESOURCES}), ({_BYTES})"
"""What is asked as a tenant's role of what it uses of its quotas."""

ALL: Final = f"""
SELECT ({_RESOURCES}), ({_BYTES}),
       (SELECT count(*) FROM body WHERE key > 0),
       (SELECT count(*) FROM resource WHERE key > 0 AND type_id = {AUDIT_EVENT}),
       (SELECT count(*) FROM hl7_message),
       (SELECT count(*) FROM dicom_study),
       (SELECT count(*) FROM dicom_instance),
       (SELECT coalesce(sum(size), 0)::bigint FROM dicom_instance),
       (SELECT count(*) FROM identity_user WHERE active)
"""
"""What is asked of all that a tenant has."""

_SHARE: Final = 50
"""Counting takes a fiftieth of the time at most."""

_SOONEST: Final = 1.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant has: resources that are not deleted, and the bytes of its tables."""

    resources: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All that a tenant has, each counted: `bytes` are those of tables, `image_bytes` of DICOM.

    AuditEvents are no `resources`, and of the `versions`.
    """

    resources: int
    bytes: int
    versions: int
    audit_events: int
    messages: int
    studies: int
    images: int
    image_bytes: int
    users: int

    def told(self) -> list[tuple[str, int]]:
        """Return the figures with their names, as people are told them."""
        return [(one.name.replace("_", " "), getattr(self, one.name)) for one in fields(self)]


async def usage(connection: Connection) -> Usage:
    """Return what the tenant of this connection uses."""
    row = await (await connection.execute(STATEMENT)).fetchone()
    assert row is not None
    return of_row(row)


def of_row(row: tuple[Any, ...]) -> Usage:
    """Return the usage of a row of `STATEMENT`."""
    return Usage(int(row[0]), int(row[1]))


@dataclass(slots=True)
class Allowance:
    """The quotas of a tenant, held against what it uses every `seconds`.

    What this process stores meanwhile counts too: it looks sooner when that may be too much.
    """

    database: Database
    tenant: Tenant
    seconds: float
    used: Usage | None = None
    looked_at: float = -math.inf
    took: float = 0.0
    since: int = 0
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, count: int) -> None:
        """Raise Throttled where a quota is used up and `count` resources are to be stored.

        It is no fault of what was sent: a message waits until there is room.
        """
        if self.used is None or (self._due() and not self.looking.locked()):
            async with self.looking:
                if self._due():
                    await self._look()
        assert self.used is not None
        over = exceeded(self.tenant, self.used)
        if over is not None:
            headers = {"Retry-After": str(math.ceil(self.seconds))}
            raise Throttled(f"The tenant's quota of {over} is used up", headers=headers)
        self.since += count

    def _due(self) -> bool:
        if self.used is None:
            return True
        age = asyncio.get_running_loop().time() - self.looked_at
        most = self.tenant.max_resources
        near = most is not None and self.used.resources + self.since >= most
        soon = min(_SOONEST, self.seconds) if near else self.seconds
        return age >= max(soon, _SHARE * self.took)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with self.database.aside() as connection:
            self.used = await usage(connection)
        self.looked_at, self.since = loop.time(), 0
        self.took = self.looked_at - began


def exceeded(tenant: Tenant, used: Usage) -> str | None:
    """Return which quota is used up, None where none is."""
    if tenant.max_resources is not None and used.resources >= tenant.max_resources:
        return "resources"
    if tenant.max_bytes is not None and used.bytes >= tenant.max_bytes:
        return "bytes"
    return None
