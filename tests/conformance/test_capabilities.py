"""The CapabilityStatement is walked: what it claims works, and what works is claimed."""

import heapq
import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.api import examples, rest
from fhir_server.config import Limits, SearchSettings, Settings, WriteSettings
from fhir_server.errors import SangamError
from fhir_server.interactions import capabilities
from fhir_server.interactions.draft import NEVER_STORED
from fhir_server.operations.table import OPERATIONS
from fhir_server.r4.definitions import load
from fhir_server.r4.xml import from_xml
from fhir_server.search.offer import Offer, offers
from fhir_server.search.parse import parse
from fhir_server.search.query import Rules
from fhir_server.search.reference import parent
from fhir_server.search.registry import Registry
from fhir_server.search.searchtype import SEARCH_TYPES
from fhir_server.server import InForce, Server
from fhir_server.validation.structure import Validator
from tests.conformance.calls import CALLS, PERSONAL

FHIR = {"content-type": "application/fhir+json", "accept": "application/fhir+json"}
JSON_PATCH = {**FHIR, "content-type": "application/json-patch+json"}
PATCH = json.dumps([{"op": "add", "path": "/language", "value": "en"}])
DEFINITIONS = load()
RULES = Rules(SearchSettings(), Limits())
STORED_TYPES = [t for t in DEFINITIONS.resource_types if t not in NEVER_STORED]
CANDIDATES = 3
INCLUDES = 15

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """The examples refer to resources that are not among them."""
    write = WriteSettings(referential_integrity=False)
    return Settings(demo=True, data_dir=tmp_path / "data", write=write)


@pytest.fixture
async def statement(client: httpx.AsyncClient) -> dict[str, Any]:
    return (await client.get("/metadata")).json()


def resources(statement: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["type"]: one for one in statement["rest"][0]["resource"]}


def codes(interactions: Iterable[Mapping[str, str]]) -> list[str]:
    return [one["code"] for one in interactions]


# What the statement is.


async def test_it_is_valid_and_keeps_the_rules_of_its_elements(
    statement: dict[str, Any],
) -> None:
    raw = json.dumps(statement).encode()
    assert Validator(DEFINITIONS).validate("CapabilityStatement", raw, statement) == []
    (rest_,) = statement["rest"]
    assert re.fullmatch(r"[A-Z]([A-Za-z0-9_]){0,254}", statement["name"])  # cpb-0
    assert {"software", "implementation"} <= set(statement)  # cpb-1, cpb-2, cpb-14
    assert statement["kind"] == "instance"
    assert not {"messaging", "document"} & set(statement)  # cpb-3, cpb-7
    assert [one["type"] for one in rest_["resource"]] == STORED_TYPES  # cpb-9
    for one in [*rest_["resource"], rest_]:  # cpb-12
        names = [parameter["name"] for parameter in one["searchParam"]]
        assert len(names) == len(set(names))


async def test_it_is_the_same_in_xml(client: httpx.AsyncClient, statement: dict[str, Any]) -> None:
    response = await client.get("/metadata", headers={"accept": "application/fhir+xml"})
    assert from_xml(DEFINITIONS, response.content, Limits()) == statement


async def test_a_client_that_has_it_is_told_so(client: httpx.AsyncClient) -> None:
    first = await client.get("/metadata")
    again = await client.get("/metadata", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    changed = await client.get("/metadata", headers={"if-none-match": 'W/"other"'})
    assert changed.status_code == 200


@pytest.mark.parametrize(("accepts", "coding"), [("gzip", "gzip"), ("identity", None)])
async def test_it_is_packed_for_who_unpacks(
    client: httpx.AsyncClient, accepts: str, coding: str | None
) -> None:
    response = await client.get("/metadata", headers={"accept-encoding": accepts})
    assert response.headers.get("content-encoding") == coding
    assert response.json()["resourceType"] == "CapabilityStatement"


async def test_options_of_the_base_is_the_same(
    client: httpx.AsyncClient, statement: dict[str, Any]
) -> None:
    assert (await client.options("")).json() == statement


async def test_modes(client: httpx.AsyncClient, statement: dict[str, Any]) -> None:
    assert (await client.get("/metadata?mode=full")).json() == statement
    normative = resources((await client.get("/metadata?mode=normative")).json())
    expected = {"type", "profile", "interaction", "operation", "searchParam"}
    assert set(normative["Patient"]) == expected


@pytest.mark.parametrize(
    ("query", "code"),
    [("mode=x", "value"), ("mode=terminology&m=x", "invalid"), ("m=full", "invalid")],
)
async def test_a_mode_that_is_not_there_is_refused(
    client: httpx.AsyncClient, query: str, code: str
) -> None:
    response = await client.get(f"/metadata?{query}")
    assert (response.status_code, response.json()["issue"][0]["code"]) == (400, code)


async def test_settings_are_told(server: Server, statement: dict[str, Any]) -> None:
    assert resources(statement)["Patient"]["updateCreate"] is True
    assert "enforced" not in resources(statement)["Patient"]["referencePolicy"]
    assert resources(statement)["Patient"]["conditionalDelete"] == "single"
    write = WriteSettings(update_create=False, conditional_delete="multiple")
    other = replace(server, settings=server.settings.model_copy(update={"write": write}))
    told = resources(json.loads(capabilities.capabilities(other, rest.ROUTED).body))["Patient"]
    assert told["updateCreate"] is False
    assert told["conditionalDelete"] == "multiple"
    assert "enforced" in told["referencePolicy"]


async def test_another_registry_is_told_at_once(server: Server) -> None:
    before = capabilities.capabilities(server, rest.ROUTED)
    rows = {
        **server.registry.by_type,
        "Patient": {"_id": server.registry.parameters("Patient")["_id"]},
    }
    other = replace(server, in_force=InForce(replace(server.registry, by_type=rows)))
    after = capabilities.capabilities(other, rest.ROUTED)
    told = resources(json.loads(after.body))["Patient"]["searchParam"]
    assert [one["name"] for one in told if not one["name"].startswith("_")] == []
    assert after.etag != before.etag
    assert capabilities.capabilities(server, rest.ROUTED) is before


# What it claims works.


def minimal(shared: Path) -> dict[str, bytes]:
    """A small valid example of each type."""
    smallest: dict[str, list[tuple[int, str, bytes]]] = {}
    with tarfile.open(shared / "data/r4/hl7.fhir.r4.examples-4.0.1.tgz") as package:
        for member in package:
            type_name = member.name.removeprefix("package/").partition("-")[0]
            found = smallest.setdefault(type_name, [])
            if len(found) < CANDIDATES or member.size < found[0][0] * -1:
                file = package.extractfile(member)
                if file is not None:
                    heapq.heappush(found, (-member.size, member.name, file.read()))
                    del found[: max(0, len(found) - CANDIDATES)]
    validator = Validator(DEFINITIONS)
    return {t: _valid(validator, t, smallest.get(t, [])) for t in STORED_TYPES}


def _valid(validator: Validator, type_name: str, candidates: list[tuple[int, str, bytes]]) -> bytes:
    for _, _, raw in sorted(candidates, reverse=True):
        data = json.loads(raw)
        if data.get("resourceType") == type_name and not validator.validate(type_name, raw, data):
            return raw
    return json.dumps(examples.example(DEFINITIONS, type_name)).encode()


async def walked(client: httpx.AsyncClient, type_name: str, raw: bytes) -> dict[str, int]:
    """The status of each interaction on a resource of the type, in an order that makes sense."""
    created = await client.post(f"/{type_name}", content=raw, headers=FHIR)
    if created.status_code != 201:
        return {"create": created.status_code}
    sent = created.json()
    place = f"/{type_name}/{sent['id']}"
    changed = json.dumps({**sent, "implicitRules": "urn:example:rules"})
    answers = {
        "read": await client.get(place, headers=FHIR),
        "vread": await client.get(f"{place}/_history/1", headers=FHIR),
        "update": await client.put(place, content=changed, headers=FHIR),
        "patch": await client.patch(place, content=PATCH, headers=JSON_PATCH),
        "history-instance": await client.get(f"{place}/_history"),
        "history-type": await client.get(f"/{type_name}/_history"),
        "search-type": await client.get(f"/{type_name}", params={"_id": sent["id"]}),
        "delete": await client.delete(place),
    }
    return {"create": 201} | {code: answer.status_code for code, answer in answers.items()}


# An AuditEvent stays as it was written (https://hl7.org/fhir/R4/security.html#audit).
WRITTEN_ONCE = frozenset({"AuditEvent"})

WORKED = {
    "read": 200,
    "vread": 200,
    "update": 200,
    "patch": 200,
    "delete": 204,
    "history-instance": 200,
    "history-type": 200,
    "create": 201,
    "search-type": 200,
}


async def test_each_interaction_claimed_works_and_each_that_works_is_claimed(
    client: httpx.AsyncClient, statement: dict[str, Any], shared: Path
) -> None:
    claimed = resources(statement)
    wrong = {}
    for type_name, raw in minimal(shared).items():
        named = codes(claimed[type_name]["interaction"])
        expected = {code: WORKED[code] if code in named else 405 for code in WORKED}
        found = await walked(client, type_name, raw)
        if found != expected:
            wrong[type_name] = found
    assert wrong == {}


async def test_each_condition_claimed_works(
    client: httpx.AsyncClient, statement: dict[str, Any]
) -> None:
    for type_name, claimed in resources(statement).items():
        raw = json.dumps(examples.example(DEFINITIONS, type_name)).encode()
        sent = (await client.post(f"/{type_name}", content=raw, headers=FHIR)).json()
        where = f"/{type_name}?_id={sent['id']}"
        exist = {**FHIR, "if-none-exist": f"_id={sent['id']}"}
        etag = {**FHIR, "if-none-match": 'W/"1"'}
        again = await client.post(f"/{type_name}", content=raw, headers=exist)
        read = await client.get(f"/{type_name}/{sent['id']}", headers=etag)
        updated = await client.put(where, content=json.dumps(sent), headers=FHIR)
        patched = await client.patch(where, content=PATCH, headers=JSON_PATCH)
        deleted = await client.delete(where)
        statuses = [one.status_code for one in (again, read, updated, patched, deleted)]
        changes = [405] * 3 if type_name in WRITTEN_ONCE else [200, 200, 204]
        assert statuses == [200, 304, *changes], type_name
        assert claimed["conditionalCreate"] is True
        assert claimed["conditionalRead"] == "full-support"
        assert claimed["conditionalUpdate"] is (type_name not in WRITTEN_ONCE)
        deletes = "not-supported" if type_name in WRITTEN_ONCE else "single"
        assert claimed["conditionalDelete"] == deletes


async def test_each_interaction_of_the_system_claimed_works(
    client: httpx.AsyncClient, statement: dict[str, Any]
) -> None:
    answers = {
        kind: await client.post(
            "", json={"resourceType": "Bundle", "type": kind, "entry": []}, headers=FHIR
        )
        for kind in ("transaction", "batch")
    }
    answers["search-system"] = await client.get("", params={"_type": "Patient,Observation"})
    answers["history-system"] = await client.get("/_history")
    worked = [code for code, answer in answers.items() if answer.status_code == 200]
    assert codes(statement["rest"][0]["interaction"]) == worked


async def test_every_route_is_claimed(statement: dict[str, Any]) -> None:
    routed = {code for route in rest.ROUTES.values() for code in route.codes}
    claimed = {*codes(statement["rest"][0]["interaction"]), "capabilities"}
    for one in resources(statement).values():
        changes = {"update", "patch", "delete"} if one["type"] in WRITTEN_ONCE else set()
        assert claimed.union(codes(one["interaction"])) == routed - changes


async def test_each_operation_claimed_is_called_and_each_offered_is_claimed(
    client: httpx.AsyncClient, statement: dict[str, Any]
) -> None:
    (whole,) = statement["rest"]
    claimed = {f"/${one['name']}" for one in whole["operation"]}
    for name, place in resources(statement).items():
        claimed |= {f"/{name}/${one['name']}" for one in place.get("operation", ())}
    offered = {f"/${one.name}" for one in OPERATIONS if one.system}
    for one in OPERATIONS:
        offered |= {f"/{name}/${one.name}" for name in one.types | one.instances}
    assert claimed == offered
    answers = {
        url.partition("?")[0]: await _called(client, url, parameters) for url, parameters in CALLS
    }
    statuses = {place: answer.status_code for place, answer in answers.items()}
    # A SearchParameter is walked again by its id, and a report is of one patient.
    of_one = {"/Patient/$access-report", "/SearchParameter/$reindex"}
    assert statuses == dict.fromkeys(claimed - of_one - set(PERSONAL), 200)
    for url, missing in PERSONAL.values():
        issue = (await _called(client, url, {"resourceType": "Parameters"})).json()["issue"][0]
        assert (issue["code"], issue["expression"]) == ("required", [missing])
    unclaimed = await client.get("/Patient/$subset?resource=Patient")
    assert unclaimed.status_code == 404


async def _called(
    client: httpx.AsyncClient, url: str, parameters: dict[str, Any] | None
) -> httpx.Response:
    if parameters is None:
        return await client.get(url)
    return await client.post(url, json=parameters, headers=FHIR)


async def test_each_definition_of_an_operation_is_the_one_of_its_type(
    statement: dict[str, Any],
) -> None:
    start = "http://hl7.org/fhir/OperationDefinition/"
    for name in ("CodeSystem", "ValueSet", "ConceptMap"):
        claimed = resources(statement)[name]["operation"]
        own = [one for one in claimed if one["name"] != "validate"]
        official = [one for one in own if one["definition"].startswith(start)]
        assert official
        for one in official:
            assert one["definition"] == f"{start}{name}-{one['name']}"


async def test_subset_keeps_the_types_that_are_named(
    client: httpx.AsyncClient, statement: dict[str, Any]
) -> None:
    query = [("resource", "Patient"), ("resource", "Group"), ("server", str(client.base_url))]
    answer = await client.get("/CapabilityStatement/$subset", params=query)
    whole = resources(statement)
    assert resources(answer.json()) == {name: whole[name] for name in ("Group", "Patient")}
    posted = {
        "resourceType": "Parameters",
        "parameter": [{"name": "resource", "valueCode": "Group"}],
    }
    answer = await client.post("/CapabilityStatement/$subset", json=posted, headers=FHIR)
    assert resources(answer.json()) == {"Group": whole["Group"]}


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("", (400, "required")),
        ("resource=Nothing", (400, "value")),
        ("resource=Group&server=http://example.org", (404, "not-supported")),
        ("resource=Group&x=y", (400, "invalid")),
    ],
)
async def test_a_subset_that_cannot_be_made_is_refused(
    client: httpx.AsyncClient, query: str, refusal: tuple[int, str]
) -> None:
    answer = await client.get(f"/CapabilityStatement/$subset?{query}")
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == refusal


async def test_versions_names_that_of_this_server(client: httpx.AsyncClient) -> None:
    told = (await client.get("/$versions")).json()["parameter"]
    assert [(one["name"], one["valueCode"]) for one in told] == [
        ("version", "4.0"),
        ("default", "4.0"),
    ]


@pytest.mark.parametrize("type_name", [*sorted(NEVER_STORED), "Nothing"])
async def test_a_type_that_is_not_claimed_has_no_interaction(
    client: httpx.AsyncClient, type_name: str
) -> None:
    body = json.dumps({"resourceType": type_name, "id": "a"})
    place = f"/{type_name}/a"
    answers = [
        await client.get(place),
        await client.get(f"{place}/_history/1"),
        await client.put(place, content=body, headers=FHIR),
        await client.patch(place, content=PATCH, headers=JSON_PATCH),
        await client.delete(place),
        await client.get(f"{place}/_history"),
        await client.get(f"/{type_name}/_history"),
        await client.post(f"/{type_name}", content=body, headers=FHIR),
        await client.get(f"/{type_name}"),
    ]
    refused = [(one.status_code, one.json()["issue"][0]["code"]) for one in answers]
    status = 404 if type_name == "Nothing" else 405
    assert refused == [(status, "not-supported")] * 9


PLACES = {
    "system": "",
    "metadata": "/metadata",
    "system-search": "/_search",
    "system-history": "/_history",
    "type": "/Patient",
    "type-search": "/Patient/_search",
    "type-history": "/Patient/_history",
    "instance": "/Patient/a",
    "instance-history": "/Patient/a/_history",
    "version": "/Patient/a/_history/1",
    "compartment": "/Patient/a/Observation",
    "compartment-search": "/Patient/a/Observation/_search",
}


async def test_a_method_without_a_route_is_refused(client: httpx.AsyncClient) -> None:
    for shape, place in PLACES.items():
        routed = {method for known, method in rest.ROUTES if known == shape}
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - routed:
            answer = await client.request(method, place)
            assert (answer.status_code, shape, method) == (405, shape, method)
            assert routed <= set(answer.headers["allow"].split(", "))


# What may be searched.


async def stored(client: httpx.AsyncClient, type_name: str, more: Mapping[str, Any]) -> str:
    """The id of a resource of the type, which a search finds."""
    body = json.dumps({**examples.example(DEFINITIONS, type_name), **more})
    if "id" in more:
        answer = await client.put(f"/{type_name}/{more['id']}", content=body, headers=FHIR)
    else:
        answer = await client.post(f"/{type_name}", content=body, headers=FHIR)
    return str(answer.json()["id"])


VALUES = {
    "date": "2020",
    "number": "1",
    "quantity": "1",
    "string": "a",
    "token": "a",
    "uri": "http://example.org/a",
}
SPECIAL = {"near": "1|1|1|km", "_filter": "_id eq a", "_text": "a", "_content": "a", "_list": "a"}


def value(offer: Offer) -> str:
    """A value that may be searched."""
    if offer.component:
        return "$".join(
            "Patient/a" if kind == "reference" else VALUES[kind] for kind in offer.component
        )
    if offer.type == "reference":
        return f"{offer.target[0]}/a" if offer.target else "http://example.org/a"
    return SPECIAL.get(offer.code) or VALUES[offer.type]


async def test_each_parameter_claimed_is_searched(
    client: httpx.AsyncClient, server: Server, statement: dict[str, Any]
) -> None:
    await stored(client, "List", {"id": "a"})
    wrong = {}
    for type_name, one in resources(statement).items():
        known = {offer.code: offer for offer in offers(server.registry, type_name)}
        for parameter in one["searchParam"]:
            query = {parameter["name"]: value(known[parameter["name"]])}
            answer = await client.get(f"/{type_name}", params=query)
            if answer.status_code != 200:
                wrong[type_name, parameter["name"]] = answer.text
    assert wrong == {}
    known = {offer.code: offer for offer in offers(server.registry, "Patient")}
    shared_names = [one["name"] for one in statement["rest"][0]["searchParam"]]
    searched = {name: value(known[name]) for name in shared_names}
    statuses = {n: (await client.get("", params={n: v})).status_code for n, v in searched.items()}
    assert statuses == dict.fromkeys(shared_names, 200)


async def test_each_include_claimed_is_followed(
    client: httpx.AsyncClient, statement: dict[str, Any]
) -> None:
    wrong = {}
    for type_name, one in resources(statement).items():
        id_ = await stored(client, type_name, {})
        values = [("_include", v) for v in one.get("searchInclude", ())]
        values += [("_revinclude", v) for v in one["searchRevInclude"]]
        for some in _some(values, INCLUDES):
            answer = await client.get(f"/{type_name}", params=[("_id", id_), *some])
            if answer.status_code != 200:
                wrong[type_name, *some] = answer.text
    assert wrong == {}


def _some(values: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(values), size):
        yield values[start : start + size]


async def test_a_parameter_that_is_not_claimed_is_refused(
    client: httpx.AsyncClient, statement: dict[str, Any]
) -> None:
    claimed = resources(statement)
    wrong = []
    for definition in DEFINITIONS.search_parameters:
        bases = set(definition.base)
        everywhere = bases & {"Resource", "DomainResource"}
        for type_name in ["Patient", "Binary"] if everywhere else bases & set(claimed):
            if definition.code in {one["name"] for one in claimed[type_name]["searchParam"]}:
                continue
            answer = await client.get(f"/{type_name}", params={definition.code: "a"})
            if answer.status_code != 400:
                wrong.append((type_name, definition.code))
    assert wrong == []


async def test_what_the_parser_takes_is_claimed_and_nothing_else(server: Server) -> None:
    registry = server.registry
    every = {one.code for one in DEFINITIONS.search_parameters} | {"_list"}
    wrong = []
    for type_name in STORED_TYPES:
        claimed = {offer.code: offer for offer in offers(registry, type_name)}
        for code in every:
            offer = claimed.get(code)
            sample = value(offer) if offer else SPECIAL.get(code, "a")
            if taken(registry, type_name, code, sample) != (offer is not None):
                wrong.append((type_name, code))
    assert wrong == []


MODIFIERS = {
    "missing": "true",
    "identifier": "urn:example:s|v",
    "of-type": "urn:example:s|c|v",
}


async def test_the_modifiers_that_are_told_are_taken_and_no_others(server: Server) -> None:
    registry = server.registry
    every = {m for kind in SEARCH_TYPES.values() for m in kind.MODIFIERS} | {"missing", "not", "x"}
    wrong = []
    for type_name in STORED_TYPES:
        for offer in offers(registry, type_name):
            told = re.search(r"Modifiers: ([^.]*)\.", capabilities.documentation(offer))
            named = set(told[1].split(", ")) if told else set()
            for modifier in every:
                name = f"{offer.code}:{modifier}"
                found = (
                    taken(registry, type_name, name, v) for v in values(registry, offer, modifier)
                )
                if any(found) != (modifier in named):
                    wrong.append((type_name, name))
    assert wrong == []


def values(registry: Registry, offer: Offer, modifier: str) -> list[str]:
    """Values of which the modifier takes one, if it is a modifier of the parameter."""
    if modifier in MODIFIERS:
        return [MODIFIERS[modifier]]
    # Above and below are for codes, targets that lie in one another, canonicals and media types.
    lying = [f"{name}/a" for name in offer.target if parent(registry.parameters(name))]
    return [value(offer), "http://example.org/a", "text/xml", "urn:example:s|v", *lying[:1]]


def taken(registry: Registry, type_name: str, name: str, sample: str) -> bool:
    try:
        parse(registry, type_name, [(name, sample)], RULES)
    except SangamError:
        return False
    return True
