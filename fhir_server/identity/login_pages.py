"""The pages of logging in: password, second factor, its enrolment, logging out.

https://pages.nist.gov/800-63-4/sp800-63b.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.audit.happening import LOGIN, LOGOUT, happened
from fhir_server.caller import Caller
from fhir_server.errors import SangamError, Throttled, Unauthenticated
from fhir_server.identity import (
    clients,
    login,
    passkeys,
    samples,
    second_factor,
    sessions,
    web,
    webauthn,
)
from fhir_server.identity.clients import Client
from fhir_server.identity.login import Half
from fhir_server.identity.sessions import Visitor
from fhir_server.identity.users import User
from fhir_server.server import Server

ISSUER = "Sangam"
"""What an authenticator app shows beside the code."""


async def show(server: Server, request: Request) -> Response:
    """Answer with the login page, or lead on who is logged in."""
    onward = web.own_path(server, request.query_params.get("next"))
    again = "again" in request.query_params
    if server.settings.demo and request.url.netloc != urlsplit(server.base).netloc:
        # As `localhost` for 127.0.0.1: cookie and form are of the base URL's host alone.
        return web.redirect(web.login_url(server, onward, again=again))
    visitor = await sessions.visitor(server, request.headers.get("cookie"))
    if visitor is not None and not again:
        return web.redirect(onward)
    name = visitor.user.name if visitor else ""
    return await _login_page(server, onward, {"name": name, "again": again, "wrong": ""})


async def submit(server: Server, request: Request) -> Response:
    """Take name and password."""
    given = web.once(await web.own_form(server, request))
    onward = web.own_path(server, given.get("next"))
    name = given.get("name", "")
    try:
        user = await login.by_password(
            server, name, given.get("password", ""), web.address(request)
        )
    except (Unauthenticated, Throttled) as refused:
        values = {"name": name, "again": False, "wrong": refused.text}
        found = await _login_page(server, onward, values, status=refused.status)
        found.headers.update(refused.headers)
        return found
    if not await login.needs_second_factor(server, user):
        return await welcome(server, request, user, ("pwd",), onward)
    half = login.half(user)
    if not user.has_factor:
        return await enrolment(server, user, replace(half, seed=second_factor.new_seed()), onward)
    return await asked_again(server, user, half, onward)


async def submit_code(server: Server, request: Request) -> Response:
    """Take the code of the second factor, or a recovery code."""
    given = web.once(await web.own_form(server, request))
    onward = web.own_path(server, given.get("next"))
    async with server.database.connection() as connection:
        user, half = await login.opened(server, connection, given.get("half", ""))
    try:
        method = await login.by_code(server, user, given.get("code", ""), web.address(request))
    except (Unauthenticated, Throttled) as refused:
        return await asked_again(server, user, half, onward, refused)
    return await welcome(server, request, user, ("pwd", method), onward)


async def submit_device(server: Server, request: Request) -> Response:
    """Take the first code of a new device, and show the recovery codes."""
    given = web.once(await web.own_form(server, request))
    onward = web.own_path(server, given.get("next"))
    async with server.database.connection() as connection:
        user, half = await login.opened(server, connection, given.get("half", ""))
    visitor = await sessions.visitor(server, request.headers.get("cookie"))
    here = visitor.session.id if visitor else ""
    if half.seed is None or (half.renewing and half.renewing != here):
        raise Unauthenticated("Log in again")
    try:
        codes = await login.by_new_device(
            server,
            user,
            half.seed,
            given.get("code", ""),
            web.address(request),
            first=not half.renewing,
        )
    except (Unauthenticated, Throttled) as refused:
        return await enrolment(server, user, half, onward, refused)
    return await enrolled(server, request, user, codes, ("pwd", "otp"), onward)


async def enrolled(
    server: Server,
    request: Request,
    user: User,
    codes: Sequence[str],
    methods: Sequence[str],
    onward: str,
) -> Response:
    """Show the recovery codes, in a session that stands on the factor set up just now."""
    visitor = await sessions.visitor(server, request.headers.get("cookie"))
    async with server.database.transaction() as connection:
        # Wherever else somebody is, it was without this device.
        await sessions.end_all(connection, user.id, visitor.session.id if visitor else "")
    cookie = await _session(server, request, user, methods, visitor)
    found = web.page(server, "recovery", {"codes": codes, "next": onward})
    found.headers.append("Set-Cookie", cookie)
    return found


async def new_device(server: Server, visitor: Visitor, onward: str) -> Response:
    """Show the page on which another device is set up, which then takes the place of the former."""
    half = login.half(visitor.user, second_factor.new_seed(), visitor.session.id)
    return await enrolment(server, visitor.user, half, onward)


async def start(server: Server, _: Request) -> Response:
    """Lead to the login who asks for a page that only follows another."""
    return web.redirect(f"{server.root}/auth/login")


async def log_out(server: Server, request: Request) -> Response:
    """End the session, and what apps hold for as long as it lasts."""
    visitor, _ = await web.visitors_form(server, request)
    async with server.database.transaction() as connection:
        await sessions.end(connection, visitor.user.id, visitor.session.id)
        caller = _caller(visitor.user, request)
        await happened(connection, caller, LOGOUT, about=[visitor.user.name])
    return web.redirect(f"{server.root}/auth/login", sessions.cookie(server, ""))


async def welcome(
    server: Server, request: Request, user: User, methods: Sequence[str], onward: str
) -> Response:
    """Lead on who proved who they are by these methods, with a cookie for it."""
    former = await sessions.visitor(server, request.headers.get("cookie"))
    return web.redirect(onward, await _session(server, request, user, methods, former))


async def _session(
    server: Server, request: Request, user: User, methods: Sequence[str], former: Visitor | None
) -> str:
    """Return the cookie of a session; who logs in again keeps the session, under a new secret.

    `former` is who was logged in by this browser until now.
    """
    await samples.present(server, user)
    async with server.database.transaction() as connection:
        await happened(connection, _caller(user, request), LOGIN, about=[user.name])
        if former is not None and former.user.id == user.id:
            secret = await sessions.renew(connection, former.session, methods)
        else:
            if former is not None:
                await sessions.end(connection, former.user.id, former.session.id)
            secret = await sessions.begin(
                server,
                connection,
                user,
                methods,
                address=web.address(request),
                device=request.headers.get("user-agent", ""),
            )
    return sessions.cookie(server, secret)


def _caller(user: User, request: Request) -> Caller:
    """Return the person as the record of the login names them; no rights come with it."""
    address = web.address(request)
    return Caller(f"user/{user.id}", login.DOOR, user=user.fhir_user, address=address)


async def _login_page(
    server: Server, onward: str, values: Mapping[str, Any], status: int = 200
) -> Response:
    app = await _app(server, onward)
    shown = samples.shown(server)
    whole = {
        **values,
        "next": onward,
        "app": app.name if app else "",
        "samples": shown,
        "sample_password": samples.PASSWORD if shown else "",
    }
    return web.page(server, "login", whole, status=status, targets=targets(app, onward))


async def asked_again(
    server: Server, user: User, half: Half, onward: str, refused: SangamError | None = None
) -> Response:
    """Show the page that asks for the second factor: a code, or a passkey."""
    options = ""
    here = webauthn.place(web.own_origin(server))
    if here is not None and user.passkeys:
        async with server.database.statement() as connection:
            options = await passkeys.to_use(connection, here, user)
    values = {
        "display": user.display,
        "half": login.sealed(server, half),
        "next": onward,
        "phone": user.seed is not None,
        "passkey": options,
    }
    onto = targets(await _app(server, onward), onward)
    return _asking(server, "second_factor", values, refused, targets=onto, script=bool(options))


async def enrolment(
    server: Server, user: User, half: Half, onward: str, refused: SangamError | None = None
) -> Response:
    """Show the page on which the second factor is set up."""
    options = ""
    here = webauthn.place(web.own_origin(server))
    if here is not None and not half.renewing:
        async with server.database.statement() as connection:
            options = await passkeys.to_make(connection, here, user)
    seed = half.seed or ""
    address = second_factor.address(seed, user.name, ISSUER)
    values = {
        "picture": web.markup(second_factor.picture(address)),
        "key": " ".join(seed[i : i + 4] for i in range(0, len(seed), 4)),
        "half": login.sealed(server, half),
        "next": onward,
        "passkey": options,
    }
    return _asking(server, "enrol", values, refused, script=bool(options))


def _asking(
    server: Server,
    template: str,
    values: Mapping[str, Any],
    refused: SangamError | None,
    *,
    targets: Sequence[str] = (),
    script: bool = False,
) -> Response:
    whole = {**values, "wrong": refused.text if refused else ""}
    status = refused.status if refused else 200
    found = web.page(server, template, whole, status=status, targets=targets, script=script)
    found.headers.update(refused.headers if refused else {})
    return found


async def _app(server: Server, onward: str) -> Client | None:
    """Return the app that waits for the login, None when there is none."""
    found = urlsplit(onward)
    if not onward.startswith(f"{server.root}/auth/authorize"):
        return None
    id_ = dict(parse_qsl(found.query)).get("client_id", "")
    async with server.database.connection() as connection:
        return await clients.by_id(connection, id_, demo=server.settings.demo)


def targets(app: Client | None, onward: str) -> tuple[str, ...]:
    """Return where forms may lead on to: the origin of an app's registered address."""
    uri = dict(parse_qsl(urlsplit(onward).query)).get("redirect_uri", "")
    return (clients.origin(uri),) if app and clients.redirects_to(app, uri) else ()
