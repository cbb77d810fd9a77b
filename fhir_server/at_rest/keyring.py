"""The data keys of a tenant: wrapped in its database, opened in each of its processes."""

import asyncio
import logging
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg

from fhir_server.at_rest import master
from fhir_server.at_rest.custody import Custody, custody
from fhir_server.at_rest.keys import Damaged, DataKey, new
from fhir_server.config import Settings
from fhir_server.database import Connection
from fhir_server.errors import Conflict

FOLDER: Final = "blobs"
"""The folder of large content in the data directory."""

FRESH_SECONDS: Final = 5.0
"""A process that writes learns of a new key within this time."""

STALE_SECONDS: Final = 30.0
"""Under a key that is not known to be current since then nothing is sealed."""

WRAPPING: Final = 7_261_964_034
"""The advisory lock that is shared by who wraps a key, and had alone by who changes the master."""

_BESIDE: Final = "SELECT pg_advisory_xact_lock_shared(%s)"
_CONNECT_SECONDS: Final = 5
_READ: Final = """
SELECT k.id, k.wrapped, k."current", coalesce(r.plain, true)
FROM data_key AS k LEFT JOIN data_key_rotation AS r ON r.id = 1
"""
# A database that holds nothing has no files of before either.
_SETTLE: Final = """
WITH first AS (
  INSERT INTO data_key (id, wrapped, "current") VALUES (%s, %s, true)
  ON CONFLICT DO NOTHING RETURNING id
)
INSERT INTO data_key_rotation (id, plain) SELECT 1, EXISTS (SELECT FROM resource) OR %s FROM first
ON CONFLICT DO NOTHING
"""
_RETIRE: Final = """
UPDATE data_key SET "current" = false, retired_at = clock_timestamp() WHERE "current"
"""
_ADD: Final = 'INSERT INTO data_key (id, wrapped, "current") VALUES (%s, %s, true)'
_LIST: Final = """
SELECT encode(id, 'hex'), made_at, retired_at, wrapped FROM data_key ORDER BY made_at DESC
"""
_DROP: Final = """
DELETE FROM data_key WHERE NOT "current" AND id = ANY(%s) RETURNING encode(id, 'hex')
"""

_HEX: Final = "[0-9a-f][0-9a-f]"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _State:
    keys: Mapping[bytes, DataKey] = field(default_factory=dict)
    current: DataKey | None = None
    plain: bool = True
    at: float = float("-inf")


class Keyring:
    """The keys as this process knows them; it looks again when it has to.

    Looking waits for the database: what runs on an event loop calls `look`, `current`, `of` and
    `plain`, and what calls these, in a thread beside it.
    """

    def __init__(self, conninfo: str, tenant: str, held: Custody, files: Path) -> None:
        """Read nothing yet; `files` is the folder below which sealed files lie."""
        self._conninfo = conninfo
        self._tenant = tenant
        self._held = held
        self._files = files
        self._state = _State()
        self._looking = threading.Lock()

    async def open(self, connection: Connection) -> None:
        """Read the keys; who is first in a database makes them. In autocommit.

        Conflict when the master key is missing or another's.
        """
        rows = await (await connection.execute(_READ)).fetchall()
        if not rows:
            async with connection.transaction():
                await connection.execute(_BESIDE, (WRAPPING,))
                await connection.execute(_SETTLE, await asyncio.to_thread(self._first))
            rows = await (await connection.execute(_READ)).fetchall()
        await asyncio.to_thread(self._take, rows)

    async def rotate(self, connection: Connection) -> str:
        """Make a new key that seals from now on, inside a transaction; return its id in hex."""
        made = new()
        await connection.execute(_BESIDE, (WRAPPING,))
        await connection.execute(_RETIRE)
        await connection.execute(_ADD, (made.id, await asyncio.to_thread(self._wrapped, made)))
        return made.id.hex()

    def look(self) -> None:
        """Read the keys again. OSError when the database does not answer."""
        with self._looking:
            self._look()

    def current(self) -> DataKey:
        """Return the key that seals. OSError when it is not known for too long."""
        age = time.monotonic() - self._state.at
        if age > STALE_SECONDS:
            with self._looking:
                if time.monotonic() - self._state.at > STALE_SECONDS:
                    self._look()
        elif age > FRESH_SECONDS and self._looking.acquire(blocking=False):
            try:
                self._look()
            except OSError:  # the present one does for a while
                pass
            finally:
                self._looking.release()
        found = self._state.current
        if found is None:
            raise Damaged("There is no data key")
        return found

    def of(self, id_: bytes) -> DataKey:
        """Return the key of this id; Damaged when the tenant has none such."""
        found = self._state.keys.get(id_)
        if found is None:
            with self._looking:
                # What names no key at all must not have the database asked each time.
                if id_ not in self._state.keys and time.monotonic() - self._state.at > 1:
                    self._look()
            found = self._state.keys.get(id_)
        if found is None:
            raise Damaged("It is sealed under a key that this tenant does not have")
        return found

    def plain(self) -> bool:
        """Return whether files that are not sealed are believed."""
        if self._state.plain and time.monotonic() - self._state.at > STALE_SECONDS:
            with self._looking:
                self._look()
        return self._state.plain

    def _look(self) -> None:
        if _on_event_loop():
            log.error("the data keys are read on an event loop, which waits", stack_info=True)
        try:
            with psycopg.connect(
                self._conninfo, autocommit=True, connect_timeout=_CONNECT_SECONDS
            ) as connection:
                rows = connection.execute(_READ).fetchall()
                if not rows:
                    with connection.transaction():
                        connection.execute(_BESIDE, (WRAPPING,))
                        connection.execute(_SETTLE, self._first())
                    rows = connection.execute(_READ).fetchall()
            self._take(rows)
        except psycopg.Error as error:
            raise OSError(f"The data keys cannot be read ({type(error).__name__})") from None
        except Conflict as error:
            raise OSError(str(error)) from None

    def _first(self) -> tuple[bytes, bytes, bool]:
        """Return the row of a first key, and whether files are there that are not sealed."""
        self._held.make()
        key = new()
        return key.id, self._wrapped(key), _has_files(self._files)

    def _wrapped(self, key: DataKey) -> bytes:
        return self._held.read().wrapped(self._tenant, key)

    def _take(self, rows: Sequence[tuple[Any, ...]]) -> None:
        keys = {id_: key for id_, key in self._state.keys.items() if any(id_ == r[0] for r in rows)}
        missing = [(id_, wrapped) for id_, wrapped, *_ in rows if id_ not in keys]
        if missing:
            opening = self._held.read()
            if not all(opening.opens(said) for _, said in missing):
                opening = self._held.read(fresh=True)
            keys |= {id_: opening.unwrapped(self._tenant, id_, said) for id_, said in missing}
        current = next((keys[row[0]] for row in rows if row[2]), None)
        self._state = _State(keys, current, any(row[3] for row in rows), time.monotonic())


@dataclass(frozen=True, slots=True)
class Listed:
    """A data key as operators see it; `master` is by what its master key is known, in hex."""

    id: str
    made: Any
    retired: Any
    master: str


async def listed(connection: Connection) -> list[Listed]:
    """Return the data keys, the newest first."""
    rows = await (await connection.execute(_LIST)).fetchall()
    return [
        Listed(id_, made, retired, master.mark_of(wrapped).hex())
        for id_, made, retired, wrapped in rows
    ]


async def drop(connection: Connection, ids: Sequence[bytes]) -> list[str]:
    """Remove keys that seal nothing any more, and return their ids in hex."""
    rows = await (await connection.execute(_DROP, (list(ids),))).fetchall()
    return [row[0] for row in rows]


def keyring(settings: Settings, conninfo: str, tenant: str) -> Keyring:
    """Return the keyring of a tenant, which reads the keys when they are first needed."""
    return Keyring(conninfo, tenant, custody(settings), settings.data_dir / FOLDER)


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _has_files(root: Path) -> bool:
    """Return whether blobs were stored already, of the server or below it of the archive."""
    return any(any(root.glob(f"{room}{_HEX}/{_HEX}")) for room in ("", "*/"))
