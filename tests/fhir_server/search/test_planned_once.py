"""Which searches are planned once for all values (docs/decisions/0068)."""

from dataclasses import replace
from typing import Any

import pytest

from fhir_server import database
from fhir_server.config import Limits, SearchSettings
from fhir_server.search.compile import gathered, is_planned_once
from fhir_server.search.condition import Not, Terms, Words
from fhir_server.search.parse import parse
from fhir_server.search.query import Query, Rules
from fhir_server.server import Server
from fhir_server.store.find import rows

RULES = Rules(SearchSettings(), Limits())
Json = dict[str, Any]
FEW = "patient=Patient/1"
ONCE = [
    FEW,
    "_id=1",
    "identifier=urn:oid:1.2|7",
    f"{FEW}&code=x",
    f"{FEW}&date=ge2024-01-01&_sort=-date",
    f"{FEW}&status:not=final&value-quantity=gt5",
    f"{FEW}&performer:Practitioner.name=rao",
]
EACH = [
    "code=x",
    "date=ge2024-01-01",
    f"{FEW}&_text=fever",
    f"{FEW}&code:in=http://example.org/set",
]


def query(server: Server, text: str) -> Query:
    pairs = [(name, value) for name, _, value in (one.partition("=") for one in text.split("&"))]
    return replace(parse(server.registry, "Observation", pairs, RULES), guard="open")


@pytest.mark.parametrize("text", ONCE)
async def test_what_few_meet_is_planned_once(text: str, server: Server) -> None:
    assert is_planned_once(query(server, text))


@pytest.mark.parametrize("text", EACH)
async def test_what_many_may_meet_or_takes_long_to_look_at_is_planned_for_its_values(
    text: str, server: Server
) -> None:
    assert not is_planned_once(query(server, text))


async def test_rights_decide_too(server: Server) -> None:
    asked = query(server, "code=x")
    assert is_planned_once(replace(asked, top=Terms((1,), few=True)))
    assert not is_planned_once(replace(asked, top=Terms((1,))))
    assert not is_planned_once(replace(query(server, FEW), top=Not(Words("x"))))


@pytest.mark.parametrize("text", [one for one in ONCE if one.startswith(FEW)])
@pytest.mark.parametrize("known", [False, True])
async def test_the_plan_begins_with_what_few_meet(
    text: str, *, known: bool, server: Server
) -> None:
    statement = gathered(query(server, text), None, 100, 10, 1 << 20)
    assert statement.kept
    asked = replace(statement, sql=f"EXPLAIN (FORMAT JSON) {statement.sql}")
    if known:  # that the table is empty
        async with server.database.statement() as connection:
            await connection.execute("ANALYZE terms")
    async with server.database.connection(kept=True) as connection:
        ((plan,),) = await rows(connection, asked, binary=False)
    (found,) = (one for one in nodes(plan[0]["Plan"]) if one.get("Subplan Name") == "CTE found")
    first = leaf(found)
    assert first["Node Type"] == "Bitmap Index Scan"
    assert first["Index Name"] == "terms_terms_ix"


async def test_statements_outlive_plans_of_long_ago(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    statement = gathered(query(server, FEW), None, 100, 10, 1 << 20)
    kept: list[bool] = []
    for seconds in (3600.0, -1.0):
        monkeypatch.setattr(database, "PLANS_SECONDS", seconds)
        async with server.database.connection(kept=True) as connection:
            assert await rows(connection, statement) == []
            left = await connection.execute(
                "SELECT generic_plans FROM pg_prepared_statements WHERE statement LIKE %s",
                ("WITH found%",),
            )
            kept.append(bool(await left.fetchall()))
    assert kept == [True, True]


def nodes(plan: Json) -> list[Json]:
    return [plan, *(node for one in plan.get("Plans", ()) for node in nodes(one))]


def leaf(plan: Json) -> Json:
    """The node with which it begins."""
    return leaf(plan["Plans"][0]) if "Plans" in plan else plan
