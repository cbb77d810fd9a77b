"""A loaded code system answers as one in memory does, and refuses what costs too much."""

import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from loaded import Loaded, pool
from psycopg_pool import AsyncConnectionPool

from terminology.code_system import CodeSystem, Query
from terminology.code_system_resource import read_code_system
from terminology.concepts import Concept
from terminology.filters import Filter, UnsupportedFilter
from terminology.issues import Refusal
from terminology.postgres.rows import rows

Json = dict[str, Any]
SIZE = 90
NOUNS = ["Fièvre", "fever", "Hay fever", "Ache", "acute ache", "ÉTAT", "Feverfew", "Ménière"]
ROLE = "http://hl7.org/fhir/concept-properties#"


def system() -> Json:
    """Ninety concepts with one to three parents, properties of every kind and designations."""
    draw = random.Random(7)
    concepts = [_concept(number, draw) for number in range(SIZE)]
    draw.shuffle(concepts)
    return {
        "resourceType": "CodeSystem",
        "url": "http://example.org/drawn",
        "version": "1",
        "status": "active",
        "content": "complete",
        "caseSensitive": True,
        "property": [
            {"code": "up", "type": "code", "uri": f"{ROLE}parent"},
            {"code": "site", "type": "code"},
            {"code": "state", "type": "code", "uri": f"{ROLE}status"},
            {"code": "hidden", "type": "boolean", "uri": f"{ROLE}notSelectable"},
            {"code": "size", "type": "integer"},
            {"code": "dose", "type": "decimal"},
            {"code": "note", "type": "string"},
            {"code": "common", "type": "boolean"},
            {"code": "since", "type": "dateTime"},
            {"code": "place", "type": "Coding"},
        ],
        "concept": concepts,
    }


def _concept(number: int, draw: random.Random) -> Json:
    above = {draw.randrange(number) for _ in range(draw.choice([1, 1, 1, 3])) if number}
    properties: list[Json] = [{"code": "up", "valueCode": f"c{one}"} for one in sorted(above)]
    chances: list[tuple[float, Json]] = [
        (0.3, {"code": "site", "valueCode": draw.choice(["arm", "leg"])}),
        (0.15, {"code": "state", "valueCode": draw.choice(["retired", "draft"])}),
        (0.1, {"code": "hidden", "valueBoolean": True}),
        (0.3, {"code": "size", "valueInteger": draw.randrange(4)}),
        (0.3, {"code": "dose", "valueDecimal": draw.choice([0.5, 1.25])}),
        (0.3, {"code": "note", "valueString": draw.choice(["a b", "a c", "x"])}),
        (0.3, {"code": "common", "valueBoolean": draw.random() < 0.5}),
        (0.3, {"code": "since", "valueDateTime": draw.choice(["2020", "2021-05"])}),
        (0.2, {"code": "place", "valueCoding": {"system": "http://e.org", "code": "p1"}}),
    ]
    properties += [one for chance, one in chances if draw.random() < chance]
    names = [{"language": tag, "value": draw.choice(NOUNS)} for tag in ("fr", "fr-CH", "den")]
    return {
        "code": f"c{number}",
        "display": f"{draw.choice(NOUNS)} {number % 7}",
        "designation": [one for one in names if draw.random() < 0.3],
        "property": properties,
    }


@pytest.fixture(scope="module")
async def connections(own_database: str) -> AsyncIterator[AsyncConnectionPool[Any]]:
    async with pool(own_database) as opened:
        yield opened


@pytest.fixture(scope="module")
async def stored(own_database: str, connections: AsyncConnectionPool[Any]) -> CodeSystem:
    return await Loaded(own_database, connections)(system())


@pytest.fixture(scope="module")
def plain() -> CodeSystem:
    return read_code_system(system())


def comparable(concept: Concept) -> tuple[Concept, list[str]]:
    """A loaded concept has its properties in the order declared, and no parents among them."""
    own = [str(one) for one in concept.properties if one.code != "up"]
    return replace(concept, properties=()), sorted(own)


async def chosen(system: CodeSystem, query: Query) -> tuple[list[Any], int]:
    selection = await system.select(query)
    return [comparable(one) for one in selection.concepts], selection.total


def where(name: str, op: str, value: str) -> Query:
    return Query(filters=(Filter(name, op, value),))


FILTERS = [
    *(
        (("concept", op, code))
        for code in ("c0", "c3", "c20", "none")
        for op in (
            "is-a",
            "descendent-of",
            "is-not-a",
            "generalizes",
            "child-of",
            "descendent-leaf",
        )
    ),
    ("code", "=", "c4"),
    ("code", "in", "c4, c5,none"),
    ("code", "in", "c4,c\0"),
    ("concept", "is-a", "c\0"),
    ("code", "not-in", "c4,c5"),
    ("code", "regex", "c[1-3]."),
    ("display", "=", "fever 1"),
    ("display", "regex", r".*\bfever\b.*"),
    ("display", "exists", "true"),
    ("parent", "=", "c3"),
    ("up", "in", "c1,c2"),
    ("up", "exists", "false"),
    ("child", "=", "c20"),
    ("child", "exists", "true"),
    ("site", "=", "arm"),
    ("site", "in", "arm,leg"),
    ("site", "not-in", "arm"),
    ("site", "exists", "false"),
    ("site", "regex", "a.*|l"),
    ("status", "=", "retired"),
    ("state", "not-in", "retired"),
    ("status", "exists", "true"),
    ("state", "regex", "re.*"),
    ("inactive", "=", "true"),
    ("inactive", "=", "false"),
    ("hidden", "=", "true"),
    ("notSelectable", "exists", "true"),
    ("size", "=", "2"),
    ("size", "in", "2,3,many"),
    ("size", "regex", "[12]"),
    ("dose", "=", "1.25"),
    ("dose", "=", "NaN"),
    ("note", "=", "a b"),
    ("note", "regex", "a .*"),
    ("common", "=", "false"),
    ("common", "=", "FALSE"),
    ("since", "=", "2021-05"),
    ("place", "=", "p1"),
]


@pytest.mark.parametrize(("name", "op", "value"), FILTERS, ids=str)
async def test_a_filter_chooses_what_it_chooses_in_memory(
    stored: CodeSystem, plain: CodeSystem, name: str, op: str, value: str
) -> None:
    query = where(name, op, value)
    assert await chosen(stored, query) == await chosen(plain, query)
    codes = [f"c{number}" for number in range(0, SIZE, 3)]
    assert await stored.test(query.filters, codes) == await plain.test(query.filters, codes)


BELOW, RETIRED = Filter("concept", "is-a", "c1"), Filter("state", "=", "retired")


@pytest.mark.parametrize(
    "query",
    [
        Query(filters=(BELOW, Filter("site", "=", "arm"), Filter("size", "exists", "true"))),
        Query(filters=(BELOW, Filter("concept", "is-a", "c2"))),
        Query(excluded=((BELOW, RETIRED), (Filter("site", "=", "leg"),))),
        Query(filters=(BELOW,), active_only=True, selectable_only=True, offset=2, limit=3),
        Query(text="fev"),
        Query(text="FIEVRE"),
        Query(text="f"),
        Query(text="ac a", offset=1, limit=4),
        Query(text="fever 1"),
        Query(text="ache acute"),
        Query(text="menie", languages=("fr",)),
        Query(text="hay", languages=("fr-CH", "en")),
        Query(text="hay", languages=("de",)),
        Query(text="fe", filters=(BELOW,), active_only=True),
        Query(text="fe", excluded=((BELOW,),)),
        Query(text="'; \\ & | ! :* <->"),
        Query(text="fever:*"),
        Query(text="no\0thing"),
        Query(limit=0),
        Query(offset=1000, limit=5),
    ],
    ids=str,
)
async def test_a_query_has_the_order_and_total_that_it_has_in_memory(
    stored: CodeSystem, plain: CodeSystem, query: Query
) -> None:
    assert await chosen(stored, query) == await chosen(plain, query)


async def test_pages_joined_are_the_whole_list(stored: CodeSystem) -> None:
    for whole in (Query(), Query(text="fe"), where("concept", "is-a", "c1")):
        everything = await stored.select(whole)
        pages = [
            (await stored.select(_page(whole, offset))).concepts
            for offset in range(0, everything.total + 7, 7)
        ]
        assert tuple(one for page in pages for one in page) == everything.concepts


def _page(query: Query, offset: int) -> Query:
    return Query(filters=query.filters, text=query.text, offset=offset, limit=7)


async def test_a_concept_is_read_whole(stored: CodeSystem, plain: CodeSystem) -> None:
    codes = [f"c{number}" for number in range(SIZE)]
    found = await stored.find([*codes, "none", "c\0"])
    expected = await plain.find(codes)
    assert {code: comparable(one) for code, one in found.items()} == {
        code: comparable(one) for code, one in expected.items()
    }


async def test_subsumption_is_that_in_memory(stored: CodeSystem, plain: CodeSystem) -> None:
    pairs = [(f"c{one}", f"c{other}") for one in range(9) for other in range(0, SIZE, 5)]
    assert [await stored.subsumes(*pair) for pair in pairs] == [
        await plain.subsumes(*pair) for pair in pairs
    ]


@pytest.mark.parametrize(
    ("name", "op", "value"),
    [
        ("colour", "=", "red"),
        ("colour", "exists", "true"),
        ("site", "is-a", "arm"),
        ("site", "sounds-like", "arm"),
        ("site", "exists", "maybe"),
        ("code", "regex", "(a)\\1"),
        ("parent", "regex", "c.*"),
        ("constraint", "=", "<< 1"),
    ],
)
async def test_a_filter_that_is_not_understood_is_refused(
    stored: CodeSystem, name: str, op: str, value: str
) -> None:
    with pytest.raises(UnsupportedFilter):
        await stored.select(where(name, op, value))


async def test_a_statement_that_takes_too_long_is_too_costly(
    connections: AsyncConnectionPool[Any],
) -> None:
    async with connections.connection() as one:
        await one.execute("SET statement_timeout = '20ms'")
        try:
            with pytest.raises(Refusal) as refused:
                await rows(_Same(one), "SELECT pg_sleep(10)")
        finally:
            await one.execute("RESET statement_timeout")
    assert refused.value.issues[0].code == "too-costly"


class _Same:
    """Lends the same connection always."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def connection(self) -> Any:
        return self

    async def __aenter__(self) -> Any:
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        pass
