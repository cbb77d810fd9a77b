"""The OpenAPI document is valid and complete, and the server answers as it says."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
from flows.running import Running
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fhir_server.api import examples, rest
from fhir_server.api.described import DESCRIBED, PATHS
from fhir_server.operations.table import OPERATIONS
from fhir_server.r4.definitions import load
from fhir_server.validation.structure import Validator

ROOT = "http://testserver"
DEFINITIONS = load()
FUZZED = frozenset(("Whole system", "Health and metrics", "Patient", "Observation", "Binary"))
EXAMPLES = 8
SEED = 4_0_1
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    return (await client.get(f"{ROOT}/openapi.json")).json()


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(ref := value.get("$ref"), str):
            yield ref
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


# What the document is.


@pytest.mark.parametrize("version", ["3.1", "3.0"])
async def test_every_reference_leads_to_a_component_and_every_component_is_used(
    client: httpx.AsyncClient, version: str
) -> None:
    found = (await client.get(f"{ROOT}/openapi.json?version={version}")).json()
    components = {
        f"#/components/{kind}/{name}" for kind, some in found["components"].items() for name in some
    }
    used = set(references(found))
    assert used <= components
    # Types have schemas by which alone they are found.
    unused = {one for one in components - used if "/schemas/" not in one}
    assert unused == set()


async def test_its_schemas_are_json_schemas_and_take_its_examples(
    document: dict[str, Any],
) -> None:
    types = [t for t in DEFINITIONS.resource_types if t in document["components"]["schemas"]]
    members = {t: {"$ref": f"#/components/schemas/{t}"} for t in types}
    whole = {"properties": members, "components": document["components"]}
    validator = jsonschema_rs.Draft202012Validator(whole)
    found = {t: examples.example(DEFINITIONS, t) for t in types}
    assert [error.message for error in validator.iter_errors(found)] == []
    assert not validator.is_valid({"Patient": {"resourceType": "Patient", "nam": []}})


def test_its_examples_are_valid() -> None:
    validator = Validator(DEFINITIONS)
    named = {t: examples.example(DEFINITIONS, t) for t in DEFINITIONS.resource_types}
    whole = [examples.TRANSACTION, examples.SEARCHSET, examples.HISTORY, examples.ANSWERS]
    whole += [examples.OUTCOME, examples.STATEMENT, examples.FHIRPATH_PATCH, *named.values()]
    whole += [examples.stored(DEFINITIONS, t) for t in named]
    issues = {
        one["resourceType"]: validator.validate(one["resourceType"], b"", one) for one in whole
    }
    assert {name: found for name, found in issues.items() if found} == {}


async def test_every_operation_has_a_name_of_its_own_and_a_tag_that_is_listed(
    document: dict[str, Any],
) -> None:
    found = [
        one
        for item in document["paths"].values()
        for method, one in item.items()
        if method != "parameters"
    ]
    names = [one["operationId"] for one in found]
    assert len(names) == len(set(names))
    assert {tag for one in found for tag in one["tags"]} == {
        one["name"] for one in document["tags"]
    }


async def test_every_route_is_described_for_every_type(document: dict[str, Any]) -> None:
    types = [one["name"] for one in document["tags"]][2:]
    expected = set()
    for shape, method in rest.ROUTES:
        if shape == "operation":
            continue
        assert (shape, method) in DESCRIBED
        inside = "{member}" in PATHS[shape]
        for name in [t for t in types if not inside or t in DEFINITIONS.compartments]:
            kept = {"id": "{id}", "vid": "{vid}", "member": "{type}", "request": "{request}"}
            expected.add((f"/fhir{PATHS[shape].format(type=name, **kept)}", method.lower()))
    found = {
        (path, method)
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters" and path.startswith("/fhir") and "$" not in path
    }
    assert found == expected
    called = {re.split(r"\$", path)[1] for path in document["paths"] if "$" in path}
    assert called == {one.name for one in OPERATIONS}


async def test_it_lists_the_search_parameters_that_the_statement_claims(
    client: httpx.AsyncClient, document: dict[str, Any]
) -> None:
    statement = (await client.get("/metadata")).json()
    shared = document["components"]["parameters"]
    for one in statement["rest"][0]["resource"]:
        listed = document["paths"][f"/fhir/{one['type']}"]["get"]["parameters"]
        names = {
            shared[ref["$ref"].rpartition("/")[2]]["name"] if "$ref" in ref else ref["name"]
            for ref in listed
        }
        assert {parameter["name"] for parameter in one["searchParam"]} <= names


async def test_the_older_dialect_has_nothing_that_only_the_newer_knows(
    client: httpx.AsyncClient,
) -> None:
    older = await client.get(f"{ROOT}/openapi.json?version=3.0")
    assert older.json()["openapi"] == "3.0.3"
    assert not re.search(r'"(const|patternProperties|jsonSchemaDialect)":', older.text)
    assert (await client.get(f"{ROOT}/openapi.json?version=2")).status_code == 400


async def test_a_client_that_has_the_document_is_told_so(client: httpx.AsyncClient) -> None:
    first = await client.get(f"{ROOT}/openapi.json")
    headers = {"if-none-match": first.headers["etag"]}
    again = await client.get(f"{ROOT}/openapi.json", headers=headers)
    assert (again.status_code, again.content) == (304, b"")


async def test_the_page_takes_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = await client.get(f"{ROOT}/", follow_redirects=True)
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert sorted(links) == [
        "docs/favicon-32x32.png",
        "docs/swagger-ui-bundle.js",
        "docs/swagger-ui.css",
    ]
    for link in links:
        asset = await client.get(f"{ROOT}/{link}")
        assert asset.status_code == 200
        headers = {"if-none-match": asset.headers["etag"]}
        assert (await client.get(f"{ROOT}/{link}", headers=headers)).status_code == 304
    assert re.findall(r"url: '([^']+)'", page.text) == ["openapi.json?version=3.0"]
    assert (await client.get(f"{ROOT}/docs/other.js")).status_code == 404


# What the server answers.


@pytest.mark.timeout(300)
@pytest.mark.xdist_group("server")
def test_generated_requests_are_answered_as_the_document_says(running: Running) -> None:
    root = running.said["base"].removesuffix("/fhir")
    document = httpx.get(f"{root}/openapi.json").json()
    document["paths"] = {
        path: item for path, item in document["paths"].items() if FUZZED & _tags(item)
    }
    schema = schemathesis.openapi.from_dict(document)
    failed: dict[str, list[str]] = {}
    statuses: set[int] = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in GenerationMode:
            try:
                fuzz(operation, mode, root, statuses)
            except Unsatisfiable:
                continue  # there is nothing to be wrong
            except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  (told at the end)
                failed[f"{operation.label} {mode.value}"] = told(error)
    assert failed == {}, json.dumps(failed, indent=1)
    assert {200, 201, 400, 404} <= statuses


def _tags(item: dict[str, Any]) -> set[str]:
    return {tag for method, one in item.items() if method != "parameters" for tag in one["tags"]}


def told(error: BaseException) -> list[str]:
    """What a failure says, or each of a group."""
    if isinstance(error, BaseExceptionGroup):
        return [str(one)[:800] for one in error.exceptions]
    return [f"{type(error).__name__}: {str(error)[:1500]}"]


def fuzz(operation: APIOperation, mode: GenerationMode, root: str, statuses: set[int]) -> None:
    """Send generated requests of the operation and check each answer."""

    @seed(SEED)
    @hypothesis(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def answered(case: schemathesis.Case) -> None:
        response = case.call(base_url=root)
        statuses.add(response.status_code)
        # OpenAPI has no words for a body that `Prefer: return=minimal` leaves out.
        empty = response.status_code in (200, 201) and not response.content
        case.validate_response(response, checks=CHECKS[:2] if empty else CHECKS)

    answered()
