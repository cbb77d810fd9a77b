"""Resources that a client sends once for many requests: `$cache-control` and X-Cache-Id.

They lie in the database, so that every process has them; what a process has read of them it
keeps, as what a cache holds never changes.
"""

import re
from uuid import uuid4

from fhir_server.errors import NotFound
from fhir_server.r4 import json
from fhir_server.server import Server
from fhir_server.store import resource_cache as store
from terminology.concepts import Json
from terminology.library import Layers, Library, Shelf

HEADER = "x-cache-id"
_ID = re.compile(r"[0-9a-f-]{36}\Z")


async def keep(server: Server, resources: list[Json]) -> str:
    """Keep resources and return the id of their cache; Refusal for one that cannot be read."""
    shelf, content = Shelf(resources, server.readings), json.encode(resources)
    settings = server.settings.terminology
    id_ = str(uuid4())
    async with server.database.transaction() as connection:
        await store.sweep(connection, settings.cache_seconds, settings.cache_count - 1)
        await store.add(connection, id_, content.decode())
    server.caches.put(id_, shelf, len(content))
    return id_


async def forget(server: Server, id_: str) -> None:
    """Let a cache go; NotFound when there is none."""
    if not _ID.match(id_):
        raise _unknown()
    server.caches.pop(id_)
    async with server.database.statement() as connection:
        if not await store.drop(connection, id_):
            raise _unknown()


async def over(server: Server, id_: object, library: Library) -> Library:
    """Return the cache over the library, the library alone without an id; NotFound."""
    if id_ is None:
        return library
    if not isinstance(id_, str) or not _ID.match(id_):
        raise _unknown()
    seconds = server.settings.terminology.cache_seconds
    async with server.database.statement() as connection:
        if not await store.use(connection, id_, seconds):
            server.caches.pop(id_)
            raise _unknown()
        known = server.caches.get(id_)
        if known is None:
            content = (await store.content(connection, id_) or "[]").encode()
            known = Shelf(json.decode(content), server.readings)
            server.caches.put(id_, known, len(content))
    return Layers(known, library)


def _unknown() -> NotFound:
    return NotFound("There is no such cache, or none any more", expression="X-Cache-Id")
