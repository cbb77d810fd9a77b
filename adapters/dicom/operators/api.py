"""The operator's HTTP interface to the archive, under `/dicom`."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Final

import psycopg
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.routing import Mount

from adapters.dicom.operators import desk, page, performed, rights, views
from adapters.dicom.operators.requests import Acting, Correct, Link, Reject, Split, Which
from adapters.dicom.studies import conflicts, corrections
from adapters.dicom.studies.rejection import Target
from fhir_server.caller import is_service
from fhir_server.database import Connection
from fhir_server.errors import Forbidden, SangamError
from fhir_server.identity.doors import Door, caller_of, marked, named
from fhir_server.server import Server

PATH: Final = "/dicom"

Limit = Annotated[int, Query(ge=1, le=1_000)]


def routes(server: Server) -> list[Mount]:
    """Return the interface of a server: its routes, their OpenAPI, and the page for a person."""
    app = FastAPI(
        title="Sangam image archive",
        description="Studies, those whose patient is not known, conflicts and rejections. Who "
        "looks at a study's patient is recorded as an AuditEvent.",
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    app.add_exception_handler(SangamError, _refused)
    app.add_exception_handler(psycopg.DataError, _impossible)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.include_router(page.router())
    for router in (_lists(server), _studies(server), _decisions(server), performed.router(server)):
        app.include_router(router)
    return list(marked([Mount(PATH, app=app)], Door("dicom", session=True)))


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


def actor(request: Request, by: str = "") -> str:
    """Return who does something, as it is recorded."""
    return named(request.scope, by)


def _person(request: Request, by: str) -> str:
    """Return who does what takes another person; Forbidden for an app by itself."""
    if is_service(caller_of(request.scope)):
        raise Forbidden("A person approves that something is removed")
    return actor(request, by)


def _lists(server: Server) -> APIRouter:
    router = APIRouter(tags=["lists"])

    async def ask(query: str, **asked: object) -> list[views.Row]:
        async with server.database.connection() as connection:
            return await views.rows(connection, query, **asked)

    @router.get("/overview")
    async def overview() -> dict[str, Any]:
        """Count studies, and what waits for somebody."""
        [found] = await ask(views.COUNTS)
        return found

    @router.get("/studies")
    async def studies(
        request: Request,
        match: str | None = None,
        before: datetime | None = None,
        limit: Limit = 50,
    ) -> dict[str, Any]:
        """List studies, the newest first, page by page (`before`: the `next` before)."""
        found = await ask(views.STUDIES, match=match, before=before, limit=limit)
        following = found[-1]["received_at"] if len(found) == limit else None
        return {"studies": rights.shown(caller_of(request.scope), found), "next": following}

    @router.get("/unmatched")
    async def unmatched(request: Request, limit: Limit = 100) -> dict[str, Any]:
        """List the studies whose patient is not known, those that wait longest first."""
        found = await ask(views.UNMATCHED, limit=limit)
        return {"studies": rights.shown(caller_of(request.scope), found)}

    @router.get("/rejected")
    async def rejected(
        request: Request, study: str | None = None, limit: Limit = 100
    ) -> dict[str, Any]:
        """List what was rejected, by study, reason and person."""
        found = await ask(views.REJECTED, study=study, limit=limit)
        return {"rejected": rights.shown(caller_of(request.scope), found)}

    @router.get("/conflicts")
    async def list_conflicts(everything: bool = False, limit: Limit = 100) -> dict[str, Any]:  # noqa: FBT001, FBT002
        """List other contents of known instances, `everything`: also those decided on."""
        async with server.database.connection() as connection:
            return {
                "conflicts": await conflicts.conflicts(
                    connection, everything=everything, limit=limit
                )
            }

    @router.get("/actions")
    async def actions(
        request: Request, study: str | None = None, limit: Limit = 100
    ) -> dict[str, Any]:
        """List what operators did."""
        async with server.database.connection() as connection:
            found = await desk.actions(connection, study, limit)
        return {"actions": rights.shown(caller_of(request.scope), found)}

    @router.get("/peers")
    async def peers() -> dict[str, Any]:
        """List the application entities that we know."""
        return {"peers": await ask(views.PEERS)}

    return router


Change = Callable[[Connection], Awaitable[Any]]


def _seeing(server: Server) -> Callable[[Request, str], Awaitable[None]]:
    async def seeing(request: Request, study: str) -> None:
        async with server.database.connection() as connection:
            await rights.require(server, connection, caller_of(request.scope), study)

    return seeing


def _studies(server: Server) -> APIRouter:
    within = [Depends(_seeing(server))]
    router = APIRouter(prefix="/studies/{study}", tags=["studies"], dependencies=within)

    async def change(way: Change) -> Any:  # noqa: ANN401  (what it returns)
        async with server.database.transaction() as connection:
            return await way(connection)

    @router.get("")
    async def show(request: Request, study: str) -> dict[str, Any]:
        """Show a study: what it says, its series, whose it may be, and what was done with it."""
        who, user = actor(request), caller_of(request.scope).user
        return dict(await change(lambda c: desk.study(server, c, study, who, user=user)))

    @router.post("/link")
    async def link(request: Request, study: str, asked: Link) -> dict[str, int]:
        """Give the study to a Patient."""
        who, patient = actor(request, asked.by), asked.patient
        return {"action": await change(lambda c: corrections.link(server, c, study, patient, who))}

    @router.post("/create")
    async def create(request: Request, study: str, asked: Acting) -> dict[str, int]:
        """Make a Patient of what the study says, and give the study to it."""
        who = actor(request, asked.by)
        return {"action": await change(lambda c: corrections.create(server, c, study, who))}

    @router.post("/correct")
    async def correct(request: Request, study: str, asked: Correct) -> dict[str, int]:
        """Correct attributes: queries and what goes out have them, what is stored stays."""
        who = actor(request, asked.by)
        return {
            "action": await change(
                lambda c: corrections.correct(
                    server, c, study, asked.values, who, reason=asked.reason
                )
            )
        }

    @router.post("/split")
    async def split(request: Request, study: str, asked: Split) -> dict[str, Any]:
        """Make a study of its own of some series."""
        who = actor(request, asked.by)
        done, into = await change(lambda c: corrections.split(server, c, study, asked.series, who))
        return {"action": done, "study": into}

    @router.post("/reject")
    async def reject(request: Request, study: str, asked: Reject) -> dict[str, int]:
        """Hide the study, or a series or instance of it."""
        who, target = actor(request, asked.by), Target(study, asked.series, asked.instance)
        code, reason = asked.code, asked.reason
        return {
            "instances": await change(lambda c: desk.reject(server, c, target, code, who, reason))
        }

    @router.post("/restore")
    async def restore(request: Request, study: str, asked: Which) -> dict[str, int]:
        """Show again what was rejected."""
        who, target = actor(request, asked.by), Target(study, asked.series, asked.instance)
        return {"instances": await change(lambda c: desk.restore(server, c, target, who))}

    @router.post("/approve")
    async def approve(request: Request, study: str, asked: Which) -> dict[str, int]:
        """Allow that what somebody else rejected is removed for good when its time has come."""
        who, target = _person(request, asked.by), Target(study, asked.series, asked.instance)
        return {"instances": await change(lambda c: desk.approve(server, c, target, who))}

    return router


def _decisions(server: Server) -> APIRouter:
    router = APIRouter(tags=["decisions"])

    @router.post("/conflicts/{id_}/keep")
    async def keep(request: Request, id_: int, asked: Acting) -> dict[str, int]:
        """Decide for what is stored."""
        async with server.database.transaction() as connection:
            await rights.require_conflict(server, connection, caller_of(request.scope), id_)
            await conflicts.keep(connection, id_, actor(request, asked.by))
        return {"conflict": id_}

    @router.post("/conflicts/{id_}/accept")
    async def accept(request: Request, id_: int, asked: Acting) -> dict[str, int]:
        """Decide for the other content; what is stored becomes the conflict that is returned."""
        async with server.database.transaction() as connection:
            await rights.require_conflict(server, connection, caller_of(request.scope), id_)
            previous = await conflicts.accept(connection, id_, actor(request, asked.by))
        return {"conflict": previous}

    @router.post("/actions/{id_}/undo")
    async def undo(request: Request, id_: int, asked: Acting) -> dict[str, str]:
        """Take back a link, correction, split or rejection."""
        async with server.database.transaction() as connection:
            await rights.require_action(server, connection, caller_of(request.scope), id_)
            who = actor(request, asked.by)
            return {"study": await corrections.undo(server, connection, id_, who)}

    return router
