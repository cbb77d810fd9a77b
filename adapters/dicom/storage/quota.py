"""What the archive holds of each sender, and how much more it may take.

What a process has stored since is counted in memory and written down every few seconds, so
that storing an instance costs no statement more; processes may so exceed a quota together by
what comes in that time.
"""

import asyncio
import logging
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import psycopg

from fhir_server.database import Connection, Database
from fhir_server.errors import Unavailable

log = logging.getLogger(__name__)

ALL: Final = "*"
"""Name of the account of all senders together."""

WARN_SHARE = 0.8
UNLIMITED = 1 << 62
_SETTLE_SECONDS = 2.0
_WAIT_SECONDS = 30.0
_RESERVE_BYTES = 20 << 30
_RESERVE_SHARE = 0.05

_CHARGE = """
INSERT INTO dicom_usage (name, bytes, instances)
SELECT * FROM unnest(%(names)s::text[], %(bytes)s::bigint[], %(instances)s::bigint[]) ORDER BY 1
ON CONFLICT (name) DO UPDATE SET bytes = dicom_usage.bytes + excluded.bytes,
                                 instances = dicom_usage.instances + excluded.instances
"""
ACCOUNTS: Final = "SELECT name, bytes, instances, quota FROM dicom_usage ORDER BY name"

# Senders of whom nothing is left keep their account for its quota. What a process has stored and
# not settled yet is counted twice, until it is counted again.
RECOUNT: Final = """
WITH held AS (
    SELECT calling_ae, size FROM dicom_instance
    UNION ALL SELECT calling_ae, coalesce(size, 0) FROM dicom_conflict
), counted AS (
    SELECT calling_ae AS name, sum(size)::bigint AS bytes, count(*) AS instances
    FROM held GROUP BY 1
), emptied AS (
    UPDATE dicom_usage SET bytes = 0, instances = 0
    WHERE name <> '*' AND name NOT IN (SELECT name FROM counted)
)
INSERT INTO dicom_usage (name, bytes, instances) SELECT * FROM counted ORDER BY 1
ON CONFLICT (name) DO UPDATE SET bytes = excluded.bytes, instances = excluded.instances
"""


# Of an archive that is older than its accounts.
NEVER_COUNTED: Final = """
SELECT NOT EXISTS (SELECT FROM dicom_usage WHERE instances > 0)
   AND EXISTS (SELECT FROM dicom_instance WHERE received_at < now() - interval '1 minute')
"""


@dataclass(frozen=True, slots=True)
class Account:
    """What is held of a sender; `quota` in bytes, None for none of its own."""

    name: str
    bytes: int
    instances: int
    quota: int | None = None


class Ledger(Protocol):
    """Where accounts are kept."""

    def settle(self, charges: Mapping[str, tuple[int, int]]) -> list[Account]:
        """Add bytes and instances to accounts, and return all.

        Raises psycopg.Error, Unavailable and TimeoutError.
        """


class Quota:
    """The accounts as a process knows them. `limit` is the quota of all together, 0 for none."""

    def __init__(self, ledger: Ledger, limit: int = 0) -> None:
        self._ledger = ledger
        self._limit = limit
        self._lock = threading.Lock()
        self._settling = threading.Lock()
        self._accounts: Mapping[str, Account] = {}
        self._bytes: Counter[str] = Counter()
        self._instances: Counter[str] = Counter()
        self._settled = -_SETTLE_SECONDS
        self._warned: set[str] = set()

    def room(self, name: str) -> int:
        """Return how many bytes this sender may still store."""
        self._refresh()
        with self._lock:
            left = [quota - held for _, held, quota in self._limits(name) if quota]
        return min(left, default=UNLIMITED)

    def charge(self, name: str, size: int) -> None:
        """Take note of an instance that was stored."""
        with self._lock:
            self._bytes[name] += size
            self._instances[name] += 1
            limits = [one for one in self._limits(name) if one[2]]
        for account, held, quota in limits:
            self._warn(account, held / quota)

    def settle(self) -> None:
        """Write down what was stored, and learn what others did."""
        with self._lock:
            sizes, counts = self._bytes, self._instances
            self._bytes, self._instances = Counter(), Counter()
        charges = {name: (sizes[name], counts[name]) for name in sizes}
        try:
            found = self._ledger.settle(charges)
        except (psycopg.Error, Unavailable, OSError) as error:
            log.warning("the quotas were not settled: %s", type(error).__name__)
            with self._lock:
                self._bytes.update(sizes)
                self._instances.update(counts)
            return
        with self._lock:
            self._accounts = {account.name: account for account in found}

    def settle_often(self, stop: threading.Event) -> None:
        """Settle every few seconds in which something was stored, until `stop` is set."""
        while not stop.wait(_SETTLE_SECONDS):
            if self._instances:
                self.settle()

    def _refresh(self) -> None:
        """Settle where that was long ago; others go on meanwhile with what they know."""
        if time.monotonic() - self._settled < _SETTLE_SECONDS:
            return
        if self._settling.acquire(blocking=not self._accounts):
            try:
                if time.monotonic() - self._settled >= _SETTLE_SECONDS:
                    self.settle()
                    self._settled = time.monotonic()
            finally:
                self._settling.release()

    def _limits(self, name: str) -> list[tuple[str, int, int]]:
        """Return the accounts that limit a sender: name, bytes held, quota or 0."""
        own, every = self._accounts.get(name), self._accounts.get(ALL)
        total = sum(one.bytes for one in self._accounts.values()) + self._bytes.total()
        limit = self._limit if every is None or every.quota is None else every.quota
        held = (own.bytes if own else 0) + self._bytes[name]
        return [(ALL, total, limit), (name, held, (own.quota or 0) if own else 0)]

    def _warn(self, name: str, share: float) -> None:
        if share < WARN_SHARE:
            self._warned.discard(name)
        elif name not in self._warned:
            self._warned.add(name)
            log.warning("the quota of %s is used to %.0f %%", name, share * 100)


class Sessions:
    """The ledger by connections in autocommit."""

    def __init__(
        self, connect: Callable[[], AbstractContextManager[psycopg.Connection[tuple[Any, ...]]]]
    ) -> None:
        self._connect = connect

    def settle(self, charges: Mapping[str, tuple[int, int]]) -> list[Account]:
        """Do as `Ledger.settle` says."""
        with self._connect() as connection:
            if charges:
                connection.execute(_CHARGE, _columns(charges))
            return [Account(*row) for row in connection.execute(ACCOUNTS)]


class Loop:
    """The ledger by connections of an event loop, for threads beside it."""

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self._database = database
        self._loop = loop

    def settle(self, charges: Mapping[str, tuple[int, int]]) -> list[Account]:
        """Do as `Ledger.settle` says."""
        settling = asyncio.run_coroutine_threadsafe(self._settle(charges), self._loop)
        return settling.result(_WAIT_SECONDS)

    async def _settle(self, charges: Mapping[str, tuple[int, int]]) -> list[Account]:
        async with self._database.statement() as connection:
            if charges:
                await connection.execute(_CHARGE, _columns(charges))
            return await accounts(connection)


async def accounts(connection: Connection) -> list[Account]:
    """Return all accounts."""
    cursor = await connection.execute(ACCOUNTS)
    return [Account(*row) for row in await cursor.fetchall()]


def _columns(charges: Mapping[str, tuple[int, int]]) -> dict[str, list[Any]]:
    return {
        "names": list(charges),
        "bytes": [size for size, _ in charges.values()],
        "instances": [count for _, count in charges.values()],
    }


@dataclass(frozen=True, slots=True)
class Reserve:
    """The part of a disk that stays free: `size` in bytes, or None for 20 GiB or 5 % of it."""

    size: int | None = None

    def free(self, root: Path) -> int:
        """Return how many bytes may be written there; negative below the reserve."""
        usage = shutil.disk_usage(root)
        kept = self.size
        if kept is None:
            kept = min(_RESERVE_BYTES, int(usage.total * _RESERVE_SHARE))
        return usage.free - kept


def recount(
    connection: psycopg.Connection[tuple[Any, ...]], quota: Quota, *, again: bool = True
) -> None:
    """Count what is held anew; unless `again`, only where it was never counted."""
    row = connection.execute(NEVER_COUNTED).fetchone()
    if again or (row and row[0]):
        quota.settle()
        connection.execute(RECOUNT)
