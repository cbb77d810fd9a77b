"""Resources put into the store without the checks of an interaction."""

from collections.abc import Iterable

import msgspec

from fhir_server.database import Database
from fhir_server.r4 import json
from fhir_server.search.extract import extract
from fhir_server.search.registry import Registry
from fhir_server.store.text import content, text
from fhir_server.store.transact import Method, Write, transact

from .matching import REGISTRY, Json


async def store(
    database: Database,
    resources: Iterable[Json],
    first_key: int = 1,
    registry: Registry = REGISTRY,
) -> None:
    """Store resources under their ids and ascending keys, indexed as `registry` does."""
    async with database.transaction() as connection:
        writes = [write(one, key, registry) for key, one in enumerate(resources, first_key)]
        await transact(connection, writes, integrity=False, registry=0)


def write(resource: Json, key: int, registry: Registry = REGISTRY) -> Write:
    name, id_ = resource["resourceType"], resource["id"]
    said = content(json.encode(resource))
    return Write(
        key=key,
        type_id=REGISTRY.context.type_ids[name],
        id=id_,
        version=1,
        method=Method.PUT,
        text=text(name, id_, 1, said),
        content_hash=said.digest(),
        security=said.security,
        index=extract(registry, name, resource),
        references=(),
        previous=None,
    )


def copy(resource: Json) -> Json:
    """Return a deep copy."""
    copied: Json = msgspec.convert(msgspec.to_builtins(resource), dict)
    return copied
