"""How fast records of the audit come, and how long the making of AuditEvents rests by that."""

from typing import Final

from fhir_server.audit_settings import AuditSettings
from fhir_server.database import Connection

_REST: Final = 7
"""Times of the work that is rested in a burst."""

_CAME: Final = "SELECT last_value FROM audit_position"


class Pace:
    """How many commits of records a second there were since it was last asked."""

    def __init__(self) -> None:
        self._came, self._at = 0, 0.0

    async def rate(self, connection: Connection, now: float) -> float:
        """Return the rate; 0 when asked for the first time. `now` is in seconds."""
        row = await (await connection.execute(_CAME)).fetchone()
        came = int(row[0]) if row else 0
        before, at, self._came, self._at = self._came, self._at, came, now
        return (came - before) / (now - at) if at and now > at else 0.0


def pause(settings: AuditSettings, worked: float, rate: float, *, more: bool) -> float:
    """Return the seconds to rest after so many of work; `more` records may be waiting.

    Who takes messages and answers comes first: no more than half of the time is worked, and an
    eighth while they have much to do.
    """
    if settings.burst and rate >= settings.burst:
        return max(settings.fold_seconds, _REST * worked)
    return worked if more else settings.fold_seconds
