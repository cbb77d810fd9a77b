"""The order of a searchset, by each type of parameter.

https://hl7.org/fhir/R4/search.html#sort
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import httpx
import pytest

from fhir_server.server import Server

from .searching import Json, get, links, observation, shown, store

UCUM = "http://unitsofmeasure.org"


def measured(id_: str, value: str | None, code: str = "mg", **more: Any) -> Json:
    if value is None:
        return observation(id_, "Patient/p", **more)
    quantity = {"value": Decimal(value), "system": UCUM, "code": code}
    return observation(id_, "Patient/p", valueQuantity=quantity, **more)


def named(id_: str, *families: str) -> Json:
    return {"resourceType": "Patient", "id": id_, "name": [{"family": f} for f in families]}


def risk(id_: str, *numbers: str) -> Json:
    found = [{"probabilityDecimal": Decimal(number)} for number in numbers]
    return {"resourceType": "RiskAssessment", "id": id_, "status": "final", "prediction": found}


def value_set(id_: str, url: str | None) -> Json:
    made: Json = {"resourceType": "ValueSet", "id": id_, "status": "draft"}
    return made if url is None else {**made, "url": url}


def encounter(id_: str, **period: str) -> Json:
    return {"resourceType": "Encounter", "id": id_, "period": period}


def coded(id_: str, *codes: str, subject: str = "Patient/p") -> Json:
    made = observation(id_, subject)
    return {**made, "code": {"coding": [{"system": "urn:x", "code": code} for code in codes]}}


QUANTITIES = [
    measured("a", "0.2", "g"),
    measured("b", "150", "mg"),
    measured("c", None),
    measured("d", "-1", "kg"),
    measured("e", "199.9", "mg"),
]
NUMBERS = [risk("a", "5", "70"), risk("b", "6"), risk("c"), risk("d", "-1e3"), risk("e", "6.0")]
STRINGS = [
    named("a", "Zimmer", "Ahuja"),
    named("b", "ärmel"),
    {"resourceType": "Patient", "id": "c"},
    named("d", "ARM"),
    named("e", "शर्मा"),
]
TOKENS = [coded("a", "m", "b"), coded("b", "c"), coded("c"), coded("d", "z", "a")]
REFERENCES = [
    coded("a", subject="Patient/2"),
    coded("b", subject="Group/9"),
    coded("c", subject="Patient/10"),
]
URIS = [
    value_set("a", "http://x.org/b"),
    value_set("b", "http://x.org/B"),
    value_set("c", None),
    value_set("d", "http://x.org/a/z"),
]
DATES = [
    encounter("a", start="2020-05", end="2020-06"),
    encounter("b", end="2019"),
    encounter("c"),
    encounter("d", start="2020-05-01T00:00:00+05:30"),
    encounter("e", start="0001-01-01"),
]
SEVERAL = [
    measured("a", "1", effectiveDateTime="2020-02"),
    measured("b", None, effectiveDateTime="2020-02"),
    measured("c", "2", effectiveDateTime="2020-01"),
    measured("d", "1"),
    measured("e", "1", effectiveDateTime="2020-02"),
    measured("f", None),
]


@pytest.mark.parametrize("count", [2, 50], ids=["pages", "whole"])
@pytest.mark.parametrize(
    ("stored", "sort", "expected"),
    [
        (QUANTITIES, "value-quantity", "d b e a c"),
        (QUANTITIES, "-value-quantity", "a e b d c"),
        (NUMBERS, "probability,_id", "d a b e c"),
        (NUMBERS, "-probability,_id", "a b e d c"),
        (STRINGS, "family", "a d b e c"),
        (STRINGS, "-family", "e a b d c"),
        (TOKENS, "code", "d a b c"),
        (TOKENS, "-code", "d a b c"),
        (REFERENCES, "subject", "b c a"),
        (REFERENCES, "-subject", "a c b"),
        (URIS, "url", "b d a c"),
        (URIS, "-url", "a d b c"),
        (DATES, "date", "b e d a c"),
        (DATES, "-date", "a d e b c"),
        (SEVERAL, "date,value-quantity,_id", "c a e b d f"),
        (SEVERAL, "-date,-value-quantity,-_id", "e a b c d f"),
        (SEVERAL, "value-quantity,-date,_id", "a e d c b f"),
        (SEVERAL, "-value-quantity,date,-_id", "c e a d b f"),
        (SEVERAL, "status,code,subject,-_id", "f e d c b a"),
        (SEVERAL, "_id", "a b c d e f"),
        (SEVERAL, "-_id", "f e d c b a"),
        (SEVERAL, "", "f e d c b a"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_sort(
    stored: Sequence[Json],
    sort: str,
    expected: str,
    count: int,
    server: Server,
    client: httpx.AsyncClient,
) -> None:
    await store(server, stored)
    type_name = stored[0]["resourceType"]
    following: str | None = f"/{type_name}?_count={count}" + (f"&_sort={sort}" if sort else "")
    found: list[str] = []
    while following:
        bundle = await get(client, following)
        found += [one.partition("/")[2] for one in shown(bundle)]
        following = links(bundle).get("next")
    assert " ".join(found) == expected


@pytest.mark.parametrize(
    ("sort", "code"),
    [
        ("subject.name", "not-supported"),
        ("code:text", "not-supported"),
        ("code-value-quantity", "not-supported"),
        ("colour", "invalid"),
        ("date,", "invalid"),
        ("--date", "invalid"),
    ],
)
async def test_what_cannot_order_is_refused(
    sort: str, code: str, client: httpx.AsyncClient
) -> None:
    refused = await get(client, f"/Observation?_sort={sort}", 400)
    (issue,) = refused["issue"]
    assert (issue["code"], issue["expression"]) == (code, ["_sort"])


async def test_a_sort_is_by_the_values_of_now(client: httpx.AsyncClient, server: Server) -> None:
    await store(server, [named("a", "x"), named("b", "y")])
    answer = await client.put("/Patient/a", json=named("a", "z"))
    assert answer.status_code == 200
    bundle = await get(client, "/Patient?_sort=family")
    assert shown(bundle) == ["Patient/b", "Patient/a"]


def test_the_tables_name_each_resource_once() -> None:
    for table in (QUANTITIES, NUMBERS, STRINGS, TOKENS, REFERENCES, URIS, DATES, SEVERAL):
        assert len({one["id"] for one in table}) == len(table)
        assert len({one["resourceType"] for one in table}) == 1
