"""STOW-RS: instances stored over HTTP, on the same path as by C-STORE.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_10.5
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from adapters.dicom.network.peer import Peer
from adapters.dicom.storage.beside import Beside
from adapters.dicom.storage.index import Rules as Policies
from adapters.dicom.storage.quota import Loop, Quota, Reserve
from adapters.dicom.storage.store import Archive
from adapters.dicom.web import access, auditing
from adapters.dicom.web.accept import chosen
from adapters.dicom.web.refusal import refused
from adapters.dicom.web.service import STUDY, Web, place, route
from adapters.dicom.web.stow_answer import body as answer
from adapters.dicom.web.stow_answer import http_status
from adapters.dicom.web.stow_multipart import Malformed
from adapters.dicom.web.stow_parts import Outcome, Rules
from adapters.dicom.web.stow_request import DICOM_JSON, Body, body
from adapters.dicom.web.wado import ranges_of
from fhir_server.errors import Forbidden, NotAcceptable, TooLarge, Unavailable, UnsupportedMedia

log = logging.getLogger(__name__)

SENDER = "STOW-RS"
"""What stands for the calling AE title of instances that came over HTTP."""

_PIECE = 256 << 10
_ASKED_SECONDS = 30.0
_IS_THERE = "SELECT 1 FROM dicom_study WHERE study_instance_uid = %s"
_RETRY = {"Retry-After": "30"}
_ANSWERS = ((DICOM_JSON, False), ("application/json", False))
_PLAIN = "identity"

_T = TypeVar("_T")


def routes(web: Web) -> Sequence[Route]:
    """Return the paths to which instances are posted."""
    handler = _Store(web)
    return [route(web, path, handler, "POST") for path in ("/studies", STUDY)]


class _Store:
    """What the store requests of a process share: places, and the archive they store to."""

    def __init__(self, web: Web) -> None:
        self._slots = asyncio.Semaphore(web.settings.store_requests)
        self._archive: Archive | None = None

    async def __call__(self, web: Web, request: Request) -> Response:
        """Store what a request holds, and return what became of it."""
        _check(request)
        await _check_rights(web, request)
        if self._slots.locked():
            raise Unavailable("Too many requests store at this time", headers=_RETRY)
        async with self._slots:
            self._archive = archive = self._archive or _archive(web)
            taken = body(request.headers.get("content-type", ""), _rules(web, request, archive))
            try:
                outcomes = await _taken(web, request, taken)
            except Malformed as error:
                return refused(400, str(error))
            except TimeoutError:
                return refused(408, "The body stopped coming", {"Connection": "close"})
            finally:
                await asyncio.to_thread(archive.quota.settle)
        status = http_status(outcomes)
        headers = _RETRY if status == Unavailable.status else None
        return Response(answer(web.base, outcomes), status, headers, DICOM_JSON)


async def _check_rights(web: Web, request: Request) -> None:
    """Raise Forbidden where the caller may not store, NotFound for a study not known to him.

    Who may not bring studies may add to those that he may change.
    """
    who, study = access.caller(request), request.path_params.get("study", "")
    if access.is_keeper(who):
        return
    brings = access.may_bring(who)
    if not brings and not study:
        raise Forbidden("Your rights let you add to studies that you may change alone")
    async with web.server.database.connection() as connection:
        if not brings:
            await access.check_change(web.server, connection, who, study)
            return
        row = await (await connection.execute(_IS_THERE, (study,))).fetchone()
        if row is not None:
            await access.check(web.server, connection, who, study)


def _check(request: Request) -> None:
    """Raise NotAcceptable or UnsupportedMedia before anything of the body is read."""
    if chosen(ranges_of(request), _ANSWERS) is None:
        raise NotAcceptable(f"The answer is {DICOM_JSON}")
    if request.headers.get("content-encoding", _PLAIN).lower() != _PLAIN:
        raise UnsupportedMedia("A body is taken without a Content-Encoding")


def _archive(web: Web) -> Archive:
    """Return the archive as a thread beside this event loop stores to it."""
    settings, database = web.server.settings.dicom, web.server.database
    loop = asyncio.get_running_loop()
    index = Beside(
        database,
        loop,
        quiet_seconds=settings.quiet_seconds,
        rules=Policies(settings.on_conflict, settings.rejected == "refuse"),
    )
    quota = Quota(Loop(database, loop), settings.quota_bytes)
    reserve = Reserve(settings.reserve_bytes)
    denied = frozenset(settings.denied_sop_classes)
    return Archive(web.blobs, index, settings.max_object_bytes, reserve, quota, denied)


def _rules(web: Web, request: Request, archive: Archive) -> Rules:
    settings = web.server.settings.dicom
    return Rules(
        archive=archive,
        peer=Peer(request.client.host if request.client else "", SENDER, ""),
        study=place(request).study or None,
        may_add=_may_add(web, request),
        recorded=auditing.Stored(web, request),
        accept_unknown=settings.accept_unknown_sop_classes,
        transfer_syntaxes=frozenset(settings.transfer_syntaxes),
    )


def _may_add(web: Web, request: Request) -> Callable[[str], bool] | None:
    """Return what the thread that stores asks of each study; None where the path named it."""
    who, loop = access.caller(request), asyncio.get_running_loop()
    if request.path_params.get("study") or access.is_keeper(who):
        return None

    @cache
    def asked(study: str) -> bool:
        return asyncio.run_coroutine_threadsafe(answered(study), loop).result(_ASKED_SECONDS)

    async def answered(study: str) -> bool:
        async with web.server.database.connection() as connection:
            return await access.may_add(web.server, connection, who, study)

    return asked


async def _taken(web: Web, request: Request, taken: Body) -> list[Outcome]:
    """Feed a body to what takes it, on a thread of its own."""
    worker = ThreadPoolExecutor(1, thread_name_prefix="stow")
    loop = asyncio.get_running_loop()

    async def run(step: Callable[..., _T], *arguments: object) -> _T:
        return await loop.run_in_executor(worker, partial(step, *arguments))

    try:
        async for piece in _pieces(web, request):
            await run(taken.feed, piece)
        return await run(taken.close)
    finally:
        worker.submit(taken.discard)
        worker.shutdown(wait=False)


async def _pieces(web: Web, request: Request) -> AsyncIterator[bytes]:
    """Yield the body in larger pieces than it comes in. Raises TooLarge and TimeoutError."""
    most = web.settings.max_request_bytes
    if int(request.headers.get("content-length") or 0) > most:
        raise TooLarge("The request is larger than max_request_bytes")
    received = 0
    gathered = bytearray()
    stream = request.stream()
    while True:
        async with asyncio.timeout(web.settings.stall_seconds):
            piece = await anext(stream, None)
        if piece is None:
            break
        received += len(piece)
        if received > most:
            raise TooLarge("The request is larger than max_request_bytes")
        gathered += piece
        if len(gathered) >= _PIECE:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)
