"""What the paths of DICOMweb stand on: the server, the archive's blobs, the address."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.dicom.address import dicomweb
from adapters.dicom.dataset.head import valid_uid
from adapters.dicom.pixels.pool import Pool, shared
from adapters.dicom.storage.tiered import archive_blobs
from adapters.dicom.web.layout import Layout
from adapters.dicom.web.refusal import answering
from fhir_server.blobs import Blobs
from fhir_server.dicom_settings import DicomWebSettings
from fhir_server.errors import BadRequest
from fhir_server.server import Server

Access = tuple[str, str, frozenset[str]]
"""Who reads, the study, and the patients whose records they have open in an emergency."""


@dataclass(frozen=True, slots=True)
class Web:
    """The service: `base` is its public URL without a slash at its end.

    `pool` decodes pixels, `layouts` is where the frames of blobs looked at of late lie,
    `accesses` when who has begun to read which study, `recording` whose is being recorded.
    """

    server: Server
    blobs: Blobs
    base: str
    pool: Pool
    layouts: dict[str, Layout] = field(default_factory=dict)
    accesses: dict[Access, float] = field(default_factory=dict)
    recording: dict[Access, asyncio.Lock] = field(default_factory=dict)
    # Each holds a data set and its decoded pixels in memory.
    decoding: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))

    @property
    def settings(self) -> DicomWebSettings:
        """Return the settings of DICOMweb."""
        return self.server.settings.dicom.web


Handler = Callable[[Web, Request], Awaitable[Response]]


def service(server: Server) -> Web:
    """Return the service of a server."""
    blobs = archive_blobs(server.blobs, server.settings.dicom)
    render = server.settings.dicom.render
    pool = shared(workers=render.workers, memory=render.memory_bytes, seconds=render.seconds)
    return Web(server, blobs, dicomweb(server.settings.dicom, server.base), pool)


def route(web: Web, path: str, handler: Handler, *methods: str) -> Route:
    """Return the route of a path below the service's root, for GET (and HEAD) unless told.

    Errors become answers, and the path's UIDs are UIDs.
    """

    async def endpoint(request: Request) -> Response:
        return await handler(web, request)

    return Route(path, answering(endpoint), methods=methods or ("GET",))


@dataclass(frozen=True, slots=True)
class Place:
    """What a path names: a study, or a series or an instance of it; "" for what it leaves open."""

    study: str = ""
    series: str = ""
    instance: str = ""


def place(request: Request) -> Place:
    """Return what the path names, by its parameters. Raises BadRequest for what is no UID."""
    found = Place(*(request.path_params.get(name, "") for name in ("study", "series", "instance")))
    check_uids((found.study, found.series, found.instance))
    return found


def check_uids(uids: Sequence[str]) -> None:
    """Raise BadRequest unless each is a UID or empty."""
    if not all(valid_uid(uid) for uid in uids if uid):
        raise BadRequest("The path holds something that is not a UID")


STUDY = "/studies/{study}"
SERIES = f"{STUDY}/series/{{series}}"
INSTANCE = f"{SERIES}/instances/{{instance}}"
LEVELS = (STUDY, SERIES, INSTANCE)
"""The paths of a study, a series and an instance."""
