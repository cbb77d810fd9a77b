"""What SQL finds is what the conditions say, and what was extracted is found."""

import random
import re
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from fhir_server.database import Database
from fhir_server.r4 import json
from fhir_server.search import compile as compiled
from fhir_server.search.condition import Both
from fhir_server.search.date import moment
from fhir_server.search.extract import extract
from fhir_server.search.parameter import Parameter
from fhir_server.search.parse import parse
from fhir_server.search.rows import Rows
from fhir_server.store import find
from fhir_server.store import page as pages

from . import (
    test_composite,
    test_date,
    test_number,
    test_quantity,
    test_reference,
    test_string,
    test_token,
    test_uri,
)
from .matching import REGISTRY, RULES, Json, finds, holds, query
from .storing import store

TABLES = [
    (test_composite.test_components_match_inside_one_element, "{}"),
    (test_quantity.test_units, "value-quantity={}"),
    (test_reference.test_references, "{}"),
    (test_string.test_strings, "{}"),
    (test_token.test_tokens, "{}"),
    (test_uri.test_uris, "{}"),
    (test_number.test_numbers, "{}"),
    (test_date.test_dates_at_edges, "{}"),
    (test_date.test_each_prefix_with_each_precision, "{}"),
]
PERIODS = [test_date.DAY, test_date.WEEK, test_date.SINCE, test_date.UNTIL, test_date.encounter()]
RISKS = [
    test_number.EXACT,
    test_number.NEAR,
    test_number.ABOVE,
    test_number.RANGE,
    test_number.OPEN,
]
EXAMPLES = "data/r4/hl7.fhir.r4.examples-4.0.1.tgz"


def tabled() -> tuple[list[Json], list[tuple[str, str]]]:
    """Return the resources and the (type, query) of all tables of matching rules."""
    resources, queries = [*PERIODS, *RISKS], []
    for test, form in TABLES:
        for text, stored, _ in test.pytestmark[-1].args[1]:
            resources.append(stored)
            asked = quote(text, safe="|") if form != "{}" else text
            queries.append((stored["resourceType"], form.format(asked)))
    queries += [("Encounter", f"date={row[0]}") for row in periods_asked()]
    queries += [("RiskAssessment", f"probability={row[0]}") for row in numbers_asked()]
    unique = {repr(one): one for one in resources}
    return list(unique.values()), sorted(set(queries))


def periods_asked() -> list[Any]:
    return list(test_date.test_periods.pytestmark[-1].args[1])  # type: ignore[attr-defined]


def numbers_asked() -> list[Any]:
    return list(test_number.test_prefixes.pytestmark[-1].args[1])  # type: ignore[attr-defined]


async def found_by_sql(database: Database, type_name: str, text: str) -> set[str]:
    async with database.connection() as connection:
        return {id_ for _, id_ in await find.ids(connection, query(type_name, text), 10_000)}


async def test_sql_finds_what_the_conditions_say(database: Database) -> None:
    resources, queries = tabled()
    stored = [{"id": f"r{n}", **one} for n, one in enumerate(resources)]
    await store(database, stored)
    for type_name, text in queries:
        expected = {
            one["id"] for one in stored if one["resourceType"] == type_name and finds(text, one)
        }
        assert await found_by_sql(database, type_name, text) == expected, (type_name, text)


class Recorder(Rows):
    """Rows that remember by which query each would be found."""

    def __init__(self) -> None:
        super().__init__(REGISTRY.context)
        self.queries: set[tuple[str, str]] = set()

    def add(self, parameter: Parameter, form: str, *values: str) -> None:
        super().add(parameter, form, *values)
        name, joined = QUERIES.get(form, ("", ""))
        if name:
            escaped = [re.sub(r"([,$|\\])", r"\\\1", value) for value in values]
            text = joined.format(*escaped)
            if form in ("uri", "reference", "exact"):
                text = values[0].replace("\\", "\\\\").replace(",", "\\,")
            self.queries.add((name.format(parameter.code), text))

    def repeat(self, write: Callable[..., None], parameter: Parameter, *values: str | None) -> None:
        write(self, parameter, *values)


QUERIES = {
    "code": ("{}", "{}"),
    "code!": ("{}", "{}"),
    "token": ("{}", "{}|{}"),
    "plain": ("{}", "|{}"),
    "system": ("{}", "{}|"),
    "present": ("{}:missing", "false"),
    "exact": ("{}:exact", "{}"),
    "of-type": ("{}:of-type", "{}|{}|{}"),
    "reference": ("{}", ""),
    "uri": ("{}", ""),
    "id:token": ("{}:identifier", "{}|{}"),
}


def asked_of(resource: Json) -> list[tuple[str, str]]:
    """Return (name, value) of a query for each index value of the resource."""
    type_name = resource["resourceType"]
    recorder = Recorder()
    REGISTRY.plan(type_name).write(resource, recorder)
    by_id = {p.id: p for p in REGISTRY.parameters(type_name).values()}
    for rows in recorder.ranges.values():
        for param, *rest in rows:
            if param in by_id:
                recorder.queries.add((f"{by_id[param].code}:missing", "false"))
                recorder.queries.update(_date_queries(by_id[param], rest))
    contact = {"phone", "email", "telecom", "fax"}
    return sorted(q for q in recorder.queries if q[0] not in contact or not q[1].startswith("|"))


def _date_queries(parameter: Parameter, rest: list[Any]) -> Iterator[tuple[str, str]]:
    if parameter.type != "date":
        return
    low, high = moment(rest[0]), moment(rest[1])
    if low.year > 1:
        yield parameter.code, f"ge{low.isoformat(timespec='microseconds').replace('+00:00', 'Z')}"
    if high.year < 9999:
        yield parameter.code, f"le{high.isoformat(timespec='microseconds').replace('+00:00', 'Z')}"


@pytest.fixture(scope="module")
def examples(shared: Path) -> list[Json]:
    """The official examples, read once for the tests of their group, which change none."""
    found = []
    with tarfile.open(shared / EXAMPLES) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is not None and member.name.endswith(".json"):
                data = json.decode(content.read())
                if data.get("resourceType") in REGISTRY.context.type_ids:
                    found.append(data)
    return found


def no_separator(pair: tuple[str, str], resource: Json) -> bool:
    """Whether the value has a form that its parameter takes."""
    types = REGISTRY.plan(resource["resourceType"]).facts[pair[0].partition(":")[0]].types
    return "|" not in pair[1].replace("\\|", "") or bool(
        types - {"ContactPoint", "boolean", "uri", "string", "markdown", "canonical", "oid", "url"}
    )


@pytest.mark.xdist_group("examples")
def test_each_example_is_found_by_each_of_its_index_values(examples: list[Json]) -> None:
    asked = 0
    for resource in random.Random(1).sample(examples, 1500):
        type_name = resource["resourceType"]
        rows = extract(REGISTRY, type_name, resource)
        for pair in asked_of(resource):
            if not no_separator(pair, resource):
                continue
            condition = Both(parse(REGISTRY, type_name, [pair], RULES).conditions)
            assert holds(condition, rows, resource), (type_name, resource.get("id"), pair)
            asked += 1
    assert asked > 25_000


@pytest.mark.xdist_group("examples")
@pytest.mark.parametrize("seed", [1, 2])
async def test_sql_finds_examples_as_the_conditions_do(
    seed: int, examples: list[Json], database: Database
) -> None:
    chance = random.Random(seed)
    everything = {(e["resourceType"], e.get("id", "x")): e for e in examples}
    sample = chance.sample(sorted(everything), 300)
    stored = [everything[name] for name in sample if "id" in everything[name]]
    await store(database, stored)
    by_type = defaultdict(list)
    for one in stored:
        by_type[one["resourceType"]].append((one, extract(REGISTRY, one["resourceType"], one)))
    for one in chance.sample(stored, 100):
        type_name = one["resourceType"]
        pairs = [pair for pair in asked_of(one) if no_separator(pair, one)]
        for pair in chance.sample(pairs, min(3, len(pairs))):
            asked = replace(parse(REGISTRY, type_name, [pair], RULES), guard="open")
            expected = {
                other["id"]
                for other, rows in by_type[type_name]
                if all(holds(condition, rows, other) for condition in asked.conditions)
            }
            async with database.connection() as connection:
                found = {id_ for _, id_ in await find.ids(connection, asked, 1000)}
            assert found == expected, (type_name, pair)
            assert one["id"] in found


MANY = {
    "family={}": [f"{n}family" for n in range(1000)],
    "birthdate={}": [f"{1000 + n}-05" for n in range(1000)],
    "identifier={}": [f"urn:mr|{n}" for n in range(1000)],
    "general-practitioner={}": [f"Practitioner/{n}" for n in range(1000)],
    "organization={}": [f"{n}" for n in range(1000)],
    "_id={}": [f"p{n}" for n in range(1000)],
    "_profile:below={}": [f"http://example.org/{n}" for n in range(1000)],
    "organization.name={}": [f"{n}name" for n in range(1000)],
}


@pytest.mark.parametrize("form", MANY)
@pytest.mark.parametrize("many", [9, 1000])
async def test_many_alternatives_find_what_each_would(
    form: str, many: int, database: Database
) -> None:
    patients: list[Json] = [
        {
            "resourceType": "Patient",
            "id": f"p{n}",
            "name": [{"family": f"{n}family."}],
            "birthDate": f"{1000 + n}-05-07",
            "identifier": [{"system": "urn:mr", "value": f"{n}"}],
            "generalPractitioner": [{"reference": f"Practitioner/{n}"}],
            "managingOrganization": {"reference": f"Organization/{n}"},
            "meta": {"profile": [f"http://example.org/{n}/x"]},
        }
        for n in (1, 4, 400, 2000)
    ]
    organizations = [
        {"resourceType": "Organization", "id": f"{n}", "name": f"{n}name"}
        for n in (1, 4, 400, 2000)
    ]
    await store(database, [*patients, *organizations])
    asked = query("Patient", form.format(",".join(MANY[form][:many])))
    async with database.connection() as connection:
        asked = await find.settled(connection, asked)
        found = {id_ for _, id_ in await find.ids(connection, asked, 100)}
        walked = await pages.walked(connection, asked, pages.Cut(None, 100))
        gathered = await pages.gathered(connection, asked, pages.Cut(None, 100), 100)
    assert found == ({"p1", "p4"} if many == 9 else {"p1", "p4", "p400"})
    assert gathered is not None
    assert ([one.key for one in gathered[0]], gathered[1]) == (
        [one.key for one in walked],
        len(found),
    )
    assert len(walked) == len(found)


async def test_the_statements_text_does_not_depend_on_how_many_values_are_asked() -> None:
    texts = set()
    for many in (8, 9, 500, 1000):
        asked = query("Patient", f"family={','.join(MANY['family={}'][:many])}")
        texts.add(compiled.page(asked, None, compiled.VALUED, 9, 9).sql)
    assert len(texts) == 1
