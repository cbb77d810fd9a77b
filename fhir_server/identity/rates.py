"""How many requests come in a minute: of an app, a person, an address; more have to wait.

Each process counts what comes to it, in windows of a minute, and is told the sums over all
processes (identity/rate_sums.py), so that a limit is one of the installation.

https://www.rfc-editor.org/rfc/rfc6585#section-4
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from prometheus_client import Counter as Counted

from fhir_server.caller import Caller
from fhir_server.errors import Throttled
from fhir_server.identity import address_groups
from fhir_server.security_settings import RateSettings

MINUTE: Final = 60
_ABSENT: Final = frozenset((403, 404, 409, 410))
_UNAUTHENTICATED: Final = 401

_alarms: Final = Counted(
    "sangam_enumerations",
    "Callers who asked for more than they may or than there is, as often as rates.absent.",
)

Key = tuple[str, str]
"""Of what is counted: its kind, and whose it is."""

log = logging.getLogger(__name__)


def _nothing() -> None:
    """Tell nobody."""


class Rates:
    """The counts of this minute; `on_new` is called when there is something new to be summed."""

    def __init__(
        self,
        limits: RateSettings,
        clock: Callable[[], float] = time.time,
        on_new: Callable[[], None] = _nothing,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._on_new = on_new
        self._window = -1
        # What was counted here since it was last given away, what was and is not summed yet,
        # and the sums over all processes.
        self._new: Counter[Key] = Counter()
        self._given: Counter[Key] = Counter()
        self._sums: dict[Key, int] = {}
        self._alarmed: set[str] = set()

    def arrive(self, address: str | None) -> None:
        """Count a request of an address; Throttled when there were too many, or too many failed."""
        self._turn()
        network = address_groups.of(address)
        limit = self._limits.failed
        if limit and self._count(("failed", network)) >= limit:
            raise self._full("Too many requests of this address were without a good token")
        self._take("address", network, self._limits.address)

    def knock(self, address: str | None) -> None:
        """Count a request of an address at the login's own doors, likewise."""
        self._turn()
        self._take("login", address_groups.of(address), self._limits.login)

    def known(self, caller: Caller) -> None:
        """Count a request of who is known by now, likewise."""
        self._turn()  # who comes by a session did not `arrive`
        if caller.client is not None:
            self._take("client", caller.client, self._limits.client)
        if caller.user is not None:
            self._take("user", caller.name, self._limits.user)

    def answered(self, status: int, address: str | None, caller: Caller | None) -> None:
        """Count what was refused; who is refused much more than others is looking for something."""
        if status == _UNAUTHENTICATED:
            self._add(("failed", address_groups.of(address)))
        elif status in _ABSENT and caller is not None:
            found, limit = self._add(("absent", caller.name)), self._limits.absent
            if limit and found >= limit and caller.name not in self._alarmed:
                self._alarmed.add(caller.name)
                _alarms.inc()
                log.warning("%s is looking for what is not there, or not theirs", caller.name)

    def give(self) -> tuple[int, Mapping[Key, int]]:
        """Return the minute, and what was counted in it since the last time.

        It counts as given until `told` or `lost` is called.
        """
        self._turn()
        self._given, self._new = self._new, Counter()
        return self._window, self._given

    def told(self, window: int, sums: Mapping[Key, int]) -> None:
        """Take the sums over all processes, with what was given last, of a minute."""
        if window == self._window:
            self._sums.update(sums)
            self._given = Counter()

    def lost(self, window: int) -> None:
        """Take back what was given last in that minute, as it came to nobody."""
        if window == self._window:
            self._new += self._given
            self._given = Counter()

    def _take(self, kind: str, whose: str, limit: int) -> None:
        if limit and self._add((kind, whose)) > limit:
            raise self._full(f"Too many requests of this {kind} in a minute")

    def _add(self, key: Key) -> int:
        if not self._new:
            self._on_new()
        self._new[key] += 1
        return self._count(key)

    def _count(self, key: Key) -> int:
        return self._new[key] + self._given[key] + self._sums.get(key, 0)

    def _turn(self) -> None:
        window = int(self._clock() // MINUTE)
        if window != self._window:
            self._window = window
            self._new, self._given = Counter(), Counter()
            self._sums.clear()
            self._alarmed.clear()

    def _full(self, text: str) -> Throttled:
        seconds = max(1, MINUTE - int(self._clock() % MINUTE))
        return Throttled(text, headers={"Retry-After": str(seconds)})
