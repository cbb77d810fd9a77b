"""The terminology operations over HTTP: where they are, what they take, what they answer."""

import json
import tarfile
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.config import Limits, Settings, TerminologySettings
from fhir_server.operations.terminology.sent import COMPLEX, KINDS
from fhir_server.r4.definitions import load
from fhir_server.r4.xml import from_xml, to_xml
from fhir_server.server import Server

Json = dict[str, Any]

FHIR = {"content-type": "application/fhir+json"}
PETS = {
    "resourceType": "CodeSystem",
    "url": "http://example.org/pets",
    "version": "1.0.0",
    "name": "Pets",
    "status": "active",
    "content": "complete",
    "language": "en",
    "hierarchyMeaning": "is-a",
    "valueSet": "http://example.org/all-pets",
    "concept": [
        {
            "code": "dog",
            "display": "Dog",
            "designation": [{"language": "de", "value": "Hund"}],
            "concept": [{"code": "beagle", "display": "Beagle"}],
        },
        {"code": "cat", "display": "Cat"},
    ],
}
HOUSE = {
    "resourceType": "ValueSet",
    "url": "http://example.org/house",
    "status": "active",
    "compose": {"include": [{"system": PETS["url"], "concept": [{"code": "cat"}]}]},
}
SOUNDS = {
    "resourceType": "ConceptMap",
    "url": "http://example.org/sounds",
    "status": "active",
    "group": [
        {
            "source": PETS["url"],
            "target": "http://example.org/noises",
            "element": [{"code": "cat", "target": [{"code": "meow", "equivalence": "equal"}]}],
        }
    ],
}
EXPANDED = "/ValueSet/$expand?url=http://example.org/all-pets"


def parameters(*given: Json) -> Json:
    return {"resourceType": "Parameters", "parameter": list(given)}


def sent(**values: str) -> Json:
    return parameters(*({"name": name, "valueString": value} for name, value in values.items()))


def values(answer: httpx.Response) -> dict[str, Any]:
    """The values of a Parameters by name."""
    assert answer.status_code == 200, answer.text
    return {
        one["name"]: next((value for key, value in one.items() if key != "name"), None)
        for one in answer.json()["parameter"]
    }


def codes(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [one["code"] for one in answer.json()["expansion"].get("contains", [])]


@pytest.fixture
async def stored(client: httpx.AsyncClient) -> dict[str, str]:
    """The ids of the resources by type."""
    ids = {}
    for one in (PETS, HOUSE, SOUNDS):
        answer = await client.post(f"/{one['resourceType']}", json=one, headers=FHIR)
        assert answer.status_code == 201, answer.text
        ids[str(one["resourceType"])] = answer.json()["id"]
    return ids


SYSTEM = "system=http://example.org/pets"


async def test_each_is_called_by_get_on_its_type(
    client: httpx.AsyncClient, stored: dict[str, str]
) -> None:
    assert stored
    looked_up = values(await client.get(f"/CodeSystem/$lookup?{SYSTEM}&code=dog"))
    assert (looked_up["name"], looked_up["display"]) == ("Pets", "Dog")
    query = "url=http://example.org/pets&code=dog&display=Dig"
    validated = values(await client.get(f"/CodeSystem/$validate-code?{query}"))
    assert validated["result"] is False
    subsumed = await client.get(f"/CodeSystem/$subsumes?{SYSTEM}&codeA=dog&codeB=beagle")
    assert values(subsumed) == {"outcome": "subsumes"}
    assert codes(await client.get(f"{EXPANDED}&excludeNested=true")) == ["dog", "beagle", "cat"]
    query = f"url=http://example.org/house&{SYSTEM}&code=cat"
    assert values(await client.get(f"/ValueSet/$validate-code?{query}"))["result"] is True
    query = f"url=http://example.org/sounds&{SYSTEM}&code=cat"
    assert values(await client.get(f"/ConceptMap/$translate?{query}"))["result"] is True


async def test_each_is_called_on_a_stored_resource(
    client: httpx.AsyncClient, stored: dict[str, str]
) -> None:
    system, value_set, concept_map = (
        f"/{name}/{stored[name]}" for name in ("CodeSystem", "ValueSet", "ConceptMap")
    )
    assert values(await client.get(f"{system}/$validate-code?code=dog"))["display"] == "Dog"
    subsumed = await client.get(f"{system}/$subsumes?codeA=beagle&codeB=dog")
    assert values(subsumed) == {"outcome": "subsumed-by"}
    coded = {"name": "property", "part": [part("code", "code"), part("value", "dog")]}
    asked = parameters(coded, {"name": "exact", "valueBoolean": True})
    found = await client.post(f"{system}/$find-matches", json=asked, headers=FHIR)
    assert "match" in values(found)
    assert codes(await client.get(f"{value_set}/$expand")) == ["cat"]
    asked = sent(system=str(PETS["url"]), code="dog")
    validated = await client.post(f"{value_set}/$validate-code", json=asked, headers=FHIR)
    assert values(validated)["result"] is False
    translated = await client.get(f"{concept_map}/$translate?{SYSTEM}&code=cat")
    assert values(translated)["result"] is True


def part(name: str, value: str) -> Json:
    return {"name": name, "valueCode": value}


async def test_what_is_deleted_has_no_operations(
    client: httpx.AsyncClient, stored: dict[str, str]
) -> None:
    place = f"/ValueSet/{stored['ValueSet']}"
    await client.delete(place)
    assert (await client.get(f"{place}/$expand")).status_code == 410
    answer = await client.get("/ValueSet/$expand?url=http://example.org/house")
    assert answer.status_code == 404


async def test_parameters_of_a_url_have_the_types_of_their_definitions(
    client: httpx.AsyncClient, stored: dict[str, str]
) -> None:
    assert stored
    answer = await client.get(f"{EXPANDED}&count=1&offset=1&activeOnly=true&filter=c&unknown=1")
    told = answer.json()["expansion"]["parameter"]
    assert told[:4] == [
        {"name": "count", "valueInteger": 1},
        {"name": "offset", "valueInteger": 1},
        {"name": "activeOnly", "valueBoolean": True},
        {"name": "filter", "valueString": "c"},
    ]


def test_the_types_are_those_of_the_definitions(shared: Path) -> None:
    named = ("CodeSystem", "ValueSet", "ConceptMap")
    with tarfile.open(shared / "data/r4/hl7.fhir.r4.core-4.0.1.tgz") as package:
        found = [
            json.load(file)
            for name in package.getnames()
            if name.startswith(tuple(f"package/OperationDefinition-{one}-" for one in named))
            and (file := package.extractfile(name))
        ]
    assert len(found) == 8
    for definition in found:
        for one in definition["parameter"]:
            if one["use"] == "out":
                continue
            kind = one.get("type", "")
            expected = kind[:1].upper() + kind[1:] if kind[:1].islower() else None
            given = KINDS.get(one["name"])
            if expected is None:  # a property is a code to look up, and parts to match
                assert one["name"] in COMPLEX | {"property"}
            else:
                assert given == expected, (definition["code"], one["name"])


async def test_a_value_set_alone_is_what_is_expanded(client: httpx.AsyncClient) -> None:
    male = {"system": "http://hl7.org/fhir/administrative-gender", "concept": [{"code": "male"}]}
    alone = {**HOUSE, "compose": {"include": [male]}}
    answer = await client.post("/ValueSet/$expand?count=10", json=alone, headers=FHIR)
    assert codes(answer) == ["male"]


async def test_in_and_out_in_xml(client: httpx.AsyncClient, stored: dict[str, str]) -> None:
    assert stored
    definitions = load()
    asked = to_xml(definitions, sent(system=str(PETS["url"]), code="dog"))
    headers = {"content-type": "application/fhir+xml", "accept": "application/fhir+xml"}
    answer = await client.post("/CodeSystem/$lookup", content=asked, headers=headers)
    assert answer.headers["content-type"].startswith("application/fhir+xml")
    told = from_xml(definitions, answer.content, Limits())
    as_json = await client.post(
        "/CodeSystem/$lookup", json=sent(system=str(PETS["url"]), code="dog"), headers=FHIR
    )
    assert told == as_json.json()
    refused = await client.get("/ValueSet/$expand?url=x", headers={"accept": headers["accept"]})
    assert from_xml(definitions, refused.content, Limits())["resourceType"] == "OperationOutcome"


async def test_resources_sent_along_count_for_one_call(client: httpx.AsyncClient) -> None:
    along = {"name": "tx-resource", "resource": PETS}
    url = {"name": "url", "valueUri": PETS["valueSet"]}
    asked = parameters(along, url, {"name": "excludeNested", "valueBoolean": True})
    answer = await client.post("/ValueSet/$expand", json=asked, headers=FHIR)
    assert codes(answer) == ["dog", "beagle", "cat"]
    assert (await client.get(EXPANDED)).status_code == 404


async def test_accept_language_chooses_the_display(
    client: httpx.AsyncClient, stored: dict[str, str]
) -> None:
    assert stored
    url = f"/CodeSystem/$lookup?{SYSTEM}&code=dog"
    assert values(await client.get(url, headers={"accept-language": "de"}))["display"] == "Hund"
    assert values(await client.get(f"{url}&displayLanguage=de"))["display"] == "Hund"
    both = await client.get(f"{url}&displayLanguage=en", headers={"accept-language": "de"})
    assert values(both)["display"] == "Dog"


async def test_more_codes_than_the_limit_need_a_page(
    client: httpx.AsyncClient, stored: dict[str, str]
) -> None:
    assert stored
    threshold = {"x-too-costly-threshold": "2"}
    assert len(codes(await client.get(f"{EXPANDED}&excludeNested=true", headers=threshold))) == 3


class TestWithTheHeaderOfTheSuite:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        terminology = TerminologySettings(cost_header=True, expansion_codes=3)
        return settings.model_copy(update={"terminology": terminology})

    async def test_the_header_is_the_limit(
        self, client: httpx.AsyncClient, stored: dict[str, str]
    ) -> None:
        assert stored
        headers = {"x-too-costly-threshold": "2"}
        assert (await client.get(EXPANDED)).status_code == 200
        refused = await client.get(EXPANDED, headers=headers)
        assert (refused.status_code, refused.json()["issue"][0]["code"]) == (422, "too-costly")
        assert codes(await client.get(f"{EXPANDED}&count=2", headers=headers)) == ["dog", "beagle"]


def bundle(kind: str, *entries: Json) -> Json:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def entry(method: str, url: str, resource: Json | None = None) -> Json:
    asked: Json = {"request": {"method": method, "url": url}}
    return {**asked, "resource": resource} if resource else asked


async def test_entries_of_a_batch_call_operations(
    client: httpx.AsyncClient, stored: dict[str, str]
) -> None:
    asked = sent(system=str(PETS["url"]), code="cat", url="http://example.org/house")
    answer = await client.post(
        "",
        json=bundle(
            "batch",
            entry("POST", "ValueSet/$validate-code", asked),
            entry("GET", f"ValueSet/{stored['ValueSet']}/$expand?count=0"),
            entry("GET", "ValueSet/$expand?url=http://example.org/none"),
            entry("GET", "metadata?mode=terminology"),
            entry("GET", "$versions"),
            entry("POST", "$closure", sent(name="x")),
            entry("GET", "Patient/$expand"),
        ),
        headers=FHIR,
    )
    entries = answer.json()["entry"]
    shown = [one.get("resource", {}).get("resourceType") for one in entries]
    statuses = [one["response"]["status"][:3] for one in entries]
    assert list(zip(statuses, shown, strict=True)) == [
        ("200", "Parameters"),
        ("200", "ValueSet"),
        ("404", None),
        ("200", "TerminologyCapabilities"),
        ("200", "Parameters"),
        ("400", None),
        ("404", None),
    ]
    assert entries[0]["resource"]["parameter"][0] == {"name": "result", "valueBoolean": True}
    assert entries[2]["response"]["outcome"]["issue"][0]["code"] == "not-found"


async def test_a_transaction_calls_no_operation(client: httpx.AsyncClient) -> None:
    for one in (entry("GET", "ValueSet/$expand?url=x"), entry("POST", "$closure", sent(name="x"))):
        answer = await client.post("", json=bundle("transaction", one), headers=FHIR)
        assert answer.status_code in {400, 404}


async def test_a_batch_of_validations_answers_each(
    client: httpx.AsyncClient, stored: dict[str, str]
) -> None:
    assert stored
    given = [sent(code="cat"), sent(code="dog"), sent(), {"resourceType": "Patient"}]
    shared = [part("url", "http://example.org/house"), part("system", str(PETS["url"]))]
    asked = parameters(*shared, *({"name": "validation", "resource": one} for one in given))
    answer = await client.post("/ValueSet/$batch-validate-code", json=asked, headers=FHIR)
    told = [one["resource"] for one in answer.json()["parameter"]]
    assert [one["resourceType"] for one in told] == ["Parameters"] * 2 + ["OperationOutcome"] * 2
    assert [one["parameter"][0]["valueBoolean"] for one in told[:2]] == [True, False]


async def test_what_the_server_knows_is_told(
    client: httpx.AsyncClient, server: Server, stored: dict[str, str]
) -> None:
    assert stored
    answer = await client.get("/metadata?mode=terminology")
    told = answer.json()
    assert server.validator.validate(told["resourceType"], answer.content, told) == []
    known = {one["uri"]: one.get("version") for one in told["codeSystem"]}
    assert known[PETS["url"]] == [{"code": "1.0.0"}]
    assert known["http://hl7.org/fhir/administrative-gender"] == [{"code": "4.0.1"}]
    again = {"if-none-match": answer.headers["etag"]}
    assert (await client.get("/metadata?mode=terminology", headers=again)).status_code == 304


CONTEXTS = {
    "of R4": ("http://hl7.org/fhir/StructureDefinition/Patient%23Patient.gender", 200),
    "without the type": ("http://hl7.org/fhir/StructureDefinition/Patient%23gender", 200),
    "stored": ("http://example.org/owner%23Patient.gender", 200),
    "without a binding": ("http://hl7.org/fhir/StructureDefinition/Patient%23birthDate", 404),
    "unknown": ("http://example.org/none%23Patient.gender", 404),
    "without a path": ("http://hl7.org/fhir/StructureDefinition/Patient", 400),
}


async def test_a_context_is_the_value_set_that_is_bound_there(client: httpx.AsyncClient) -> None:
    bound = {
        "strength": "required",
        "valueSet": "http://hl7.org/fhir/ValueSet/administrative-gender",
    }
    owner = {
        "resourceType": "StructureDefinition",
        "url": "http://example.org/owner",
        "name": "Owner",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "derivation": "constraint",
        "differential": {
            "element": [{"id": "Patient.gender", "path": "Patient.gender", "binding": bound}]
        },
    }
    assert (await client.post("/StructureDefinition", json=owner, headers=FHIR)).status_code == 201
    for name, (context, status) in CONTEXTS.items():
        answer = await client.get(f"/ValueSet/$expand?context={context}")
        assert answer.status_code == status, name
        if status == 200:
            assert codes(answer) == ["male", "female", "other", "unknown"], name
