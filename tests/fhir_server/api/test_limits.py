"""How many requests are carried out at a time, and what the one too many is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import httpx
import pytest

from fhir_server.api import rest
from fhir_server.api.answer import Answer
from fhir_server.api.app import create_app
from fhir_server.api.limits import InFlight
from fhir_server.config import Limits
from fhir_server.errors import SangamError
from fhir_server.server import Server
from tests.conftest import BASE

LIMITS = Limits(client_requests=2, requests=3, writes=1)


def scope(method: str, path: str = "/fhir/Patient", client: str | None = "10.0.0.1") -> Any:
    return {"method": method, "path": path, "client": (client, 5000) if client else None}


def refused(in_flight: InFlight, asked: Any) -> tuple[int, str, str] | None:
    """Status, code and Retry-After of a refusal, None when the request is taken."""
    try:
        with in_flight.taken(asked):
            return None
    except SangamError as error:
        return error.status, error.issues[0].code, error.headers["Retry-After"]


@pytest.mark.parametrize(
    ("under_way", "asked", "expected"),
    [
        ([], scope("GET"), None),
        ([scope("GET")], scope("GET"), None),
        ([scope("GET")] * 2, scope("GET"), (429, "throttled", "1")),
        ([scope("GET")] * 2, scope("GET", client="10.0.0.2"), None),
        ([scope("GET", client=c) for c in "abc"], scope("GET"), (429, "throttled", "1")),
        ([scope("GET", client=None)] * 2, scope("GET", client=None), (429, "throttled", "1")),
        ([scope("POST")], scope("PUT"), (503, "transient", "1")),
        ([scope("DELETE")], scope("PATCH"), (503, "transient", "1")),
        ([scope("POST")], scope("GET"), None),
        ([scope("POST")], scope("POST", "/fhir/Patient/_search"), None),
        ([scope("POST")], scope("POST", "/fhir/ValueSet/v/$expand"), None),
        ([scope("POST", "/fhir/Patient/_search")], scope("POST"), None),
    ],
)
def test_the_one_too_many(
    under_way: list[Any], asked: Any, expected: tuple[int, str, str] | None
) -> None:
    in_flight = InFlight(LIMITS)
    places = [in_flight.taken(one) for one in under_way]
    for place in places:
        place.__enter__()
    assert refused(in_flight, asked) == expected
    for place in places:
        place.__exit__()
    assert (in_flight.requests, in_flight.writes, in_flight.clients) == (0, 0, {})
    assert refused(in_flight, asked) is None


def test_a_request_that_fails_leaves_its_place() -> None:
    in_flight = InFlight(LIMITS)
    with pytest.raises(ValueError, match="broken"), in_flight.taken(scope("POST")):
        raise ValueError("broken")
    assert (in_flight.requests, in_flight.writes, in_flight.clients) == (0, 0, {})


@asynccontextmanager
async def held(server: Server) -> AsyncIterator[tuple[httpx.AsyncClient, asyncio.Semaphore]]:
    """A client of an application with small limits, whose reads wait until the end."""
    limits = server.settings.limits.model_copy(update=dict(LIMITS))
    small = server.settings.model_copy(update={"limits": limits})
    end = asyncio.Event()
    waiting = asyncio.Semaphore(0)

    async def waits(*_: Any) -> Answer:
        waiting.release()
        await end.wait()
        return Answer(200, b"{}")

    route = rest.Route(waits, ("read",))
    with patch.dict(rest.ROUTES, {("instance", "GET"): route}):
        transport = httpx.ASGITransport(app=create_app(replace(server, settings=small)))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
            yield client, waiting
            end.set()


async def test_a_client_over_its_limit_is_429_until_one_has_ended(server: Server) -> None:
    async with held(server) as (client, waiting):
        slow = [asyncio.create_task(client.get("/Patient/a")) for _ in range(2)]
        await waiting.acquire()
        await waiting.acquire()
        over = await client.get("/metadata")
        assert (over.status_code, over.headers["retry-after"]) == (429, "1")
        (issue,) = over.json()["issue"]
        assert (issue["severity"], issue["code"]) == ("error", "throttled")
        slow.pop().cancel()
        await asyncio.sleep(0)
        assert (await client.get("/metadata")).status_code == 200
        slow.pop().cancel()


async def test_health_is_answered_whatever_is_under_way(server: Server) -> None:
    async with held(server) as (client, waiting):
        slow = [asyncio.create_task(client.get("/Patient/a")) for _ in range(2)]
        await waiting.acquire()
        await waiting.acquire()
        assert (await client.get("http://testserver/health/live")).status_code == 200
        for one in slow:
            one.cancel()
