"""The page of one's own account: apps that have access, sessions, password, second factor.

https://hl7.org/fhir/smart-app-launch/conformance.html#metadata (management_endpoint)
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fhir_server.access.scope_words import in_words
from fhir_server.audit.happening import USERS_CHANGED, happened
from fhir_server.database import Connection
from fhir_server.errors import BadRequest
from fhir_server.identity import (
    grants,
    login,
    login_pages,
    passkey_pages,
    passkeys,
    passwords,
    review_pages,
    second_factor,
    sessions,
    users,
    visiting,
    web,
    webauthn,
)
from fhir_server.identity.passkeys import Kept
from fhir_server.identity.sessions import Session, Visitor
from fhir_server.server import Server

Change = Callable[[Server, Visitor, Mapping[str, str]], Awaitable[str]]

_BROWSERS: Final = (("Edg/", "Edge"), ("Firefox/", "Firefox"), ("OPR/", "Opera"))
_BROWSERS_LAST: Final = (("Chrome/", "Chrome"), ("Safari/", "Safari"))
_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "Mac"),
    ("Linux", "Linux"),
)
_NO_STORE: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_CONTROLS: Final = re.compile(r"[^\x20-\x7e]")


async def show(server: Server, request: Request) -> Response:
    """Answer with the page, or lead to the login."""
    visitor = await sessions.visitor(server, request.headers.get("cookie"))
    if visitor is None:
        return web.redirect(web.login_url(server, f"{server.root}/auth/manage"))
    return await _page(server, visitor)


async def me(server: Server, request: Request) -> Response:
    """Answer our own pages with who is logged in, and by what they log out; `{}` for nobody."""
    visitor = await sessions.visitor(server, request.headers.get("cookie"))
    if visitor is None:
        return JSONResponse({}, 200, _NO_STORE)
    csrf = sessions.csrf(server, visitor.session)
    return JSONResponse({"name": visitor.user.display, "csrf": csrf}, 200, _NO_STORE)


async def change(server: Server, request: Request) -> Response:
    """Carry out what the person pressed.

    What gives others a way into the account needs a login that is not long ago.
    """
    visitor, pairs = await web.visitors_form(server, request)
    given = web.once(pairs)
    fresh = server.settings.security.identity.fresh_seconds
    if _ALONE.intersection(given) and not visitor.session.is_fresh(fresh):
        account = f"{server.root}/auth/manage"
        return web.redirect(web.login_url(server, account, again=True))
    if "device" in given:
        return await login_pages.new_device(server, visitor, f"{server.root}/auth/manage")
    if "passkey" in given:
        return await passkey_pages.new(server, visitor, f"{server.root}/auth/manage")
    if "codes" in given:
        return await _codes(server, visitor)
    carry = next((_CHANGES[name] for name in given if name in _CHANGES), None)
    if carry is None:
        raise BadRequest("Nothing was chosen")
    try:
        told = await carry(server, visitor, given)
    except BadRequest as refused:
        return await _page(server, visitor, wrong=refused.text, status=refused.status)
    return await _page(server, visitor, told=told)


async def _codes(server: Server, visitor: Visitor) -> Response:
    async with server.database.transaction() as connection:
        codes = await second_factor.new_codes(server, connection, visitor.user.id)
        caller = await visiting.caller(server, visitor, visitor.session.address)
        await happened(connection, caller, USERS_CHANGED, about=[visitor.user.name])
    values = {"codes": codes, "next": f"{server.root}/auth/manage"}
    return web.page(server, "recovery", values)


async def _end_session(server: Server, visitor: Visitor, given: Mapping[str, str]) -> str:
    async with server.database.transaction() as connection:
        ended = await sessions.end(connection, visitor.user.id, given["session"])
    return "Logged out there." if ended else "That session had ended."


async def _end_others(server: Server, visitor: Visitor, _: Mapping[str, str]) -> str:
    async with server.database.transaction() as connection:
        count = await sessions.end_all(connection, visitor.user.id, visitor.session.id)
    return f"Logged out in {count} other places." if count else "You were logged in only here."


async def _end_grant(server: Server, visitor: Visitor, given: Mapping[str, str]) -> str:
    async with server.database.transaction() as connection:
        own = {grant.id for grant, _ in await grants.held(connection, visitor.user.id)}
        if given["grant"] in own:
            await grants.end(connection, "id", given["grant"], "taken back by the user")
    return "The access was taken back."


async def _set_password(server: Server, visitor: Visitor, given: Mapping[str, str]) -> str:
    settings = server.settings.security.identity.password
    new = given.get("new", "")
    await asyncio.to_thread(passwords.check, settings, new, visitor.user.name)
    hashed = await passwords.hashed(settings, new)
    async with server.database.transaction() as connection:
        await users.set_password(connection, visitor.user.id, hashed)
        await sessions.end_all(connection, visitor.user.id, visitor.session.id)
        # Whoever knew the old one may have let an app in that needs no session.
        await grants.end(connection, "user_id", visitor.user.id, "new password")
        caller = await visiting.caller(server, visitor, visitor.session.address)
        await happened(connection, caller, USERS_CHANGED, about=[visitor.user.name])
    return (
        "The password was changed. Everywhere else you are logged out, and the apps that acted"
        " for you have to ask you again."
    )


async def _remove_phone(server: Server, visitor: Visitor, _: Mapping[str, str]) -> str:
    return await _without(
        server, visitor, partial(second_factor.forget_phone, user_id=visitor.user.id)
    )


async def _remove_passkey(server: Server, visitor: Visitor, given: Mapping[str, str]) -> str:
    remove = partial(passkeys.remove, user_id=visitor.user.id, id_=given["key"])
    return await _without(server, visitor, remove)


async def _without(
    server: Server, visitor: Visitor, remove: Callable[[Connection], Awaitable[object]]
) -> str:
    """Take a factor away; BadRequest when it is the last of who has to have one."""
    needed = await login.must_have_second_factor(server, visitor.user)
    async with server.database.transaction() as connection:
        await users.locked(connection, visitor.user.id)
        await remove(connection)
        user = await users.by_id(connection, visitor.user.id)
        if user is None or not user.has_factor:
            if needed:
                raise BadRequest("This is your only second factor: set up another one first")
            await second_factor.forget(connection, visitor.user.id)  # its recovery codes
        # Whoever found the device may be logged in by it.
        await sessions.end_all(connection, visitor.user.id, visitor.session.id)
        caller = await visiting.caller(server, visitor, visitor.session.address)
        await happened(connection, caller, USERS_CHANGED, about=[visitor.user.name])
    return "It was removed. Everywhere else you are logged out."


_CHANGES: Mapping[str, Change] = {
    "session": _end_session,
    "others": _end_others,
    "grant": _end_grant,
    "password": _set_password,
    "key": _remove_passkey,
    "phone": _remove_phone,
}
_ALONE: Final = frozenset(("password", "device", "codes", "passkey", "key", "phone"))


async def _page(
    server: Server, visitor: Visitor, *, told: str = "", wrong: str = "", status: int = 200
) -> Response:
    async with server.database.connection() as connection:
        user = await users.by_id(connection, visitor.user.id)
        held = await grants.held(connection, visitor.user.id)
        found = await sessions.of_user(server, connection, visitor.user.id)
        keys = await passkeys.listed(connection, visitor.user.id)
    values = {
        "user": user or visitor.user,
        "grants": [_grant(one, app) for one, app in held],
        "sessions": [_session(one, visitor.session) for one in found],
        "keys": [_key(one) for one in keys],
        "has_place": webauthn.place(web.own_origin(server)) is not None,
        "csrf": sessions.csrf(server, visitor.session),
        "shortest": server.settings.security.identity.password.shortest,
        "told": told,
        "wrong": wrong,
        "reviews": await review_pages.may_review(server, user or visitor.user),
    }
    return web.page(server, "manage", values, status=status)


def _grant(grant: grants.Grant, app: str) -> dict[str, Any]:
    scopes = grant.scope.split()
    return {
        "id": grant.id,
        "app": app,
        "since": _when(grant.created_at),
        "offline": "offline_access" in scopes,
        "words": [in_words(one) for one in scopes],
    }


def _session(one: Session, here: Session) -> dict[str, Any]:
    return {
        "id": one.id,
        "device": device(one.device),
        "address": one.address,
        "since": _when(one.created_at),
        "seen": _when(one.seen_at),
        "here": one.id == here.id,
    }


def _key(one: Kept) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "since": _when(one.created_at),
        "used": _when(one.used_at) if one.used_at else "",
        "synced": one.synced,
    }


def device(agent: str) -> str:
    """Return browser and system of a User-Agent in words that a person knows."""
    browsers = (*_BROWSERS, *_BROWSERS_LAST)
    browser = next((name for sign, name in browsers if sign in agent), "")
    system = next((name for sign, name in _SYSTEMS if sign in agent), "")
    if browser or system:
        return " on ".join(filter(None, (browser, system)))
    return _CONTROLS.sub("", agent)[:40] or "Unknown device"


def _when(at: datetime) -> str:
    minutes = int((time.time() - at.timestamp()) // 60)
    if minutes < 1:
        return "just now"
    if minutes < 60:  # noqa: PLR2004  (minutes of an hour)
        return f"{minutes} min ago"
    return f"{at:%d %b %Y, %H:%M} UTC"
