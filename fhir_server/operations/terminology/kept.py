"""Resources that a client sends once for many requests: `$cache-control` and X-Cache-Id.

They lie in the database, so that every process has them; what a process has read of them it
keeps, as what a cache holds never changes.
"""

import re
from collections import OrderedDict
from uuid import uuid4

from fhir_server.errors import NotFound
from fhir_server.r4 import json
from fhir_server.server import Server
from fhir_server.store import resource_cache as store
from terminology.concepts import Json
from terminology.library import Layers, Library, Shelf
from terminology.readings import Readings

HEADER = "x-cache-id"
MOST = 20_000_000
"""Bytes of JSON of the caches that a process has read; those unused longest go first."""

_ID = re.compile(r"[0-9a-f-]{36}\Z")

# The caches that this process has read, with their size, the one used last at the end.
SHELVES: OrderedDict[str, tuple[Shelf, int]] = OrderedDict()


async def keep(server: Server, resources: list[Json], readings: Readings) -> str:
    """Keep resources and return the id of their cache; Refusal for one that cannot be read."""
    shelf, content = Shelf(resources, readings), json.encode(resources)
    settings = server.settings.terminology
    id_ = str(uuid4())
    async with server.database.transaction() as connection:
        await store.sweep(connection, settings.cache_seconds, settings.cache_count - 1)
        await store.add(connection, id_, content.decode())
    _remember(id_, shelf, len(content))
    return id_


async def forget(server: Server, id_: str) -> None:
    """Let a cache go; NotFound when there is none."""
    if not _ID.match(id_):
        raise _unknown()
    SHELVES.pop(id_, None)
    async with server.database.statement() as connection:
        if not await store.drop(connection, id_):
            raise _unknown()


async def over(server: Server, id_: object, library: Library, readings: Readings) -> Library:
    """Return the cache over the library, the library alone without an id; NotFound."""
    if id_ is None:
        return library
    if not isinstance(id_, str) or not _ID.match(id_):
        raise _unknown()
    seconds = server.settings.terminology.cache_seconds
    async with server.database.statement() as connection:
        if not await store.use(connection, id_, seconds):
            SHELVES.pop(id_, None)
            raise _unknown()
        known = SHELVES.get(id_)
        if known is None:
            content = (await store.content(connection, id_) or "[]").encode()
            known = Shelf(json.decode(content), readings), len(content)
    _remember(id_, *known)
    return Layers(known[0], library)


def _remember(id_: str, shelf: Shelf, size: int) -> None:
    SHELVES[id_] = shelf, size
    SHELVES.move_to_end(id_)
    while len(SHELVES) > 1 and sum(held for _, held in SHELVES.values()) > MOST:
        SHELVES.popitem(last=False)


def _unknown() -> NotFound:
    return NotFound("There is no such cache, or none any more", expression="X-Cache-Id")
