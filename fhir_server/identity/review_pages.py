"""The page of those who review emergency access: what was opened, why, and signing it.

https://profiles.ihe.net/ITI/BALP/content.html
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.access import role_store, roles
from fhir_server.access.glass import Opening
from fhir_server.audit.record import Record, keep, who, written
from fhir_server.caller import Caller
from fhir_server.errors import BadRequest, Forbidden
from fhir_server.identity import sessions, visiting, web
from fhir_server.identity.sessions import Visitor
from fhir_server.identity.users import User
from fhir_server.interactions import glass
from fhir_server.interactions.glass_mail import PATH
from fhir_server.server import Server

_LISTED: Final = 200
_DIGITS: Final = 18


async def show(server: Server, request: Request) -> Response:
    """Answer with what waits for its review, or lead to the login."""
    visitor = await sessions.visitor(server, request.headers.get("cookie"))
    if visitor is None:
        return web.redirect(web.login_url(server, f"{server.root}{PATH}"))
    caller = await _reviewer(server, visitor, request)
    return await _page(server, visitor, caller)


async def sign(server: Server, request: Request) -> Response:
    """Sign what the reviewer has pressed."""
    visitor, pairs = await web.visitors_form(server, request)
    caller = await _reviewer(server, visitor, request)
    key = web.once(pairs).get("sign", "")
    if not (key.isascii() and key.isdecimal() and len(key) <= _DIGITS):
        raise BadRequest("Nothing was chosen")
    signed = await glass.sign(server, caller, int(key))
    await _record(server, caller, "$break-glass-sign", [signed])
    return await _page(server, visitor, caller, told="The opening is signed.")


async def may_review(server: Server, user: User) -> bool:
    """Return whether a role of the user lets them review."""
    allowed = roles.operators(await role_store.in_force(server), user.roles)
    return glass.REVIEW in allowed


async def _reviewer(server: Server, visitor: Visitor, request: Request) -> Caller:
    caller = await visiting.caller(server, visitor, web.address(request))
    if not glass.reviews(caller):
        raise Forbidden("Emergency access is reviewed by who has the right to")
    return caller


async def _page(server: Server, visitor: Visitor, caller: Caller, told: str = "") -> Response:
    found = await glass.listed(server, caller, _LISTED)
    await _record(server, caller, "$break-glass", found)
    values = {
        "openings": [_opening(one, caller.user) for one in found],
        "most": _LISTED,
        "csrf": sessions.csrf(server, visitor.session),
        "told": told,
    }
    return web.page(server, "reviews", values)


async def _record(server: Server, caller: Caller, code: str, found: Sequence[Opening]) -> None:
    """Record that the openings are shown, or signed, before that is told."""
    places = [("Patient", one.patient, 0) for one in found]
    said = Record(code, who(caller), query=PATH.lstrip("/"), places=places)
    async with server.database.statement() as connection:
        await keep(connection, [written(said)])


def _opening(one: Opening, reviewer: str | None) -> dict[str, Any]:
    return {
        "key": one.key,
        "who": one.actor,
        "patient": f"Patient/{one.patient}",
        "reason": one.reason,
        "words": one.words,
        "app": one.client,
        "opened": _when(one.opened_at),
        "until": _when(one.ended_at or one.until),
        "own": one.actor == reviewer,
    }


def _when(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
