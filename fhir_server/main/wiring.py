"""The parts of a running server, put together."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from adapters.dicom import fold as dicom
from adapters.hl7 import process as hl7
from fhir_server.blobs import Blobs
from fhir_server.config import Settings
from fhir_server.database import Database
from fhir_server.keys import key_source, new_id
from fhir_server.r4 import definitions
from fhir_server.search.context import Context
from fhir_server.search.registry import Registry
from fhir_server.server import Server
from fhir_server.validation.structure import Validator
from fhir_server.worker.runner import Function

# The embedded database takes 200; each process has a pool for reading and one for writing.
CONNECTIONS = 160
OTHER_PROCESSES = 3

JOBS: Mapping[str, Function] = {
    "hl7.process": hl7.run,
    "dicom.fold": dicom.run,
}
"""Which kind of job is which function."""


@asynccontextmanager
async def running(settings: Settings, conninfo: str, base: str) -> AsyncIterator[Server]:
    """Build the handle of this process over an open database; closed at the end.

    `base` is the FHIR base URL; the database is migrated.
    """
    database = Database(
        conninfo,
        size=max(2, min(16, CONNECTIONS // (2 * (settings.processes + OTHER_PROCESSES)))),
        read_seconds=settings.limits.search_seconds,
        write_seconds=settings.limits.write_seconds,
    )
    await database.open()
    try:
        yield await build(settings, database, base)
    finally:
        await database.close()


async def build(settings: Settings, database: Database, base: str) -> Server:
    """Return the handle; the process takes a number of its own for its keys."""
    known = definitions.load()
    async with database.statement() as connection:
        cursor = await connection.execute("SELECT nextval('process_node')")
        row = await cursor.fetchone()
    assert row is not None
    base = base.rstrip("/")
    bases = (base, *(alias.rstrip("/") for alias in settings.base_aliases))
    blobs = settings.data_dir / "blobs"
    blobs.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Server(
        settings=settings,
        base=base,
        bases=bases,
        database=database,
        definitions=known,
        registry=Registry.build(known, Context.of(settings.search, bases)),
        validator=Validator(known),
        blobs=Blobs(blobs),
        new_id=new_id,
        new_key=key_source(int(row[0])),
    )
