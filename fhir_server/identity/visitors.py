"""Who is logged in by a browser, as callers of pages.

https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from fhir_server.caller import Caller
from fhir_server.identity import sessions, visiting
from fhir_server.identity.bearer import remembered
from fhir_server.identity.sessions import Visitor
from fhir_server.server import Server

_MOST: Final = 2_000


@dataclass(frozen=True, slots=True)
class _Kept:
    visitor: Visitor
    caller: Caller
    until: float


class Visitors:
    """The callers of sessions; the session itself is looked at each time."""

    def __init__(self, server: Server, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._kept: dict[str, _Kept] = {}
        self._generation = 0

    async def caller(self, cookies: str, generation: int) -> Caller | None:
        """Return who sends these cookies, None when nobody is logged in by them.

        `generation` is another when what is remembered may hold no more. Forbidden for a
        user without a role.
        """
        visitor = await sessions.visitor(self._server, cookies)
        if visitor is None:
            return None
        if generation != self._generation or len(self._kept) > _MOST:
            self._kept.clear()
            self._generation = generation
        kept = self._kept.get(visitor.session.id)
        if kept is None or kept.visitor.user != visitor.user or kept.until <= self._clock():
            kept = self._kept[visitor.session.id] = await self._made(visitor)
        return replace(kept.caller, authenticated=_seconds(visitor))

    async def _made(self, visitor: Visitor) -> _Kept:
        caller = await visiting.caller(self._server, visitor, None, door="rest")
        return _Kept(visitor, caller, self._clock() + remembered(caller.user))


def _seconds(visitor: Visitor) -> int:
    return int(visitor.session.authenticated_at.timestamp())
