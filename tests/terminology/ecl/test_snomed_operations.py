"""SNOMED CT as the operations see it: value sets, maps and look-ups that need no resource."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from brute import Brute
from psycopg_pool import AsyncConnectionPool
from universe import (
    ATTRIBUTES,
    GB,
    REFSETS,
    SAME_AS,
    SNOMED,
    SYNONYM,
    VERSION,
    Universe,
    store,
    universe,
)

from terminology.ecl.constraint import Constraints
from terminology.ecl.parse import parse
from terminology.operations import Answer, Call, answer
from terminology.postgres.library import PostgresLibrary

OLDER = VERSION.replace("2025", "2024")


@pytest.fixture(scope="module")
def known(own_database: str) -> Iterator[Universe]:
    """Two releases: of the older one only the number is told."""
    one = universe(7)
    with psycopg.connect(own_database, autocommit=True) as connection:
        connection.execute("DELETE FROM tx.code_system")
        numbers = [store(connection, one), store(connection, universe(8), OLDER)]
        yield one
        for number in numbers:
            for table in ("concept", "designation", "search_text", "edge", "closure", "property"):
                connection.execute(f"DROP TABLE tx.{table}_{number}")
            connection.execute(f"DROP TABLE tx.refset_member_{number}")
        connection.execute("DELETE FROM tx.code_system WHERE id = ANY(%s)", [numbers])


@pytest.fixture
async def library(own_database: str, known: Universe) -> AsyncIterator[PostgresLibrary]:
    options = {"autocommit": True, "options": "-c statement_timeout=10s -c jit=off"}
    pool: AsyncConnectionPool[Any]
    async with AsyncConnectionPool(own_database, min_size=1, max_size=2, kwargs=options) as pool:
        yield PostgresLibrary(pool, constraint=Constraints(pool))


async def ask(library: PostgresLibrary, kind: str, operation: str, **given: object) -> Answer:
    types = {bool: "valueBoolean", int: "valueInteger", dict: "valueCoding"}
    parameters = [
        {"name": name.replace("_", "-"), types.get(type(value), "valueString"): value}
        for name, value in given.items()
    ]
    resource = {"resourceType": "Parameters", "parameter": parameters}
    return await answer(library, Call(kind, operation, resource))


async def expanded(library: PostgresLibrary, url: str, **given: object) -> list[str]:
    found = await ask(library, "ValueSet", "expand", url=url, excludeNested=True, **given)
    assert found.status == 200, found.resource
    return [one["code"] for one in found.resource["expansion"].get("contains", ())]


async def refused(library: PostgresLibrary, url: str) -> tuple[int, str, str | None, str]:
    found = await ask(library, "ValueSet", "expand", url=url)
    (one,) = found.resource["issue"]
    ids = [each["valueString"] for each in one.get("extension", ())]
    return found.status, one["code"], next(iter(ids), None), one["details"]["text"]


def ecl(text: str, base: str = SNOMED) -> str:
    return f"{base}?fhir_vs=ecl/{quote(text)}"


ROOT = "1000000"


async def test_an_expression_in_a_url_is_a_value_set(
    library: PostgresLibrary, known: Universe
) -> None:
    text = f"<< {ROOT} : {ATTRIBUTES[0]} = *"
    expected = sorted(Brute(known).members(parse(text)))
    assert 0 < len(expected) < len(known.concepts)
    assert await expanded(library, ecl(text)) == expected
    assert await expanded(library, ecl(text), count=2, offset=1) == expected[1:3]
    for edition in (VERSION, VERSION.partition("/version/")[0]):
        assert await expanded(library, ecl(text, edition)) == expected
    older = Brute(universe(8)).members(parse(text))
    assert await expanded(library, ecl(text, OLDER)) == sorted(older)


async def test_implicit_value_sets(library: PostgresLibrary, known: Universe) -> None:
    below = {code for code in known.concepts if ROOT in known.ancestors(code)} | {ROOT}
    members = {one.code for one in known.members if one.refset == REFSETS[0] and one.active}
    refsets = {one.refset for one in known.members if one.active}
    urls = {
        "": set(known.concepts),
        f"=isa/{ROOT}": below,
        f"=refset/{REFSETS[0]}": members,
        "=refset": refsets,
    }
    for url, expected in urls.items():
        assert await expanded(library, f"{SNOMED}?fhir_vs{url}") == sorted(expected)


@pytest.mark.parametrize(
    "rest", ["isa/999999999", "refset/999999999", f"refset/{ROOT}", f"isa/{ROOT}x"]
)
async def test_what_the_url_names_must_be_known(library: PostgresLibrary, rest: str) -> None:
    status, code, message, _ = await refused(library, f"{SNOMED}?fhir_vs={rest}")
    assert (status, code, message) == (404, "not-found", "Unable_to_resolve_value_Set_")


@pytest.mark.parametrize(
    ("text", "issue", "message", "told"),
    [
        (f"< {ROOT} trailing", "invalid", "INVALID_ECL", "at character 11"),
        ("< 999999999", "invalid", "INVALID_ECL", "at character 3: the concept 999999999"),
        ("*: 999999999 = *", "invalid", "INVALID_ECL", "at character 4"),
        ("* {{ C moduleId = (999999999) }}", "invalid", "INVALID_ECL", "at character 20"),
        ("* {{ D typeId = 999999999 }}", "invalid", "INVALID_ECL", "at character 17"),
        ("LOINC#54486-6", "not-supported", "ECL_NOT_SUPPORTED", "the scheme LOINC"),
        ("^ [*] *", "not-supported", "ECL_NOT_SUPPORTED", "^ [*]"),
        ("* : { R 363698007 = * }", "not-supported", "ECL_NOT_SUPPORTED", "in a group"),
        ("* : 116680003 = *", "not-supported", "ECL_NOT_SUPPORTED", "116680003"),
        (" OR ".join([ROOT] * 10_000), "too-costly", "ECL_TOO_COSTLY", "2000 terms"),
        (
            " OR ".join([f"({ROOT} AND ({ROOT} OR ^ {REFSETS[0]}))"] * 600),
            "too-costly",
            "ECL_TOO_COSTLY",
            "too many things",
        ),
    ],
    ids=[
        "trailing",
        "unknown",
        "attribute",
        "module",
        "type",
        "scheme",
        "fields",
        "group",
        "is-a",
        "10000",
        "sql",
    ],
)
async def test_an_expression_that_cannot_be_answered_is_refused(
    library: PostgresLibrary, text: str, issue: str, message: str, told: str
) -> None:
    found = await refused(library, ecl(text))
    assert found[:3] == (422, issue, message)
    assert told in found[3]


async def test_two_thousand_alternatives_are_one_step(library: PostgresLibrary) -> None:
    text = " OR ".join([f"<< {ROOT}"] * 1_000 + [ROOT] * 1_000)
    assert len(await expanded(library, ecl(text))) > 1


async def test_a_code_is_validated_against_an_expression(
    library: PostgresLibrary, known: Universe
) -> None:
    text = f"<< {ROOT}"
    inactive = next(code for code, one in known.concepts.items() if not one.active)
    for code, expected in ((ROOT, True), ("1000007", True), (inactive, False)):
        found = await ask(
            library, "ValueSet", "validate-code", url=ecl(text), code=code, system=SNOMED
        )
        (result,) = [p for p in found.resource["parameter"] if p["name"] == "result"]
        assert result["valueBoolean"] is expected


async def test_a_filter_in_a_compose_names_its_place(library: PostgresLibrary) -> None:
    compose = [{"property": "constraint", "op": "=", "value": "<<"}]
    value_set = {
        "resourceType": "ValueSet",
        "status": "active",
        "compose": {"include": [{"system": SNOMED, "filter": compose}]},
    }
    resource = {"name": "valueSet", "resource": value_set}
    parameters = {"resourceType": "Parameters", "parameter": [resource]}
    found = await answer(library, Call("ValueSet", "expand", parameters))
    assert found.status == 422
    assert found.resource["issue"][0]["expression"] == ["ValueSet.compose.include[0].filter[0]"]


def matches(found: Answer) -> list[tuple[str, str | None, str | None]]:
    assert found.status == 200, found.resource
    rows = []
    for one in found.resource["parameter"]:
        if one["name"] == "match":
            parts = {part["name"]: part for part in one["part"]}
            concept = parts["concept"]["valueCoding"]
            rows.append((parts["equivalence"]["valueCode"], concept.get("system"), concept["code"]))
    return rows


async def test_a_historical_association_is_a_concept_map(
    library: PostgresLibrary, known: Universe
) -> None:
    one = next(m for m in known.members if m.refset == SAME_AS and m.active)
    url = f"{SNOMED}?fhir_cm={SAME_AS}"
    found = await ask(library, "ConceptMap", "translate", url=url, code=one.code, system=SNOMED)
    assert matches(found) == [("equal", SNOMED, one.target)]
    back = await ask(
        library,
        "ConceptMap",
        "translate",
        url=url,
        code=str(one.target),
        system=SNOMED,
        reverse=True,
    )
    assert one.code in [code for _, _, code in matches(back)]


async def test_a_map_refset_is_a_concept_map(library: PostgresLibrary, known: Universe) -> None:
    one = next(m for m in known.members if m.refset == REFSETS[1] and m.active)
    url = f"{VERSION}?fhir_cm={REFSETS[1]}"
    found = await ask(library, "ConceptMap", "translate", url=url, code=one.code, system=SNOMED)
    assert matches(found) == [("relatedto", "http://hl7.org/fhir/sid/icd-10", one.target)]


@pytest.mark.parametrize("refset", ["999999999", ROOT])
async def test_a_map_of_no_refset_is_unknown(library: PostgresLibrary, refset: str) -> None:
    url = f"{SNOMED}?fhir_cm={refset}"
    found = await ask(library, "ConceptMap", "translate", url=url, code=ROOT, system=SNOMED)
    assert found.status == 404


async def test_a_lookup_tells_the_edition_and_the_names_of_attributes(
    library: PostgresLibrary, known: Universe
) -> None:
    one = next(each for each in known.relations if each.attribute == ATTRIBUTES[0])
    found = await ask(
        library, "CodeSystem", "lookup", system=SNOMED, code=one.source, property=ATTRIBUTES[0]
    )
    parameters = found.resource["parameter"]
    (name,) = [each["valueString"] for each in parameters if each["name"] == "name"]
    assert name == f"{SNOMED}|{VERSION}"
    first = next(each for each in parameters if each["name"] == "property")
    assert first["part"] == [
        {"name": "code", "valueCode": ATTRIBUTES[0]},
        {"name": "code-display", "valueString": f"name of {ATTRIBUTES[0]}"},
        {"name": "description", "valueString": f"name of {one.value}"},
        {"name": "value", "valueCode": one.value},
    ]


@pytest.mark.parametrize(
    "tag", ["en-GB", "en-x-sctlang-90000000-00005080-04", "tlh, en-gb;q=0.5, en;q=0.1"]
)
async def test_a_dialect_is_asked_for_by_its_tag(
    library: PostgresLibrary, known: Universe, tag: str
) -> None:
    wanted = [
        one
        for one in known.descriptions
        if one.active and one.type == SYNONYM and one.language == "en"
    ]
    preferred = {}
    for one in wanted:
        if one.dialects.get(GB) == "preferred":
            preferred.setdefault(one.code, one.term)
    regional = {one.code for one in known.descriptions if one.language == "en-GB"}
    code, term = next(each for each in preferred.items() if each[0] not in regional)
    found = await ask(
        library, "CodeSystem", "lookup", system=SNOMED, code=code, displayLanguage=tag
    )
    shown = {one["name"]: one.get("valueString") for one in found.resource["parameter"]}
    assert shown["display"] == term


async def test_a_fully_specified_name_is_shown_only_where_there_is_nothing_else(
    library: PostgresLibrary, known: Universe
) -> None:
    german = [one for one in known.descriptions if one.active and one.language == "de"]
    named = {one.code for one in german if one.type != SYNONYM}
    code, term = next((o.code, o.term) for o in german if o.code in named and o.type == SYNONYM)
    found = await ask(
        library, "CodeSystem", "lookup", system=SNOMED, code=code, displayLanguage="de"
    )
    shown = {one["name"]: one.get("valueString") for one in found.resource["parameter"]}
    assert shown["display"] == term


async def test_expressions_exclude_one_another(library: PostgresLibrary, known: Universe) -> None:
    def filtered(value: str) -> dict[str, Any]:
        constraint = {"property": "constraint", "op": "=", "value": value}
        plain = {"property": "expressions", "op": "=", "value": "false"}
        return {"system": SNOMED, "filter": [constraint, plain]}

    kept, gone = f"<< {ROOT}", f"^ {REFSETS[0]} OR > 1000070"
    compose = {"include": [filtered(kept)], "exclude": [filtered(gone)]}
    value_set = {"resourceType": "ValueSet", "status": "active", "compose": compose}
    parameters = [
        {"name": "valueSet", "resource": value_set},
        {"name": "excludeNested", "valueBoolean": True},
    ]
    call = Call("ValueSet", "expand", {"resourceType": "Parameters", "parameter": parameters})
    found = await answer(library, call)
    codes = [one["code"] for one in found.resource["expansion"]["contains"]]
    brute = Brute(known)
    expected = brute.members(parse(kept)) - brute.members(parse(gone))
    assert codes == sorted(expected)
    assert found.resource["expansion"]["total"] == len(expected)
