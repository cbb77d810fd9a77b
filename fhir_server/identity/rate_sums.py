"""Sums of the requests that all processes count, once a second at most.

No request waits for them. Without the database each process goes on by its own count.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

import psycopg

from fhir_server.errors import SangamError
from fhir_server.identity import opaque
from fhir_server.identity.rates import Key, Rates
from fhir_server.server import Server

SECONDS: Final = 1.0
"""How long after the first new count it is added to the others'."""

_PURPOSE: Final = "request rate"
_KEY_BYTES: Final = 16
_KEPT_MINUTES: Final = 2

# In one order, so that two processes do not wait for each other in a circle.
_ADD: Final = """
INSERT INTO request_rate AS known (minute, key, count)
SELECT %(minute)s, key, count FROM unnest(%(keys)s::bytea[], %(counts)s::bigint[])
    AS fresh(key, count) ORDER BY key
ON CONFLICT (minute, key) DO UPDATE SET count = known.count + excluded.count
RETURNING key, count
"""
_FORGET: Final = "DELETE FROM request_rate WHERE minute < %s"

log = logging.getLogger(__name__)


class Sums:
    """What adds the counts of one process to those of the others, and tells it the sums."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._minute = -1
        self._keys: dict[Key, bytes] = {}
        self._is_alone = False
        self._adding: asyncio.Task[None] | None = None
        self.rates = Rates(server.settings.security.rates, on_new=self._soon)

    def _soon(self) -> None:
        asyncio.get_running_loop().call_later(SECONDS, self._start)

    def _start(self) -> None:
        if self._adding is None or self._adding.done():
            self._adding = asyncio.get_running_loop().create_task(self.add())
        else:
            self._soon()

    async def add(self) -> None:
        """Add what is new, and take the sums."""
        minute, counts = self.rates.give()
        if not counts:
            return
        try:
            sums = await self._added(minute, counts)
        except (SangamError, psycopg.Error) as error:
            self.rates.lost(minute)
            if not self._is_alone:
                log.warning("requests are counted by each process alone: %s", type(error).__name__)
            self._is_alone = True
            self._soon()
        else:
            self._is_alone = False
            self.rates.told(minute, sums)

    async def _added(self, minute: int, counts: Mapping[Key, int]) -> Mapping[Key, int]:
        is_turned = minute != self._minute
        if is_turned:
            self._minute = minute
            self._keys.clear()
        whose = {self._key(key): key for key in counts}
        values = {
            "minute": minute,
            "keys": list(whose),
            "counts": [counts[key] for key in whose.values()],
        }
        async with self._server.database.statement() as connection:
            rows = await (await connection.execute(_ADD, values)).fetchall()
            if is_turned:
                await connection.execute(_FORGET, (minute - _KEPT_MINUTES,))
        return {whose[bytes(key)]: count for key, count in rows}

    def _key(self, key: Key) -> bytes:
        if key not in self._keys:
            found = opaque.keyed(self._server, _PURPOSE, " ".join(key))
            self._keys[key] = found[:_KEY_BYTES]
        return self._keys[key]
