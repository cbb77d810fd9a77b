"""The pages of passkeys: proving the second factor by one, and setting one up.

https://www.w3.org/TR/webauthn-3/
"""

from starlette.requests import Request
from starlette.responses import Response

from fhir_server.errors import BadRequest, SangamError, Throttled, Unauthenticated
from fhir_server.identity import login, login_pages, passkeys, sessions, web, webauthn
from fhir_server.identity.login import Half, NewPasskey
from fhir_server.identity.sessions import Visitor
from fhir_server.identity.users import User
from fhir_server.identity.webauthn import Place
from fhir_server.server import Server

NO_PLACE = "Passkeys need https and a name of the server in place of its address"


async def submit(server: Server, request: Request) -> Response:
    """Take what the user's authenticator signed, as second factor."""
    given = web.once(await web.own_form(server, request))
    onward = web.own_path(server, given.get("next"))
    async with server.database.connection() as connection:
        user, half = await login.opened(server, connection, given.get("half", ""))
    answer, address = given.get("credential", ""), web.address(request)
    try:
        method = await login.by_passkey(server, _place(server), user, answer, address)
    except (Unauthenticated, Throttled) as refused:
        return await login_pages.asked_again(server, user, half, onward, refused)
    return await login_pages.welcome(server, request, user, ("pwd", method), onward)


async def submit_new(server: Server, request: Request) -> Response:
    """Take a new key; with the first factor come recovery codes."""
    given = web.once(await web.own_form(server, request))
    onward = web.own_path(server, given.get("next"))
    async with server.database.connection() as connection:
        user, half = await login.opened(server, connection, given.get("half", ""))
    visitor = await sessions.visitor(server, request.headers.get("cookie"))
    if half.renewing:
        if visitor is None or half.renewing != visitor.session.id:
            raise Unauthenticated("Log in again")
    elif half.seed is None:  # a password that was right, and no second factor asked for
        raise Unauthenticated("Log in again")
    new = NewPasskey(given.get("credential", ""), given.get("name", ""), not half.renewing)
    try:
        method, codes = await login.by_new_passkey(
            server, _place(server), user, new, web.address(request)
        )
    except (Unauthenticated, Throttled, BadRequest) as refused:
        if half.renewing:
            return await _asking(server, user, half, onward, refused)
        return await login_pages.enrolment(server, user, half, onward, refused)
    if codes:
        return await login_pages.enrolled(server, request, user, codes, ("pwd", method), onward)
    return web.redirect(onward)


async def new(server: Server, visitor: Visitor, onward: str) -> Response:
    """Show the page on which a key is set up, beside what there is."""
    half = login.half(visitor.user, renewing=visitor.session.id)
    return await _asking(server, visitor.user, half, onward)


async def _asking(
    server: Server, user: User, half: Half, onward: str, refused: SangamError | None = None
) -> Response:
    async with server.database.statement() as connection:
        options = await passkeys.to_make(connection, _place(server), user)
    values = {
        "passkey": options,
        "half": login.sealed(server, half),
        "next": onward,
        "wrong": refused.text if refused else "",
    }
    status = refused.status if refused else 200
    found = web.page(server, "new_passkey", values, status=status, script=True)
    found.headers.update(refused.headers if refused else {})
    return found


def _place(server: Server) -> Place:
    here = webauthn.place(web.own_origin(server))
    if here is None:
        raise BadRequest(NO_PLACE)
    return here
