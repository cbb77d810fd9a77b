"""Destinations of our messages for operators: what waits, what died, whether one answers."""

import asyncio
import contextlib
import ssl
import time
from typing import Any, Final

from fastapi import APIRouter, Request

from adapters.hl7.mllp.client import client_context
from adapters.hl7.operators import queries
from adapters.hl7.operators.reading import served
from adapters.hl7.operators.requests import Dismiss, Release
from adapters.hl7.outbound import queue
from adapters.hl7.outbound.line import check
from adapters.hl7.profiles.destination import Outbound
from adapters.hl7.profiles.read import Profiles
from fhir_server.errors import NotFound
from fhir_server.identity.doors import named
from fhir_server.server import Server

_CONNECT_SECONDS: Final = 10.0
_COUNTS: Final = """
SELECT destination, state, count(*) AS messages, min(queued_at) AS oldest,
    max(finished_at) AS last_finished
FROM hl7_outbound GROUP BY 1, 2 ORDER BY 1, 2
"""
_DEAD: Final = """
SELECT id, destination, event, reference, version, state, attempts, next_attempt, detail,
    queued_at, sent_at
FROM hl7_outbound WHERE state IN ('dead', 'queued')
AND (%(destination)s::text IS NULL OR destination = %(destination)s)
ORDER BY id DESC LIMIT %(limit)s
"""


def wanted(profiles: Profiles) -> dict[str, Outbound]:
    """Return the destinations that profiles name, by their names."""
    found = {name: loaded.profile.outbound for name, loaded in profiles.by_sender.items()}
    return {name: one for name, one in found.items() if one is not None and one.address}


async def reach(settings: Outbound) -> dict[str, Any]:
    """Connect to a destination and hang up; no message is sent.

    Returns `ok`, the seconds that it took, and why it failed.
    """
    host, _, port = settings.address.rpartition(":")
    tls = settings.tls
    started = time.monotonic()
    try:
        check(settings)
        context = (
            client_context(
                ca=tls.ca, certificate=tls.certificate, key=tls.key, check_name=tls.check_name
            )
            if tls
            else None
        )
        async with asyncio.timeout(min(_CONNECT_SECONDS, settings.timeout_seconds)):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port), ssl=context)
    except TimeoutError:
        return {"ok": False, "seconds": time.monotonic() - started, "detail": "no answer in time"}
    except (OSError, ssl.SSLError) as error:
        said = error.strerror or type(error).__name__
        return {"ok": False, "seconds": time.monotonic() - started, "detail": said}
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError):
        await writer.wait_closed()
    return {"ok": True, "seconds": time.monotonic() - started, "detail": ""}


def router(server: Server) -> APIRouter:
    """Return the routes under `/destinations` and `/outbound`."""
    found = APIRouter(tags=["destinations"])

    @found.get("/destinations")
    async def destinations() -> list[dict[str, Any]]:
        """List destinations with their messages by state."""
        async with server.database.connection() as connection:
            counted = await queries.rows(connection, _COUNTS, {})
        known = wanted(served(server.settings))
        names = sorted({*known, *(one["destination"] for one in counted)})
        return [
            {
                "name": name,
                "address": known[name].address if name in known else None,
                "enabled": known[name].enabled if name in known else False,
                "triggers": list(known[name].triggers) if name in known else [],
                "messages": [one for one in counted if one["destination"] == name],
            }
            for name in names
        ]

    @found.post("/destinations/{name}/test")
    async def test(name: str) -> dict[str, Any]:
        """Connect to a destination, with its TLS, and hang up; nothing is sent."""
        settings = wanted(served(server.settings)).get(name)
        if settings is None:
            raise NotFound("There is no such destination in the profiles")
        return await reach(settings)

    @found.get("/outbound")
    async def outbound(destination: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """List messages that wait or could not be delivered, without their content."""
        asked = {"destination": destination, "limit": min(max(limit, 1), 1_000)}
        async with server.database.connection() as connection:
            return await queries.rows(connection, _DEAD, asked)

    _actions(found, server)
    return found


def _actions(found: APIRouter, server: Server) -> None:
    def actor(request: Request) -> str:
        return named(request.scope)

    @found.post("/outbound/retry")
    async def retry(request: Request, asked: Release) -> dict[str, list[int]]:
        """Send again what could not be delivered, with the bytes that it had."""
        async with server.database.statement() as connection:
            return {"queued": await queue.retry(connection, asked.ids, actor(request))}

    @found.post("/outbound/dismiss")
    async def dismiss(request: Request, asked: Dismiss) -> dict[str, list[int]]:
        """Put messages aside that are not to be sent."""
        async with server.database.statement() as connection:
            ids = await queue.dismiss(connection, asked.ids, actor(request), asked.comment)
        return {"dismissed": ids}
