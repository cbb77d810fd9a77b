"""Loading our own server's database without HTTP, by the interaction `transaction`.

Everything that a REST client's write gets (checks, references, history, index
rows, change feed) is written, by several processes beside the running server.
"""

import asyncio
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

import uvloop

from benchmarks.population import Population
from benchmarks.preload import ROWS, Rows
from fhir_server.caller import trusted
from fhir_server.config import Settings
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.main import postgres
from fhir_server.main.wiring import running
from fhir_server.r4 import json

CHUNK = 500
PROCESSES = 2
CONNECTIONS = 2


def by_interaction(data_dir: Path, population: Population) -> float:
    """Load the population into the embedded database of a running server; return the seconds."""
    begun = time.perf_counter()
    cluster = postgres.postmaster(data_dir / "postgres")
    if cluster is None:
        raise FileNotFoundError(f"no embedded PostgreSQL runs under {data_dir}")
    database = postgres.ensure_database(cluster.uri, postgres.DATABASE)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as executor:
        for rows in ROWS:
            done = [
                executor.submit(run, database, data_dir, population, rows, share)
                for share in range(PROCESSES)
            ]
            for one in done:
                one.result()
    return time.perf_counter() - begun


def run(database: str, data_dir: Path, population: Population, rows: Rows, share: int) -> None:
    """Load this process's share of the rows."""
    uvloop.run(load(database, data_dir, population, rows, share))


async def load(
    database: str, data_dir: Path, population: Population, rows: Rows, share: int
) -> None:
    """Write the share in chunks, some at a time."""
    found = rows(population)
    chunks = iter(lambda: list(islice(found, CHUNK)), [])
    mine = (chunk for number, chunk in enumerate(chunks) if number % PROCESSES == share)
    settings = Settings.model_validate({"data_dir": data_dir, "demo": True})
    async with running(settings, database, "http://127.0.0.1/fhir") as server:
        caller = trusted("benchmark", "cli")

        async def write() -> None:
            for chunk in mine:
                entries = [entry(*one) for one in chunk]
                async with server.database.transaction() as connection:
                    await transaction(server, connection, caller, entries)

        await asyncio.gather(*(write() for _ in range(CONNECTIONS)))


def entry(resource_type: str, resource_id: str, text: str) -> Entry:
    """Return the update that creates the resource under its id."""
    raw = text.encode()
    return Entry("PUT", f"{resource_type}/{resource_id}", json.decode(raw), raw)
