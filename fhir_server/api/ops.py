"""Health and metrics, for machines that watch the server."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

import psycopg
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    generate_latest,
    multiprocess,
)
from prometheus_client import REGISTRY as PROCESS_REGISTRY
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fhir_server import changes, feed_readers, jobs
from fhir_server.bases import DEFAULT
from fhir_server.database import Connection
from fhir_server.errors import Unavailable
from fhir_server.figures import Figure
from fhir_server.identity.doors import PUBLIC, Door, marked
from fhir_server.networks import networks
from fhir_server.server import Server

Figures: TypeAlias = Callable[[Connection, CollectorRegistry], Awaitable[None]]
"""What adds gauges to a registry, read from the database when the metrics are asked for."""

# A row in no table: what is asked is whether a commit reaches the disk.
_WRITE = "SELECT pg_logical_emit_message(true, 'health', '')"
_READ_ONLY = "SELECT current_setting('transaction_read_only')::boolean"

# Whoever asks for health has little patience.
READY_SECONDS = 5.0


def routes(server: Server, figures: Sequence[Figures] = ()) -> Sequence[Route]:
    """Return `/health/live`, `/health/ready` and `/metrics`; `figures` add what others count."""

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(_: Request) -> Response:
        """Answer 200 when the database answers and can be written, else 503."""
        try:
            async with asyncio.timeout(READY_SECONDS), server.database.aside() as connection:
                writable = await _is_writable(connection)
        except (Unavailable, TimeoutError):
            return JSONResponse({"status": "the database is away"}, status_code=503)
        if not writable:
            return JSONResponse({"status": "the database cannot be written"}, status_code=503)
        return await _ready(server)

    async def metrics(_: Request) -> Response:
        """Answer with what the processes count and what waits in the database.

        The processes serve all tenants: what they count is the installation's to see.
        """
        counted = generate_latest(_registry()) if server.tenant == DEFAULT else b""
        text = counted + await _waiting(server, figures)
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    watching = Door("metrics", networks=networks(server.settings.security.metrics_from))
    return [
        *marked([Route("/health/live", live), Route("/health/ready", ready)], PUBLIC),
        *marked([Route("/metrics", metrics)], watching),
    ]


async def _ready(server: Server) -> Response:
    """Answer that the server is ready, and whether the database restricts what callers read."""
    try:
        wall = await server.database.wall()
    except Unavailable:
        return JSONResponse({"status": "the second wall is missing"}, status_code=503)
    said = {"status": "ready"}
    return JSONResponse(said if wall else said | {"warning": "there is no second wall"})


async def _is_writable(connection: Connection) -> bool:
    try:
        row = await (await connection.execute(_READ_ONLY)).fetchone()
        if row is None or row[0]:
            return False
        await connection.execute(_WRITE)
    except psycopg.OperationalError:  # the disk is full, or writes are refused
        return False
    return True


def _registry() -> CollectorRegistry:
    """Return the metrics of all processes where they share a directory, else of this one."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return PROCESS_REGISTRY
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


async def _waiting(server: Server, figures: Sequence[Figures]) -> bytes:
    """Return the gauges of what waits in the database, nothing when that is away."""
    registry = CollectorRegistry()
    try:
        async with asyncio.timeout(READY_SECONDS), server.database.connection() as connection:
            backlog = await jobs.backlog(connection)
            lag = await changes.lag_seconds(connection)
            readers = await feed_readers.lags(connection)
            for add in figures:
                await add(connection, registry)
    except (Unavailable, TimeoutError):
        return b""
    waiting = Figure("sangam_jobs_waiting", "Jobs by state.", ("state",), registry=registry)
    age = Figure(
        "sangam_jobs_oldest_seconds", "Age of the oldest job.", ("state",), registry=registry
    )
    for state, (count, seconds) in backlog.items():
        waiting.labels(state).set(count)
        age.labels(state).set(seconds)
    feed = Figure("sangam_feed_lag_seconds", "Age of the oldest hidden change.", registry=registry)
    feed.set(lag)
    unread = Figure(
        "sangam_feed_reader_lag_seconds",
        "Age of the oldest change that a reader has not passed.",
        ("reader",),
        registry=registry,
    )
    for name, seconds in readers:
        unread.labels(name).set(seconds)
    return generate_latest(registry)
