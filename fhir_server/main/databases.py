"""The server that runs on a data directory, and the database that a command opens."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from psycopg_pool import PoolTimeout

from fhir_server.config import Settings
from fhir_server.database import Database
from fhir_server.errors import Unavailable
from fhir_server.main.data_dir import READY_FILE, database, locked


@dataclass(frozen=True, slots=True)
class Running:
    """What a running server says of itself: its base URL, host, ports, processes."""

    base: str
    host: str
    ports: dict[str, int]
    database: str
    pid: int
    children: dict[str, int]


def running_server(data_dir: Path) -> Running | None:
    """Return the server that runs on this data directory, None when there is none."""
    try:
        said: dict[str, Any] = json.loads((data_dir / READY_FILE).read_text())
    except (FileNotFoundError, ValueError):
        return None
    if not psutil.pid_exists(said["pid"]):
        return None
    return Running(**said)


def base_of(settings: Settings) -> str:
    """Return the base URL of the running server, else the one that a server would have."""
    server = running_server(settings.data_dir)
    return server.base if server else settings.base_url or "http://127.0.0.1:8080/fhir"


@contextmanager
def database_of(settings: Settings) -> Iterator[str]:
    """Lend the URL of the database: given, of the running server, or started meanwhile."""
    if settings.database_url:
        yield settings.database_url
        return
    server = running_server(settings.data_dir)
    if server is not None:
        yield server.database
        return
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(settings.data_dir), database(settings) as conninfo:
        yield conninfo


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Database]:
    """Lend the open database."""
    with database_of(settings) as conninfo:
        async with lent(conninfo) as pool:
            yield pool


@asynccontextmanager
async def lent(conninfo: str) -> AsyncIterator[Database]:
    """Lend a small pool of connections. Unavailable when there is no database."""
    pool = Database(conninfo, size=2)
    try:
        await pool.open()
    except PoolTimeout as error:
        raise Unavailable("The database cannot be reached; is the URL right?") from error
    try:
        yield pool
    finally:
        await pool.close()
