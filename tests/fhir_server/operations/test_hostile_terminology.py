"""Odd input to the terminology operations: answered or refused, with an outcome, never a fault."""

from typing import Any

import httpx
import pytest

from fhir_server.config import Settings, TerminologySettings

FHIR = {"content-type": "application/fhir+json", "accept": "application/fhir+json"}
BASE = "http://example.org/hostile"

Json = dict[str, Any]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"terminology": TerminologySettings(seconds=0.5)})


def parameters(*given: Any) -> Json:
    return {"resourceType": "Parameters", "parameter": list(given)}


def value_set(name: str, *imports: str, **more: Any) -> Json:
    include = [{"valueSet": [f"{BASE}/{one}"]} for one in imports]
    compose = {"include": include or [{"system": f"{BASE}/letters"}]}
    return {
        "resourceType": "ValueSet",
        "url": f"{BASE}/{name}",
        "status": "active",
        "compose": compose,
        **more,
    }


def letters(**more: Any) -> Json:
    return {
        "resourceType": "CodeSystem",
        "url": f"{BASE}/letters",
        "status": "active",
        "content": "complete",
        "concept": [{"code": "a" * n} for n in range(1, 40)],
        **more,
    }


def filtered(op: str, value: str, of: str = "code") -> Json:
    include = {"system": f"{BASE}/letters", "filter": [{"property": of, "op": op, "value": value}]}
    return value_set("filtered", compose={"include": [include]})


def sent(*resources: Json, url: str = "", **values: Any) -> Json:
    given: list[Json] = [{"name": "tx-resource", "resource": one} for one in resources]
    if url:
        given.append({"name": "url", "valueUri": f"{BASE}/{url}"})
    return parameters(*given, *({"name": name, "valueString": v} for name, v in values.items()))


def chain(length: int) -> list[Json]:
    return [letters(), value_set(f"v{length}"), *_links(length)]


def _links(length: int) -> list[Json]:
    return [value_set(f"v{n}", f"v{n + 1}") for n in range(length)]


def doubled(length: int) -> list[Json]:
    links = [value_set(f"v{n}", f"v{n + 1}", f"v{n + 1}") for n in range(length)]
    return [letters(), value_set(f"v{length}"), *links]


def fan(width: int, codes: int) -> list[Json]:
    """A value set of many includes, each of many codes."""
    concepts = [{"code": str(n), "display": f"number {n}"} for n in range(codes)]
    includes = [
        {
            "system": f"{BASE}/many",
            "filter": [{"property": "code", "op": "regex", "value": f".*{n}"}],
        }
        for n in range(width)
    ]
    many = letters(url=f"{BASE}/many", concept=concepts)
    return [many, value_set("fan", compose={"include": includes})]


ring = [
    letters(
        hierarchyMeaning="is-a",
        property=[{"code": "parent", "type": "code"}],
        concept=[
            {"code": "a", "property": [{"code": "parent", "valueCode": "b"}]},
            {"code": "b", "property": [{"code": "parent", "valueCode": "a"}]},
        ],
    )
]
loop = {
    "resourceType": "ConceptMap",
    "url": f"{BASE}/loop",
    "status": "active",
    "group": [
        {
            "source": f"{BASE}/letters",
            "target": f"{BASE}/letters",
            "element": [{"code": "b", "target": [{"code": "a", "equivalence": "equal"}]}],
            "unmapped": {"mode": "other-map", "url": f"{BASE}/loop"},
        }
    ],
}
expand, validate = "/ValueSet/$expand", "/ValueSet/$validate-code"
a = {"system": f"{BASE}/letters", "code": "a"}

POSTED: dict[str, tuple[str, Any, set[int]]] = {
    "no parameters": (expand, parameters(), {400}),
    "a patient": (expand, {"resourceType": "Patient"}, {400}),
    "a bundle": (validate, {"resourceType": "Bundle", "type": "batch"}, {400}),
    "no resource": (expand, {"a": 1}, {400}),
    "an array": (expand, [1], {400}),
    "a text": (expand, "x", {400}),
    "null": (expand, None, {400}),
    "parameter is no list": (expand, {"resourceType": "Parameters", "parameter": {}}, {400}),
    "parameter is null": (expand, parameters(None), {400}),
    "no name": (expand, parameters({"valueString": "x"}), {400}),
    "name is a number": (expand, parameters({"name": 1, "valueString": "x"}), {400}),
    "name is an object": (expand, parameters({"name": {}, "valueString": "x"}), {400}),
    "context is an object": (expand, parameters({"name": "context", "valueUri": {}}), {400}),
    "context is a list": (expand, parameters({"name": "context", "valueUri": []}), {400}),
    "url is an object": (expand, parameters({"name": "url", "valueUri": {"a": 1}}), {400}),
    "url is a list": (expand, parameters({"name": "url", "valueUri": ["a"]}), {400}),
    "count is a text": (expand, sent(letters(), value_set("v"), url="v", count="ten"), {400}),
    "count is negative": (expand, sent(letters(), value_set("v"), url="v", count="-1"), {400}),
    "count is no ASCII": (expand, sent(letters(), value_set("v"), url="v", count="²"), {400}),
    "count is huge": (expand, sent(letters(), value_set("v"), url="v", count="9" * 60), {400}),
    "count is endless": (expand, sent(letters(), value_set("v"), url="v", count="9" * 6000), {400}),
    "offset is negative": (expand, sent(letters(), value_set("v"), url="v", offset="-5"), {400}),
    "offset is far": (expand, sent(letters(), value_set("v"), url="v", offset="2147483647"), {200}),
    "offset is a fraction": (expand, sent(value_set("v"), url="v", offset="1.5"), {400}),
    "flag is a number": (expand, sent(value_set("v"), url="v", activeOnly="7"), {400}),
    "a value set that includes itself": (expand, sent(value_set("v", "v"), url="v"), {422}),
    "a circle": (expand, sent(value_set("v", "w"), value_set("w", "v"), url="v"), {422}),
    "a circle to validate in": (
        validate,
        sent(value_set("v", "w"), value_set("w", "v"), letters(), url="v", **a),
        {422},
    ),
    "imports 30 deep": (expand, sent(*chain(30), url="v0"), {200}),
    "imports 100 deep": (expand, sent(*chain(100), url="v0"), {422}),
    "imports 100 deep to validate in": (validate, sent(*chain(100), url="v0", **a), {422}),
    "imports that double": (expand, sent(*doubled(30), url="v0"), {422}),
    "imports that double to validate in": (validate, sent(*doubled(30), url="v0", **a), {200, 422}),
    "a pattern that backtracks": (
        expand,
        sent(letters(), filtered("regex", "(a+)+$|(a|a)*b"), url="filtered"),
        {200},
    ),
    "a pattern that is large": (
        expand,
        sent(letters(), filtered("regex", "((a{1,100}){1,100}){1,100}"), url="filtered"),
        {422},
    ),
    "no pattern": (expand, sent(letters(), filtered("regex", "(("), url="filtered"), {422}),
    "a filter of no operation": (
        expand,
        sent(letters(), filtered("?", "a"), url="filtered"),
        {422},
    ),
    "a constraint on a system without": (
        expand,
        sent(letters(), filtered("=", "<< 1 OR " * 9999 + "<< 1", of="constraint"), url="filtered"),
        {422},
    ),
    "a circle of concepts": (
        expand,
        sent(*ring, filtered("is-a", "a", of="concept"), url="filtered"),
        {200},
    ),
    "a circle of maps": (
        "/ConceptMap/$translate",
        sent(loop, url="loop", system=f"{BASE}/letters", code="a"),
        {200},
    ),
    "a resource of another kind": (expand, sent({"resourceType": "Patient"}, url="v"), {400}),
    "a resource without a type": (expand, sent({"a": 1}, url="v"), {400}),
    "a system without a url": (expand, sent({"resourceType": "CodeSystem"}, url="v"), {400, 404}),
    "concepts of another shape": (
        expand,
        sent(letters(concept={"code": "a"}), value_set("v"), url="v"),
        {400},
    ),
    "a coding that is a text": (
        validate,
        parameters({"name": "coding", "valueCoding": "a"}, {"name": "url", "valueUri": "x"}),
        {400, 404},
    ),
    "subsumption in a circle": (
        "/CodeSystem/$subsumes",
        sent(*ring, system=f"{BASE}/letters", codeA="a", codeB="b"),
        {200},
    ),
    "a match of nothing": ("/CodeSystem/$find-matches", sent(system="x", exact="true"), {400}),
    "validations of another kind": (
        "/ValueSet/$batch-validate-code",
        parameters({"name": "validation", "resource": {"resourceType": "Patient"}}),
        {200},
    ),
    "batches in batches": (
        "/ValueSet/$batch-validate-code",
        parameters({"name": "validation", "resource": parameters({"name": "validation"})}),
        {200},
    ),
    "closure without a name": ("/$closure", parameters(), {400}),
    "closure of a number": ("/$closure", parameters({"name": "name", "valueInteger": 1}), {400}),
    "closure of nobody": ("/$closure", sent(name="nobody", version="1"), {404}),
    "closure of a version": ("/$closure", sent(name="nobody", version="x"), {400}),
    "closure of a far version": ("/$closure", sent(name="nobody", version="9" * 40), {400}),
    "closure of no coding": (
        "/$closure",
        parameters({"name": "name", "valueString": "n"}, {"name": "concept", "valueString": "x"}),
        {400},
    ),
    "cache without a mode": ("/$cache-control", parameters(), {400}),
    "cache of a patient": (
        "/$cache-control?mode=start",
        sent({"resourceType": "Patient"}),
        {400},
    ),
    "end of no cache": ("/$cache-control?mode=end", parameters(), {400}),
    "end of an unknown cache": ("/$cache-control?mode=end&cache-id=x", parameters(), {404}),
}


async def test_what_is_posted_is_answered_or_refused(client: httpx.AsyncClient) -> None:
    wrong = {}
    for name, (place, body, statuses) in POSTED.items():
        answer = await client.post(place, json=body, headers=FHIR)
        if answer.status_code not in statuses or not told(answer):
            wrong[name] = (answer.status_code, answer.text[:300])
    assert wrong == {}


def told(answer: httpx.Response) -> bool:
    """Whether a refusal says what is wrong."""
    if answer.status_code < 400:
        return True
    outcome = answer.json()
    severities = {one["severity"] for one in outcome["issue"]}
    return outcome["resourceType"] == "OperationOutcome" and severities == {"error"}


async def test_what_takes_too_long_is_too_costly(client: httpx.AsyncClient) -> None:
    asked = sent(*fan(3000, 2000), url="fan")
    answer = await client.post(expand, json=asked, headers=FHIR)
    assert answer.status_code == 422
    (issue,) = answer.json()["issue"]
    assert (issue["code"], issue["details"]["text"]) == (
        "too-costly",
        "the operation took longer than 0.5 s",
    )


ASKED: dict[str, tuple[str, dict[str, str], int]] = {
    "a null character": (f"{expand}?url=%00", {}, 400),
    "a null character in a code": ("/CodeSystem/$lookup?system=http://x&code=a%00b", {}, 400),
    "a count": (f"{expand}?url=x&count=x", {}, 400),
    "a count of many digits": (f"{expand}?url=x&count={'9' * 5000}", {}, 400),
    "a flag": (f"{expand}?url=x&activeOnly=yes", {}, 400),
    "a coding": (f"{validate}?url=x&coding=x", {}, 400),
    "a resource": (f"{expand}?valueSet=x", {}, 400),
    "a number for a version": (f"{expand}?url=x&valueSetVersion=1", {}, 404),
    "an unknown parameter": (f"{expand}?url=x&uuid=1", {}, 404),
    "bars": (f"{expand}?url=|||", {}, 404),
    "a language": (f"{expand}?url=x&displayLanguage=;;;", {}, 404),
    "a cache": (f"{expand}?url=x", {"x-cache-id": "'; --"}, 404),
    "a cache that is gone": (
        f"{expand}?url=x",
        {"x-cache-id": "00000000-0000-0000-0000-000000000000"},
        404,
    ),
    "a header of languages": (f"{expand}?url=x", {"accept-language": "q=x;;," * 500}, 404),
    "a threshold": (f"{expand}?url=x", {"x-too-costly-threshold": "²"}, 404),
    "no such instance": ("/ValueSet/none/$expand", {}, 404),
    "no instances": ("/CodeSystem/none/$lookup?code=a", {}, 404),
    "a closure by GET": ("/$closure?name=x", {}, 405),
    "another type": ("/Patient/$expand?url=x", {}, 404),
}


async def test_what_is_asked_by_url_is_answered_or_refused(client: httpx.AsyncClient) -> None:
    wrong = {}
    for name, (url, headers, status) in ASKED.items():
        encoded = {name: value.encode("latin-1") for name, value in headers.items()}
        answer = await client.get(url, headers={**FHIR, **encoded})
        if answer.status_code != status or not told(answer):
            wrong[name] = (answer.status_code, answer.text[:300])
    assert wrong == {}
