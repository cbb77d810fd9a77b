"""What needs no resource, over content that the loaders wrote."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from benchmarks.synthetic_loinc import code, write_tables
from benchmarks.synthetic_rf2 import (
    ATTRIBUTES,
    GB,
    MAP,
    ROOT,
    SAME_AS,
    SIMPLE,
    Size,
    write_package,
)
from terminology.ecl.constraint import Constraints
from terminology.loaders.recognise import releases
from terminology.loaders.release import Options
from terminology.loaders.write import load_release
from terminology.operations import Call, answer
from terminology.postgres.library import PostgresLibrary

SCT = "http://snomed.info/sct"
LOINC = "http://loinc.org"


@pytest.fixture(scope="module")
def loaded(own_database: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("releases")
    with psycopg.connect(own_database, autocommit=True) as connection:
        connection.execute("DELETE FROM tx.code_system")
    for folder, options in (
        (write_tables(place / "loinc", 400), Options(version="2.80")),
        (write_package(place / "rf2", Size(300)), Options()),
    ):
        (release,) = releases([folder], options)
        asyncio.run(load_release(own_database, release, accepted=True, grace=0))
    return own_database


@pytest.fixture
async def library(loaded: str) -> AsyncIterator[PostgresLibrary]:
    pool: AsyncConnectionPool[Any]
    kwargs = {"autocommit": True}
    async with AsyncConnectionPool(loaded, min_size=1, max_size=1, kwargs=kwargs) as pool:
        yield PostgresLibrary(pool, constraint=Constraints(pool))


async def total(library: PostgresLibrary, url: str) -> int:
    given = [{"name": "url", "valueUri": url}, {"name": "count", "valueInteger": 0}]
    call = Call("ValueSet", "expand", {"resourceType": "Parameters", "parameter": given})
    found = await answer(library, call)
    assert found.status == 200, found.resource
    return int(found.resource["expansion"]["total"])


async def ecl(library: PostgresLibrary, text: str) -> int:
    return await total(library, f"{SCT}?fhir_vs=ecl/{quote(text)}")


async def test_expressions_over_a_loaded_release(library: PostgresLibrary, loaded: str) -> None:
    site = ATTRIBUTES[0]
    below = await ecl(library, f"< {ROOT}")
    assert below > 250
    having = await ecl(library, f"< {ROOT} : {site} = *")
    lacking = await ecl(library, f"< {ROOT} : [0..0] {site} = *")
    assert having > 0
    assert having + lacking == below
    grouped = await ecl(library, f"< {ROOT} : {{ {site} = * }}")
    assert grouped == having
    members = await ecl(library, f"^ {SIMPLE}")
    assert members == await total(library, f"{SCT}?fhir_vs=refset/{SIMPLE}") > 0
    assert await total(library, f"{SCT}?fhir_vs=isa/{ROOT}") >= below + 1
    assert await ecl(library, f'^ {MAP} {{{{ M mapTarget = wild:"*" }}}}') > 0
    history = await ecl(library, f"< {ROOT} {{{{ +HISTORY-MIN }}}}")
    assert history > below
    named = await ecl(library, f'< {ROOT} {{{{ D type = fsn, term = wild:"*(*)" }}}}')
    assert named > 0
    dialect = await ecl(library, f"< {ROOT} {{{{ D dialectId = {GB} (prefer) }}}}")
    assert 0 < dialect <= below
    defined = await ecl(library, f"< {ROOT} {{{{ C definitionStatus = defined }}}}")
    primitive = await ecl(library, f"< {ROOT} {{{{ C definitionStatus = primitive }}}}")
    assert defined + primitive == below


async def test_historical_associations_translate(library: PostgresLibrary, loaded: str) -> None:
    with psycopg.connect(loaded) as connection:
        row = connection.execute(
            "SELECT c.code, m.map_target FROM tx.refset_member m"
            " JOIN tx.concept r ON r.cs_id = m.cs_id AND r.cid = m.refset"
            " JOIN tx.concept c ON c.cs_id = m.cs_id AND c.cid = m.cid"
            " WHERE r.code = %s AND m.active ORDER BY c.code LIMIT 1",
            [str(SAME_AS)],
        ).fetchone()
    assert row is not None
    given = [
        {"name": "url", "valueUri": f"{SCT}?fhir_cm={SAME_AS}"},
        {"name": "system", "valueUri": SCT},
        {"name": "code", "valueCode": row[0]},
    ]
    call = Call("ConceptMap", "translate", {"resourceType": "Parameters", "parameter": given})
    parameters = (await answer(library, call)).resource["parameter"]
    (match,) = [one for one in parameters if one["name"] == "match"]
    parts = {one["name"]: one for one in match["part"]}
    assert parts["equivalence"]["valueCode"] == "equal"
    assert parts["concept"]["valueCoding"]["code"] == row[1]
    assert parts["concept"]["valueCoding"]["display"]


async def test_implicit_value_sets_of_loinc(library: PostgresLibrary) -> None:
    assert await total(library, f"{LOINC}/vs/{code(1, 'LL')}") == 4
    part = code(1, "LP")
    assert await total(library, f"{LOINC}/vs/{part}") == 400 + 400 // 20 - 1
    assert await total(library, f"{LOINC}/vs") > 400
