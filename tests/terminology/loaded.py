"""Code systems of resources, loaded into PostgreSQL as a loader does."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from psycopg_pool import AsyncConnectionPool

from terminology.code_system import CodeSystem, Query
from terminology.code_system_resource import read_code_system
from terminology.concepts import Concept
from terminology.loaders.release import Release
from terminology.loaders.spool import Spool
from terminology.loaders.write import load_release
from terminology.postgres.entries import COLUMNS
from terminology.postgres.library import PostgresLibrary

Json = dict[str, Any]
SESSION = "-c statement_timeout=10s -c jit=off"


def pool(database_url: str, size: int = 2) -> AsyncConnectionPool[Any]:
    kwargs = {"autocommit": True, "options": SESSION}
    return AsyncConnectionPool(database_url, min_size=1, max_size=size, open=False, kwargs=kwargs)


async def load(database_url: str, resource: Json) -> None:
    """Load the concepts of a CodeSystem resource."""
    system = read_code_system(resource)
    concepts = (await system.select(Query())).concepts
    above = await system.parents([one.code for one in concepts])
    kinds = {one["code"]: one.get("type", "string") for one in resource.get("property", ())}
    roles = {one.code: one.role for one in system.head.properties}

    def fill(spool: Spool) -> Iterator[str]:
        for one in resource.get("property", ()):
            spool.property_id(one["code"], kinds[one["code"]], one.get("uri"))
        for concept in concepts:
            _fill(spool, concept, roles, kinds)
        for child, parents in above.items():
            for parent in parents:
                spool.edge(spool.codes.number(child), spool.codes.number(parent))
        yield from ()

    head = {name: value for name, value in resource.items() if name != "concept"}
    head = {"caseSensitive": True, **head}
    await load_release(database_url, Release(head, (), fill), grace=0)


def _fill(spool: Spool, concept: Concept, roles: dict[str, str], kinds: dict[str, str]) -> None:
    number = spool.concept(
        concept.code,
        concept.display,
        definition=concept.definition,
        active=not concept.inactive,
        abstract=concept.abstract,
        status=concept.status,
    )
    assert number is not None
    for one in concept.designations:
        use = one.use and spool.use_id(one.use.get("system", ""), one.use["code"])
        spool.designation(number, one.value, use=use, language=one.language)
    for one in concept.properties:
        if roles.get(one.code, one.code) in COLUMNS:
            continue
        place = spool.property_id(one.code, kinds.get(one.code, "string"))
        match one.value:
            case dict():
                spool.code(number, place, one.value["code"], system=one.value.get("system"))
            case str() if one.kind == "valueCode":
                spool.code(number, place, one.value)
            case int() | float() as value if not isinstance(value, bool):
                spool.value(number, place, Decimal(str(value)))
            case value:
                spool.value(number, place, value)


@dataclass
class Loaded:
    """Loads each resource once, under a version of its own, and answers with its code system."""

    database_url: str
    connections: AsyncConnectionPool[Any]
    known: list[tuple[Json, CodeSystem]] = field(default_factory=list)

    async def __call__(self, resource: Json) -> CodeSystem:
        for given, system in self.known:
            if given == resource:
                return system
        version = f"{len(self.known)}"
        await load(self.database_url, {**resource, "version": version})
        library = PostgresLibrary(self.connections)
        systems = await library.code_systems(resource["url"])
        (system,) = [one for one in systems if one.head.version == version]
        self.known.append((resource, system))
        return system
