"""The operator's HTTP interface to the inbox, under `/hl7`."""

from datetime import datetime
from typing import Annotated, Any, Final

import psycopg
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount

from adapters.hl7.explain.words import REASON_TEXTS, WHAT_TO_DO
from adapters.hl7.inbox import replay as inbox
from adapters.hl7.inbox.preview import preview
from adapters.hl7.mllp.channels import states, want
from adapters.hl7.operators import audit, destinations, page, payloads, queries, rights
from adapters.hl7.operators.requests import ChannelState, Dismiss, Release, Replay
from fhir_server.errors import NotFound, SangamError, TooLarge
from fhir_server.identity.doors import Door, caller_of, marked, named
from fhir_server.r4.json import encode
from fhir_server.server import Server

PATH: Final = "/hl7"
_PREVIEWED: Final = 20
_JSON: Final = "application/json"

Limit = Annotated[int, Query(ge=1, le=1_000)]


def routes(server: Server) -> list[Mount]:
    """Return the interface of a server: its routes, their OpenAPI, and the page for a person."""
    app = FastAPI(
        title="Sangam HL7 v2 inbox",
        description="Messages that came, what became of them, and trying again. "
        "What shows the content of a message is recorded as an AuditEvent.",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.add_exception_handler(SangamError, _refused)
    app.add_exception_handler(psycopg.DataError, _impossible)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.include_router(page.router())
    own = (_messages(server), _contents(server), _actions(server), _overview(server))
    for router in (*own, destinations.router(server)):
        app.include_router(router)
    return list(marked([Mount(PATH, app=app)], Door("hl7", session=True)))


async def _refused(_: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, SangamError) else 500
    return JSONResponse({"detail": str(error)}, status_code=status)


async def _unreadable(_: Request, error: Exception) -> Response:
    """Answer where a request is wrong, without what stands there: it may be of a patient."""
    found = error.errors() if isinstance(error, RequestValidationError) else ()
    told = [{"loc": one["loc"], "type": one["type"]} for one in found]
    return JSONResponse({"detail": told}, status_code=422)


async def _impossible(_: Request, __: Exception) -> Response:
    """Answer what no row can have: a number that is too large, a text with NUL."""
    return JSONResponse({"detail": "No row can have such a value"}, status_code=400)


def _actor(request: Request) -> str:
    return named(request.scope)


async def _asked(  # noqa: PLR0913  (one parameter each)
    *,
    state: str | None = None,
    reason: str | None = None,
    sender: str | None = None,
    channel: str | None = None,
    type_: Annotated[str | None, Query(alias="type")] = None,
    event: str | None = None,
    control_id: str | None = None,
    patient: Annotated[
        str | None, Query(description="Identifier as sent; of the last 200,000 messages.")
    ] = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: Annotated[int | None, Query(description="`next` of the page before.")] = None,
    limit: Limit = 50,
) -> dict[str, Any]:
    return {**locals(), "type": type_}


def _messages(server: Server) -> APIRouter:
    router = APIRouter(tags=["messages"])

    @router.get("/messages")
    async def list_messages(
        request: Request, asked: Annotated[dict[str, Any], Depends(_asked)]
    ) -> dict[str, Any]:
        """List messages without their content, the newest first, page by page."""
        if asked["patient"]:
            # An identifier that is found says that its patient is known, and what came of late.
            rights.require_general(caller_of(request.scope))
        # "P1 " is the whole of an identifier in a key (message/partition).
        patient = f"{asked['patient']} " if asked["patient"] else None
        async with server.database.connection() as connection:
            values = {**asked, "patient": patient}
            found = await queries.rows(connection, queries.LIST, values)
        after = found[-1]["id"] if len(found) == asked["limit"] else None
        return {"messages": found, "next": after}

    @router.get("/messages/{id_}")
    async def show_message(id_: int) -> dict[str, Any]:
        """Show what became of a message: versions, addresses not mapped, warnings, history."""
        async with server.database.connection() as connection:
            found = await queries.rows(connection, queries.ONE, {"id": id_})
        if not found:
            raise NotFound(f"There is no message {id_} in the inbox")
        return {**found[0], "what_to_do": WHAT_TO_DO.get(found[0]["reason"] or "")}

    return router


def _contents(server: Server) -> APIRouter:
    router = APIRouter(tags=["content"])

    async def audited(request: Request, id_: int, view: str, seen: rights.Seen) -> None:
        user = caller_of(request.scope).user
        await audit.read(server, id_, _actor(request), view, user=user, seen=seen)

    async def allowed(request: Request, id_: int) -> rights.Seen:
        return await rights.require(server, caller_of(request.scope), id_)

    seeing = Depends(allowed)

    @router.get("/messages/{id_}/raw", response_class=PlainTextResponse)
    async def raw(request: Request, id_: int, seen: rights.Seen = seeing) -> str:
        """Show a message as it came."""
        found = await payloads.raw(server, id_)
        await audited(request, id_, "raw", seen)
        return found

    @router.get("/messages/{id_}/parsed")
    async def parsed(request: Request, id_: int, seen: rights.Seen = seeing) -> dict[str, Any]:
        """Show the segments of a message as they are read."""
        found = await payloads.parsed(server, id_)
        await audited(request, id_, "parsed", seen)
        return found

    @router.get("/messages/{id_}/ack")
    async def ack(request: Request, id_: int, seen: rights.Seen = seeing) -> dict[str, str | None]:
        """Show what the sender was answered."""
        found = await payloads.acknowledgements(server, id_)
        await audited(request, id_, "ack", seen)
        return found

    @router.get("/messages/{id_}/explain")
    async def explain(
        request: Request,
        id_: int,
        values: bool = False,  # noqa: FBT001, FBT002
        seen: rights.Seen = seeing,
    ) -> Response:
        """Show where each leaf of a message goes; its texts only with `values`."""
        found = await payloads.explained(server, id_, values=values, resources=False)
        await audited(request, id_, "explain", seen)
        return Response(found, media_type=_JSON)

    @router.get("/messages/{id_}/mapped")
    async def mapped(request: Request, id_: int, seen: rights.Seen = seeing) -> Response:
        """Show the resources that a message is mapped to today, with the explanation."""
        found = await payloads.explained(server, id_, values=True, resources=True)
        await audited(request, id_, "mapped", seen)
        return Response(found, media_type=_JSON)

    @router.post("/map")
    async def map_posted(request: Request, profile: str = "") -> Response:
        """Map the posted message (its bytes as the body), and store nothing."""
        content = await _body(request, server.settings.hl7.max_message_bytes)
        return Response(await payloads.tried(server, content, profile), media_type=_JSON)

    return router


async def _body(request: Request, most: int) -> bytes:
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > most:
            raise TooLarge("The message is larger than max_message_bytes")
    return bytes(found)


def _actions(server: Server) -> APIRouter:
    router = APIRouter(tags=["actions"])

    @router.post("/replay")
    async def replay(request: Request, asked: Replay) -> Response:
        """Process messages again from their stored bytes, or preview what that would change."""
        actor = _actor(request)
        if asked.preview:
            # It shows what is stored, of whomever the message would change something.
            rights.require_general(caller_of(request.scope))
        async with server.database.statement() as connection:
            if not asked.preview:
                ids = await inbox.replay(connection, asked.chosen, actor, confirmed=asked.confirm)
                return JSONResponse({"replayed": ids})
            found = await inbox.find(connection, asked.chosen, _PREVIEWED)
        previews = []
        for id_ in found:
            # Labels and consents are those of what it became: they may keep it from somebody.
            caller = caller_of(request.scope)
            seen = await rights.require(server, caller, id_)
            await audit.read(server, id_, actor, "preview", user=caller.user, seen=seen)
            previews.append(await preview(server, id_, confirmed=asked.confirm))
        return Response(
            encode({"previews": [_previewed(one) for one in previews]}), 200, None, _JSON
        )

    @router.post("/dismiss")
    async def dismiss(request: Request, asked: Dismiss) -> dict[str, list[int]]:
        """Put dead letters aside; what waits behind them goes on."""
        async with server.database.statement() as connection:
            ids = await inbox.dismiss(connection, asked.ids, _actor(request), asked.comment)
        return {"dismissed": ids}

    @router.post("/release")
    async def release(request: Request, asked: Release) -> dict[str, list[int]]:
        """Let pass what waits behind dead letters, which stay as they are."""
        async with server.database.statement() as connection:
            return {"released": await inbox.release(connection, asked.ids, _actor(request))}

    @router.put("/channels/{name}")
    async def channel(request: Request, name: str, asked: ChannelState) -> dict[str, Any]:
        """Stop or start a channel; its listener follows within seconds."""
        async with server.database.statement() as connection:
            if name not in {one["name"] for one in await states(connection)}:
                raise NotFound("There is no such channel")
            await want(connection, name, stopped=asked.stopped, by=_actor(request))
        return {"name": name, "stopped": asked.stopped}

    return router


def _previewed(one: Any) -> dict[str, Any]:  # noqa: ANN401
    changes = [
        {
            "reference": change.reference,
            "kind": change.kind,
            "differences": [
                {"path": each.path, "before": each.before, "after": each.after}
                for each in change.differences
            ],
        }
        for change in one.changes
    ]
    said = {"id": one.id, "state": one.state, "reason": one.reason, "detail": one.detail}
    return {**said, "changes": changes}


def _overview(server: Server) -> APIRouter:
    router = APIRouter(tags=["overview"])

    async def ask(query: str, **asked: Any) -> list[queries.Row]:  # noqa: ANN401
        async with server.database.connection() as connection:
            return await queries.rows(connection, query, asked)

    @router.get("/sources")
    async def sources() -> list[queries.Row]:
        """List senders: when each was last heard, what waits and for how long, the last day."""
        return await ask(queries.SOURCES)

    @router.get("/dead-letters")
    async def dead_letters() -> list[queries.Row]:
        """Count dead letters by reason, with what to do about each."""
        found = await ask(queries.DEAD)
        return [{**one, "what_to_do": WHAT_TO_DO.get(one["reason"], "")} for one in found]

    @router.get("/unmapped")
    async def unmapped(
        sender: str | None = None,
        control: bool = False,  # noqa: FBT001, FBT002
        messages: Annotated[int, Query(ge=1, le=100_000)] = 5_000,
        limit: Limit = 200,
    ) -> list[queries.Row]:
        """Sum leaves that are in no resource, over the last messages: by sender, field, reason."""
        asked = {"sender": sender, "control": control, "messages": messages, "limit": limit}
        found = await ask(queries.UNMAPPED, **asked)
        return [{**one, "text": REASON_TEXTS.get(one["reason"], "")} for one in found]

    @router.get("/codes")
    async def codes(
        sender: str | None = None,
        all_: Annotated[bool, Query(alias="all")] = False,  # noqa: FBT002
        limit: Limit = 100,
    ) -> list[queries.Row]:
        """List local codes that came without a translation, the most frequent first."""
        return await ask(queries.CODES, sender=sender, all=all_, limit=limit)

    @router.get("/channels")
    async def channels() -> list[dict[str, object]]:
        """List the ports: state, and why one cannot listen."""
        async with server.database.connection() as connection:
            return await states(connection)

    @router.get("/reasons")
    async def reasons() -> dict[str, dict[str, str]]:
        """List the reasons of dead letters with what to do, and those of leaves not mapped."""
        return {"messages": dict(WHAT_TO_DO), "leaves": dict(REASON_TEXTS)}

    return router
