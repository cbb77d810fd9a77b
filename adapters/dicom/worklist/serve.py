"""The worklist kept up to date as long as the server runs."""

import asyncio
import logging
from pathlib import Path

import psycopg

from adapters.dicom.worklist import catalogue, procedures
from adapters.dicom.worklist.follow import READER, look, rebuild
from fhir_server import feed_readers, jobs
from fhir_server.errors import SangamError
from fhir_server.server import Server

_log = logging.getLogger(__name__)


async def serve(server: Server, stop: asyncio.Event) -> None:
    """Follow changes until `stop` is set; where several processes do, they take turns."""
    ready = False
    while not stop.is_set():
        try:
            if not ready:
                await begin(server)
                ready = True
            while await look(server) and not stop.is_set():
                pass
        except (psycopg.Error, SangamError, OSError) as error:
            _log.warning("The worklist is not kept up to date now: %s", type(error).__name__)
        except Exception:  # noqa: BLE001  (who works beside it is not to suffer from it)
            _log.exception("The worklist is not kept up to date now")
        try:
            await asyncio.wait_for(stop.wait(), server.settings.dicom.worklist_poll_seconds)
        except TimeoutError:
            continue


async def begin(server: Server) -> None:
    """Read the catalogue's file; look at all orders where that changes something or is due.

    Raises OSError and BadRequest where the file cannot be read.
    """
    file = server.settings.dicom.procedures_file
    written = catalogue.read(await asyncio.to_thread(Path(file).read_text)) if file else []
    async with server.database.transaction() as connection:
        changed = await procedures.put_on(connection, written)
        if changed or await feed_readers.place(connection, READER) is None:
            await jobs.enqueue(connection, [rebuild()])
