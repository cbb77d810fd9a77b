"""Health and metrics, for machines that watch the server."""

import os
from collections.abc import Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess
from prometheus_client import REGISTRY as PROCESS_REGISTRY
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fhir_server.errors import Unavailable
from fhir_server.server import Server


def routes(server: Server) -> Sequence[Route]:
    """Return `/health/live`, `/health/ready` and `/metrics`."""

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def ready(_: Request) -> Response:
        """Answer 200 when the database answers, else 503."""
        try:
            async with server.database.connection() as connection:
                await connection.execute("SELECT 1")
        except Unavailable:
            return JSONResponse({"status": "the database is away"}, status_code=503)
        return JSONResponse({"status": "ready"})

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(_registry()), media_type=CONTENT_TYPE_LATEST)

    return [
        Route("/health/live", live),
        Route("/health/ready", ready),
        Route("/metrics", metrics),
    ]


def _registry() -> CollectorRegistry:
    """Return the metrics of all processes where they share a directory, else of this one."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return PROCESS_REGISTRY
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry
