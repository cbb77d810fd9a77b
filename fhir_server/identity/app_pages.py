"""Opening apps with a patient: our own pages as an EHR, and the endpoint for others.

https://hl7.org/fhir/smart-app-launch/app-launch.html#launch-app-ehr-launch
"""

from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from fhir_server.errors import Forbidden
from fhir_server.identity import (
    choosing,
    client_authentication,
    clients,
    launches,
    sessions,
    token_endpoint,
    users,
    visiting,
    web,
)
from fhir_server.identity.clients import Client
from fhir_server.identity.launches import Launched
from fhir_server.identity.refusal import Refusal
from fhir_server.r4 import json
from fhir_server.server import Server

_PROOF: Final = frozenset(("client_assertion", "client_assertion_type"))
_MEMBERS: Final = frozenset(("client_id", "user")) | _PROOF


async def show(server: Server, request: Request) -> Response:
    """Answer with the list of patients, or for a patient with that of the apps."""
    visitor = await sessions.visitor(server, request.headers.get("cookie"))
    if visitor is None:
        onward = f"{server.root}/auth/apps?{request.url.query}"
        return web.redirect(web.login_url(server, onward))
    caller = await visiting.caller(server, visitor, web.address(request))
    text, id_ = request.query_params.get("q", "")[:100], request.query_params.get("patient", "")
    patient = await choosing.patient(server, caller, id_) if id_ else None
    apps = await _apps(server) if patient else []
    values = {
        "patient": patient,
        "apps": apps,
        "found": [] if patient else await choosing.patients(server, caller, text),
        "q": text,
        "csrf": sessions.csrf(server, visitor.session),
    }
    targets = sorted({clients.origin(one.launch_url) for one in apps if one.launch_url})
    return web.page(server, "apps", values, targets=targets)


async def open_app(server: Server, request: Request) -> Response:
    """Start an app for a patient."""
    visitor, pairs = await web.visitors_form(server, request)
    given = web.once(pairs)
    caller = await visiting.caller(server, visitor, web.address(request))
    patient = await choosing.patient(server, caller, given.get("patient", ""))
    app = next((one for one in await _apps(server) if one.id == given.get("app")), None)
    if patient is None or app is None or app.launch_url is None:
        raise Forbidden("There is no such patient or app for you")
    context = {"patient": patient.id, "need_patient_banner": True}
    launched = Launched(context, visitor.user.id, app.id)
    return web.redirect(_url(server, app.launch_url, await _handle(server, launched)))


async def launch(server: Server, request: Request) -> Response:
    """Answer a client that is an EHR with a launch handle for what it has open.

    The body is JSON: `patient`, `encounter`, `intent`, `need_patient_banner`, `fhirContext`;
    `client_id` and `user` (its name here) if the handle is for one app, one person;
    `client_assertion` for a client that signs one instead of having a secret.
    """
    body = json.decode(await web.body(request))
    if not isinstance(body, dict):
        raise Refusal("invalid_request", "The body is an object")
    client = await client_authentication.client_of(
        server,
        {name: one for name, one in body.items() if name in _PROOF and isinstance(one, str)},
        request.headers.get("authorization"),
        audience=token_endpoint.url(server),
    )
    if "launch" not in client.grants:
        raise Refusal("unauthorized_client", "The client is not registered to launch apps")
    context = launches.context_of(
        server.definitions, {name: one for name, one in body.items() if name not in _MEMBERS}
    )
    launched = await _for_whom(server, context, body)
    handle = await _handle(server, launched)
    seconds = server.settings.security.identity.launch_seconds
    answer = {"launch": handle, "expires_in": seconds, "iss": server.base}
    return JSONResponse(answer, 201, {"Cache-Control": "no-store", "Pragma": "no-cache"})


async def _for_whom(server: Server, context: dict[str, Any], body: dict[str, Any]) -> Launched:
    """Return the launch for the app and the person that are named, who have to be known."""
    async with server.database.connection() as connection:
        app = user = None
        if "client_id" in body:
            app = await clients.by_id(connection, str(body["client_id"]), demo=server.settings.demo)
        if "user" in body:
            user = await users.by_name(connection, str(body["user"]))
    if ("client_id" in body and app is None) or ("user" in body and user is None):
        raise Refusal("invalid_request", "The app or the user is not known")
    return Launched(context, user.id if user else None, app.id if app else None)


async def _apps(server: Server) -> list[Client]:
    async with server.database.connection() as connection:
        found = await clients.listed(connection)
    demo = server.settings.demo
    return [one for one in found if one.active and one.launch_url and (demo or not one.demo)]


async def _handle(server: Server, launched: Launched) -> str:
    async with server.database.statement() as connection:
        seconds = server.settings.security.identity.launch_seconds
        return await launches.add(connection, launched, seconds)


def _url(server: Server, launch_url: str, handle: str) -> str:
    asked = urlencode({"iss": server.base, "launch": handle})
    return f"{launch_url}{'&' if '?' in launch_url else '?'}{asked}"
