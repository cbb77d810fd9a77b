"""`_explain`: how a search was carried out, for operators."""

import json
from contextlib import nullcontext

import httpx
import pytest

from fhir_server.caller import Caller, trusted
from fhir_server.config import Settings
from fhir_server.errors import Forbidden
from fhir_server.interactions.search import search
from fhir_server.rights import Grant, Rights
from fhir_server.search.explain import explained
from fhir_server.server import Server

from .searching import Json, get, ids, links, observation, patient, store


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    demo, explain, cost = getattr(request, "param", (True, "demo", 4_000))
    search = settings.search.model_copy(update={"explain": explain, "total_cost": cost})
    return settings.model_copy(update={"demo": demo, "search": search})


@pytest.fixture
async def filled(server: Server, client: httpx.AsyncClient) -> httpx.AsyncClient:
    people = [patient(f"p{n}", name=[{"family": "Secretname"}], gender="male") for n in range(5)]
    seen = [observation(f"o{n}", f"Patient/p{n}", "secretcode") for n in range(5)]
    await store(server, [*people, *seen])
    return client


def told(bundle: Json) -> list[Json]:
    """What the first entry tells, which is an outcome."""
    first = bundle["entry"][0]
    assert first["search"]["mode"] == "outcome"
    (issue,) = first["resource"]["issue"]
    assert (issue["severity"], issue["expression"]) == ("information", ["_explain"])
    found: list[Json] = json.loads(issue["diagnostics"])
    return found


def nodes(path: Json) -> list[str]:
    inner = [node for one in path.get("Plans", ()) for node in nodes(one)]
    return [path["Node Type"], *inner]


async def test_the_first_entry_tells_statement_path_and_rows(filled: httpx.AsyncClient) -> None:
    bundle = await get(filled, "/Patient?_explain=true&family=secretname&_count=3")
    (one,) = told(bundle)
    assert (one["part"], one["actualRows"]) == ("gathered", 4)
    assert one["estimatedRows"] >= 1
    assert one["executionTime"] > 0
    assert "idx_string" in one["sql"]
    assert "Limit" in nodes(one["path"])
    assert ids(bundle) == "p2 p3 p4"
    assert bundle["total"] == 5


async def test_no_value_is_told(filled: httpx.AsyncClient) -> None:
    asked = (
        "/Observation?_explain=true&code=secretcode&patient.family=secretname"
        "&date:missing=true&_lastUpdated=gt2001-02-03&_id=o1,o2&_sort=-date"
    )
    answer = await filled.get(asked)
    (issue,) = answer.json()["entry"][0]["resource"]["issue"]
    assert answer.json()["total"] == 2
    for value in ("secret", "2001", "o1", "p1", "'{", "$1"):
        assert value not in issue["diagnostics"].lower()
    assert "<bigint[]>" in issue["diagnostics"]


GATHERS, WALKS = (True, "demo", 4_000), (True, "demo", 0)


@pytest.mark.parametrize(
    ("settings", "asked", "parts"),
    [
        (GATHERS, "family=secretname&_sort=birthdate", ["gathered"]),
        (GATHERS, "_filter=gender eq male or birthdate gt 2000", ["gathered"]),
        (GATHERS, "gender=male&_count=0", ["count"]),
        (GATHERS, "gender=male&_summary=count", ["count"]),
        (WALKS, "family=secretname&_sort=birthdate", ["valued", "missing"]),
        (WALKS, "_id=p1,p2&_sort=birthdate", ["gathered"]),
        (WALKS, "_filter=gender eq male or birthdate gt 2000", ["valued"]),
    ],
    indirect=["settings"],
)
async def test_each_statement_is_told(
    asked: str, parts: list[str], filled: httpx.AsyncClient
) -> None:
    bundle = await get(filled, f"/Patient?_explain=true&{asked}")
    assert [one["part"] for one in told(bundle)] == parts


async def test_later_pages_are_explained_too(filled: httpx.AsyncClient) -> None:
    first = await get(filled, "/Patient?_explain=true&_count=3")
    assert "_explain=true" in links(first)["self"]
    second = await get(filled, links(first)["next"])
    assert told(second)[0]["actualRows"] == 2
    assert ids(second) == "p0 p1"


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        ((True, "demo", 4_000), 200),
        ((False, "demo", 4_000), 403),
        ((True, "off", 4_000), 403),
        ((False, "on", 4_000), 200),
    ],
    indirect=["settings"],
)
async def test_who_may_ask_is_a_setting(status: int, server: Server) -> None:
    operator = trusted("tests", "rest")
    if status == 403:
        with pytest.raises(Forbidden) as refused:
            await search(server, operator, "Patient", [("_explain", "true")])
        (issue,) = refused.value.issues
        assert (issue.code, issue.expression) == ("forbidden", "_explain")
    else:
        assert b"actualRows" in await search(server, operator, "Patient", [("_explain", "true")])
    assert b"actualRows" not in await search(server, operator, "Patient", [("_explain", "false")])


async def test_only_operators_may_ask(server: Server) -> None:
    for operator, told in ((frozenset[str](), False), (frozenset(("explain",)), True)):
        caller = Caller("tests", "rest", Rights(((Grant("Patient", "s"),),), operator))
        with nullcontext() if told else pytest.raises(Forbidden):
            await search(server, caller, "Patient", [("_explain", "true")])


def test_only_what_is_known_to_hold_no_value_is_told() -> None:
    scan = {"Node Type": "Index Scan", "Index Name": "i", "Index Cond": "(a = 'secret')"}
    plan = {
        "Plan": {
            "Node Type": "Limit",
            "Plan Rows": 3,
            "Actual Rows": 1,
            "Output": ["'secret'"],
            "Plans": [{**scan, "Rows Removed by Filter": 2, "Filter": "(b = 'secret')"}],
        },
        "Planning Time": 0.1,
        "Execution Time": 0.2,
    }
    sql = "SELECT a \nFROM t WHERE b = CAST($1 AS TEXT) AND c = any(CAST($12 AS BIGINT[]))"
    assert explained("valued", sql, plan) == {
        "part": "valued",
        "sql": "SELECT a FROM t WHERE b = <text> AND c = any(<bigint[]>)",
        "estimatedRows": 3,
        "actualRows": 1,
        "planningTime": 0.1,
        "executionTime": 0.2,
        "path": {
            "Node Type": "Limit",
            "Plan Rows": 3,
            "Actual Rows": 1,
            "Plans": [{"Node Type": "Index Scan", "Index Name": "i", "Rows Removed by Filter": 2}],
        },
    }
