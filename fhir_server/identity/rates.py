"""How many requests come in a minute: of an app, a person, an address; more have to wait.

Each process counts for itself, in windows of a minute.

https://www.rfc-editor.org/rfc/rfc6585#section-4
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from prometheus_client import Counter as Counted

from fhir_server.caller import Caller
from fhir_server.errors import Throttled
from fhir_server.security_settings import RateSettings

_MINUTE: Final = 60
_ABSENT: Final = frozenset((403, 404, 410))
_UNAUTHENTICATED: Final = 401

_alarms: Final = Counted(
    "sangam_enumerations",
    "Callers who asked for more than they may or than there is, as often as rates.absent.",
)

log = logging.getLogger(__name__)


class Rates:
    """The counts of this minute."""

    def __init__(self, limits: RateSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._window = -1
        self._counts: Counter[tuple[str, str]] = Counter()

    def arrive(self, address: str | None) -> None:
        """Count a request of an address; Throttled when there were too many, or too many failed."""
        self._turn()
        failed = self._counts["failed", address or ""]
        if self._limits.failed and failed >= self._limits.failed:
            raise self._full("Too many requests of this address were without a good token")
        self._take("address", address or "", self._limits.address)

    def knock(self, address: str | None) -> None:
        """Count a request of an address at the login's own doors, likewise."""
        self._turn()
        self._take("login", address or "", self._limits.login)

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
            self._counts["failed", address or ""] += 1
        elif status in _ABSENT and caller is not None:
            self._counts["absent", caller.name] += 1
            if self._counts["absent", caller.name] == self._limits.absent:
                _alarms.inc()
                log.warning("%s is looking for what is not there, or not theirs", caller.name)

    def _take(self, kind: str, key: str, limit: int) -> None:
        self._counts[kind, key] += 1
        if limit and self._counts[kind, key] > limit:
            raise self._full(f"Too many requests of this {kind} in a minute")

    def _turn(self) -> None:
        window = int(self._clock() // _MINUTE)
        if window != self._window:
            self._window = window
            self._counts.clear()

    def _full(self, text: str) -> Throttled:
        seconds = max(1, _MINUTE - int(self._clock() % _MINUTE))
        return Throttled(text, headers={"Retry-After": str(seconds)})
