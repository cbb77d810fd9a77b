"""Studies that follow their patients, as long as the server runs."""

import asyncio
import logging
from typing import Final

import psycopg

from adapters.dicom.studies import expunge
from adapters.dicom.studies.merges import look
from fhir_server import jobs
from fhir_server.errors import SangamError
from fhir_server.server import Server

_POLL_SECONDS: Final = 0.5

_log = logging.getLogger(__name__)


async def serve(server: Server, stop: asyncio.Event) -> None:
    """Follow Patients until `stop` is set; where several processes do, they take turns."""
    begun = False
    while not stop.is_set():
        try:
            if not begun:
                await _begin(server)
                begun = True
            while await _look(server) and not stop.is_set():
                pass
        except (psycopg.Error, SangamError) as error:
            _log.warning("Studies do not follow their patients now: %s", type(error).__name__)
        except Exception:  # noqa: BLE001  (who works beside it is not to suffer from it)
            _log.exception("Studies do not follow their patients now")
        try:
            await asyncio.wait_for(stop.wait(), _POLL_SECONDS)
        except TimeoutError:
            continue


async def _look(server: Server) -> bool:
    try:
        return await look(server)
    except SangamError as error:
        _log.warning("Studies move one by one: %s", type(error).__name__)
        return await look(server, at_once=False)


async def _begin(server: Server) -> None:
    async with server.database.statement() as connection:
        await jobs.enqueue(connection, [expunge.job()])
