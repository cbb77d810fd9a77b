"""What the loaders write is what the code systems over the tables read."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool
from spooled import release_of

from benchmarks.synthetic_loinc import code, write_tables
from benchmarks.synthetic_rf2 import ATTRIBUTES, SIMPLE, Size, concept_id, write_package
from terminology.code_system import CodeSystem, Query
from terminology.filters import Filter
from terminology.loaders.write import load_release
from terminology.postgres.library import PostgresLibrary


def asked(
    database_url: str, url: str, question: Callable[[CodeSystem], Awaitable[object]]
) -> object:
    async def ask() -> object:
        pool = AsyncConnectionPool(
            database_url, min_size=1, max_size=2, open=False, kwargs={"autocommit": True}
        )
        async with pool as connections:
            (system,) = await PostgresLibrary(connections).code_systems(url)
            return await question(system)

    return asyncio.run(ask())


@pytest.fixture(scope="module")
def database(own_database: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("releases")
    with psycopg.connect(own_database, autocommit=True) as connection:
        # What other tests left; the next load removes it.
        connection.execute("UPDATE tx.code_system SET state = 'retired'")
    tables = write_tables(place / "loinc", 200)
    package = write_package(place / "rf2", Size(400))
    for release in (release_of(tables, version="2.80"), release_of(package)):
        asyncio.run(load_release(own_database, release, grace=0))
    return own_database


async def codes(system: CodeSystem, *filters: tuple[str, str, str]) -> set[str]:
    query = Query(tuple(Filter(*one) for one in filters))
    return {one.code for one in (await system.select(query)).concepts}


def test_an_answer_list_is_a_filter(database: str) -> None:
    found = asked(database, "http://loinc.org", lambda s: codes(s, ("LIST", "=", code(1, "LL"))))
    assert found == {code(number, "LA") for number in (1, 2, 3, 4)}


def test_a_part_is_an_ancestor(database: str) -> None:
    part = code(1, "LP")
    below = asked(database, "http://loinc.org", lambda s: codes(s, ("concept", "is-a", part)))
    assert isinstance(below, set)
    assert len(below) == 200 + 200 // 20


def test_an_axis_is_found_by_name_and_by_part(database: str) -> None:
    found = [
        asked(database, "http://loinc.org", lambda s, v=value: codes(s, ("COMPONENT", "=", v)))
        for value in ("Testose 1", code(2, "LP"))
    ]
    assert found[0] == found[1] != set()


def test_a_concept_of_snomed_ct_has_its_attributes_and_names(database: str) -> None:
    number = 7

    async def find(system: CodeSystem) -> object:
        return (await system.find([str(concept_id(number))]))[str(concept_id(number))]

    concept = asked(database, "http://snomed.info/sct", find)
    names = {one.code for one in concept.properties}  # type: ignore[attr-defined]
    assert {str(ATTRIBUTES[0]), "moduleId", "effectiveTime", "sufficientlyDefined"} <= names
    assert concept.display  # type: ignore[attr-defined]


def test_a_refset_is_a_filter(database: str) -> None:
    found = asked(
        database, "http://snomed.info/sct", lambda s: codes(s, ("concept", "in", str(SIMPLE)))
    )
    assert found == {str(concept_id(number)) for number in range(20, 400, 20)}


def test_a_version_names_edition_and_date(database: str) -> None:
    async def version(system: CodeSystem) -> object:
        return system.head.version

    found = asked(database, "http://snomed.info/sct", version)
    assert found == "http://snomed.info/sct/900000000000207008/version/20260101"


def test_the_same_seed_gives_the_same_package(tmp_path: Path) -> None:
    first = write_package(tmp_path / "a", Size(60, seed=3))
    second = write_package(tmp_path / "b", Size(60, seed=3))
    made = [sorted(p.read_bytes() for p in one.rglob("*.txt")) for one in (first, second)]
    assert made[0] == made[1]
