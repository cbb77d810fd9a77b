"""The authorization endpoint: from an app's request to a code, by way of the person.

What is asked of the app is settled first; then come login, patient, visit and agreement, each
a page of its own. What is settled lies sealed in the page, bound to the session.

https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-authorization-code
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from fhir_server.access import role_store, roles
from fhir_server.access.scope_words import in_words
from fhir_server.access.scopes import OPERATOR
from fhir_server.caller import Caller
from fhir_server.errors import BadRequest, Forbidden
from fhir_server.identity import (
    authorization,
    choosing,
    clients,
    grants,
    launches,
    opaque,
    sessions,
    visiting,
    web,
)
from fhir_server.identity.authorization import Asked
from fhir_server.identity.clients import Client
from fhir_server.identity.refusal import Refusal
from fhir_server.identity.sessions import Visitor
from fhir_server.server import Server

_SEAL: Final = "authorization request"
_SECONDS: Final = 1800
_JUST_NOW: Final = 60
"""Seconds for which a login counts as the one that was asked for (`prompt`, `max_age`)."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A request on its way: what is asked, what is in context so far, since when.

    `without_encounter`: the person went on without one.
    """

    asked: Asked
    since: float
    context: Mapping[str, Any] = field(default_factory=dict)
    launched: bool = False
    without_encounter: bool = False


async def authorize(server: Server, request: Request) -> Response:
    """Take an app's request, by GET or POST."""
    if request.method == "POST":
        # The cookie does not come along with a form of another site; with what follows it does.
        given = web.once(await web.form(request))
        return web.redirect(f"{server.root}/auth/authorize?{urlencode(given)}")
    given = web.once(web.pairs(request.url.query))
    async with server.database.connection() as connection:
        demo = server.settings.demo
        client = await clients.by_id(connection, given.get("client_id", ""), demo=demo)
    redirect_uri = authorization.redirect_of(given, client)
    assert client is not None
    try:
        asked = authorization.asked(given, client, redirect_uri, server.base)
        return await _begun(server, request, given, client, asked)
    except Refusal as refused:
        return _refused(redirect_uri, given.get("state"), refused.error, refused.text)


async def go_on(server: Server, request: Request) -> Response:
    """Show the page at which a request is, as after a search in the list of patients."""
    visitor = await sessions.visitor(server, request.headers.get("cookie"))
    if visitor is None:
        raise Forbidden("You are not logged in any more; go back to the app and try again")
    pending = _opened(server, visitor, request.query_params.get("request", ""))
    step = Step(server, request, visitor, pending, await _client(server, pending))
    return await step.next()


async def decide(server: Server, request: Request) -> Response:
    """Take what the person chose."""
    visitor, given = await web.visitors_form(server, request)
    one = dict(given)
    pending = _opened(server, visitor, one.get("request", ""))
    asked = pending.asked
    client = await _client(server, pending)
    if "refuse" in one:
        return _refused(asked.redirect_uri, asked.state, "access_denied", "The user refused")
    step = Step(server, request, visitor, pending, client)
    if "patient" in one:
        return await step.with_patient(one["patient"])
    if "encounter" in one:
        return await step.with_encounter(one["encounter"])
    if "agree" in one:
        return await step.agreed([value for name, value in given if name == "scope"])
    raise BadRequest("Nothing was chosen")


async def _begun(
    server: Server, request: Request, given: Mapping[str, str], client: Client, asked: Asked
) -> Response:
    visitor = await sessions.visitor(server, request.headers.get("cookie"))
    silent = "none" in asked.prompts
    oldest = 0 if asked.prompts & {"login", "select_account"} else asked.max_age
    again = (
        visitor is not None
        and oldest is not None
        and not visitor.session.is_fresh(max(oldest, _JUST_NOW))
    )
    if visitor is None or again:
        if silent:
            raise Refusal("login_required", "The user is not logged in")
        onward = f"{server.root}/auth/authorize?{urlencode(given)}"
        return web.redirect(web.login_url(server, onward, again=visitor is not None))
    scope = await _for(server, visitor, asked.scope)
    pending = Pending(replace(asked, scope=scope), time.time())
    step = Step(server, request, visitor, pending, client)
    return await step.next()


async def _for(server: Server, visitor: Visitor, scope: str) -> str:
    """Return those of the scopes that make sense for this user; a Refusal when none is left.

    Who is nobody in FHIR cannot give access to records, and of operator scopes nobody gives
    others than those of the own roles.
    """
    user = visitor.user
    own = roles.operators(await role_store.in_force(server), user.roles)
    kept = [
        one
        for one in scope.split()
        if (user.fhir_user or not one.startswith(("patient/", "user/")))
        and (not one.startswith(f"{OPERATOR}/") or one.partition("/")[2] in own)
    ]
    if not kept:
        raise Refusal("access_denied", "This user cannot give any of the scopes")
    return " ".join(kept)


@dataclass(frozen=True, slots=True)
class Step:
    """A request at a page: whose it is, how far it is, for which app."""

    server: Server
    request: Request
    visitor: Visitor
    pending: Pending
    client: Client

    async def next(self) -> Response:
        """Return the next page, or the code when nothing is left to be asked."""
        try:
            return await (await self._launched()).shown()
        except Refusal as refused:
            asked = self.pending.asked
            return _refused(asked.redirect_uri, asked.state, refused.error, refused.text)

    async def with_patient(self, id_: str) -> Response:
        """Go on with a patient."""
        caller = await self._caller()
        if await choosing.patient(self.server, caller, id_) is None:
            raise Forbidden("There is no such patient whom you may see")
        return await self._with(patient=id_).next()

    async def with_encounter(self, id_: str) -> Response:
        """Go on with a visit of the patient, or without one."""
        if not id_:
            return await replace(self, pending=replace(self.pending, without_encounter=True)).next()
        caller = await self._caller()
        patient = str(self.pending.context.get("patient", ""))
        if await choosing.encounter(self.server, caller, patient, id_) is None:
            raise Forbidden("There is no such visit that you may see")
        return await self._with(encounter=id_).next()

    async def agreed(self, chosen: Sequence[str]) -> Response:
        """Give the code for those scopes that the person left."""
        asked = self.pending.asked
        if not self._is_settled():
            raise BadRequest("Something is still to be chosen; go back to the app")
        kept = [one for one in asked.scopes if one in chosen]
        if not kept:
            text = "The user left none of the scopes"
            return _refused(asked.redirect_uri, asked.state, "access_denied", text)
        return await self._code(" ".join(kept))

    async def _launched(self) -> "Step":
        """Return the step with what the EHR has open, and what goes without saying, in context."""
        pending, user = self.pending, self.visitor.user
        context = dict(pending.context)
        if pending.asked.launch is not None and not pending.launched:
            async with self.server.database.statement() as connection:
                found = await launches.spend(
                    connection, pending.asked.launch, user.id, self.client.id
                )
            context = {"need_patient_banner": False, **found.context}
            await self._check(context)
        own = (user.fhir_user or "").removeprefix("Patient/")
        is_patient = user.fhir_user == f"Patient/{own}" and pending.asked.needs_patient
        if is_patient and context.setdefault("patient", own) != own:
            raise Refusal("access_denied", "The launch is for another patient")
        return replace(self, pending=replace(pending, context=context, launched=True))

    async def _check(self, context: Mapping[str, Any]) -> None:
        """Refuse a launch with what the user may not see."""
        if "patient" not in context:
            return
        caller, patient = await self._caller(), str(context["patient"])
        seen: object = await choosing.patient(self.server, caller, patient)
        if seen is not None and "encounter" in context:
            seen = await choosing.encounter(self.server, caller, patient, str(context["encounter"]))
        if seen is None:
            raise Refusal("access_denied", "The user may not see what the launch is for")

    async def shown(self) -> Response:
        """Return the page at which the request is, what was launched being in context."""
        asked, context = self.pending.asked, self.pending.context
        if not self._is_settled():
            if "none" in asked.prompts:
                raise Refusal("interaction_required", "The user has to choose")
            if "patient" not in context:
                return await self._patients()
            return await self._encounters()
        if self.client.preapproved and "consent" not in asked.prompts:
            return await self._code(asked.scope)
        if "none" in asked.prompts:
            raise Refusal("consent_required", "The user has to agree")
        return await self._consent()

    def _is_settled(self) -> bool:
        asked, context = self.pending.asked, self.pending.context
        wants_encounter = authorization.LAUNCH_ENCOUNTER in asked.scopes
        if "patient" not in context and (asked.needs_patient or wants_encounter):
            return False
        return not wants_encounter or "encounter" in context or self.pending.without_encounter

    def _with(self, **more: str) -> "Step":
        context = {"need_patient_banner": True, **self.pending.context, **more}
        return replace(self, pending=replace(self.pending, context=context))

    async def _caller(self) -> Caller:
        return await visiting.caller(self.server, self.visitor, web.address(self.request))

    async def _patients(self) -> Response:
        text = self.request.query_params.get("q", "")[:100]
        found = await choosing.patients(self.server, await self._caller(), text)
        return self._page("patient", {"found": found, "q": text})

    async def _encounters(self) -> Response:
        caller = await self._caller()
        id_ = str(self.pending.context["patient"])
        patient = await choosing.patient(self.server, caller, id_)
        found = await choosing.encounters(self.server, caller, id_)
        return self._page("encounter", {"found": found, "patient": patient.name if patient else ""})

    async def _consent(self) -> Response:
        caller, context = await self._caller(), self.pending.context
        patient = encounter = None
        if "patient" in context:
            id_ = str(context["patient"])
            patient = await choosing.patient(self.server, caller, id_)
            if "encounter" in context:
                visit = str(context["encounter"])
                encounter = await choosing.encounter(self.server, caller, id_, visit)
        values = {
            "display": self.visitor.user.display,
            "patient": patient,
            "encounter": encounter,
            "scopes": [(one, in_words(one)) for one in self.pending.asked.scopes],
            "target": clients.origin(self.pending.asked.redirect_uri),
        }
        return self._page("consent", values)

    def _page(self, template: str, values: Mapping[str, Any]) -> Response:
        whole = {
            "app": self.client.name,
            "action": f"{self.server.root}/auth/continue",
            "csrf": sessions.csrf(self.server, self.visitor.session),
            "request": _sealed(self.server, self.visitor, self.pending),
            "wrong": "",
            **values,
        }
        targets = (clients.origin(self.pending.asked.redirect_uri),)
        return web.page(self.server, template, whole, targets=targets)

    async def _code(self, scope: str) -> Response:
        """Store the grant and lead back to the app with its code."""
        server, asked, session = self.server, self.pending.asked, self.visitor.session
        offline = "offline_access" in scope.split()
        context = dict(self.pending.context)
        draft = grants.Draft(
            client_id=self.client.id,
            user_id=self.visitor.user.id,
            session_id=None if offline else session.id,
            scope=scope,
            context=context,
            authenticated_at=session.authenticated_at,
        )
        async with server.database.transaction() as connection:
            grant = await grants.begin(connection, server.new_id(), draft)
            code = await grants.add_code(
                connection,
                grant,
                redirect_uri=asked.redirect_uri,
                challenge=asked.challenge,
                nonce=asked.nonce,
                seconds=server.settings.security.identity.code_seconds,
            )
        # RFC 9207: the app sees who answers.
        answer = {"code": code, "state": asked.state, "iss": server.base}
        return web.redirect(_with_query(asked.redirect_uri, answer))


async def _client(server: Server, pending: Pending) -> Client:
    async with server.database.connection() as connection:
        demo = server.settings.demo
        client = await clients.by_id(connection, pending.asked.client_id, demo=demo)
    if client is None or not clients.redirects_to(client, pending.asked.redirect_uri):
        raise Forbidden("This app is not known here any more")
    return client


def _sealed(server: Server, visitor: Visitor, pending: Pending) -> str:
    return opaque.sealed(server, _SEAL, visitor.session.id, msgspec.json.encode(pending))


def _opened(server: Server, visitor: Visitor, text: str) -> Pending:
    raw = opaque.unsealed(server, _SEAL, visitor.session.id, text)
    pending = msgspec.json.decode(raw, type=Pending) if raw else None
    if pending is None or time.time() - pending.since > _SECONDS:
        raise Forbidden("That took too long; go back to the app and try again")
    return pending


def _refused(redirect_uri: str, state: str | None, error: str, text: str) -> Response:
    given = {"error": error, "error_description": text, "state": state}
    answer = {name: value for name, value in given.items() if value}
    return web.redirect(_with_query(redirect_uri, answer))


def _with_query(uri: str, answer: Mapping[str, str]) -> str:
    """Return the URI with more parameters; its own query is kept (RFC 6749, 3.1.2)."""
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(answer)}"
