"""Requests under way outside of the FHIR base are counted as those below it are."""

import asyncio
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from fhir_server.api.app import create_app
from fhir_server.config import Limits, Settings
from fhir_server.server import Server


async def test_one_request_too_many_is_told_to_come_back(
    server: Server, settings: Settings
) -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Request) -> Response:
        entered.set()
        await go_on.wait()
        return PlainTextResponse("done")

    limits = Limits(client_requests=1)
    object.__setattr__(server, "settings", settings.model_copy(update={"limits": limits}))
    app: Any = create_app(server, (), [Mount("/images", routes=[Route("/slow", slow)])])
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as http:
        first = asyncio.create_task(http.get("/images/slow"))
        await entered.wait()
        refused = await http.get("/images/slow")
        alive = await http.get("/health/live")
        go_on.set()
        assert (await first).text == "done"
        assert (await http.get("/images/slow")).status_code == 200
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.json() == {"detail": "This client has too many requests under way"}
    assert alive.status_code == 200
