"""What a tenant uses, and its quotas."""

import asyncio
import math
from dataclasses import dataclass, field
from typing import Any, Final

from fhir_server.database import Connection, Database
from fhir_server.errors import Throttled
from fhir_server.tenancy.tenant import Tenant

# Many are not counted each time: PostgreSQL's own estimate is near enough for a quota.
STATEMENT: Final = """
SELECT CASE WHEN c.reltuples > 100000 THEN c.reltuples::bigint
            ELSE (SELECT count(*) FROM resource WHERE key > 0 AND NOT deleted) END,
       (SELECT coalesce(sum(pg_total_relation_size(t.oid)), 0)::bigint FROM pg_class AS t
        WHERE t.relnamespace = c.relnamespace AND t.relkind = 'r')
FROM pg_class AS c WHERE c.oid = 'resource'::regclass
"""
"""What is asked as a tenant's role of what it uses."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a tenant has: resources that are not deleted, and the bytes of its tables."""

    resources: int
    bytes: int


async def usage(connection: Connection) -> Usage:
    """Return what the tenant of this connection uses; of many resources an estimate."""
    row = await (await connection.execute(STATEMENT)).fetchone()
    assert row is not None
    return of_row(row)


def of_row(row: tuple[Any, ...]) -> Usage:
    """Return the usage of a row of `STATEMENT`."""
    return Usage(int(row[0]), int(row[1]))


@dataclass(slots=True)
class Allowance:
    """The quotas of a tenant, held against what it uses every `seconds`."""

    database: Database
    tenant: Tenant
    seconds: float
    looked_at: float | None = None
    over: str | None = None
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self) -> None:
        """Raise Throttled where a quota is used up, as it was `seconds` ago at most.

        It is no fault of what was sent: a message waits until there is room.
        """
        async with self.looking:
            now = asyncio.get_running_loop().time()
            if self.looked_at is None or now - self.looked_at >= self.seconds:
                async with self.database.aside() as connection:
                    self.over = exceeded(self.tenant, await usage(connection))
                self.looked_at = now
        if self.over is not None:
            headers = {"Retry-After": str(math.ceil(self.seconds))}
            raise Throttled(f"The tenant's quota of {self.over} is used up", headers=headers)


def exceeded(tenant: Tenant, used: Usage) -> str | None:
    """Return which quota is used up, None where none is."""
    if tenant.max_resources is not None and used.resources >= tenant.max_resources:
        return "resources"
    if tenant.max_bytes is not None and used.bytes >= tenant.max_bytes:
        return "bytes"
    return None
