"""The OpenAPI document of the REST API, derived from what the server is made of.

https://spec.openapis.org/oas/v3.1.1.html
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from fhir_server.api import examples
from fhir_server.api.described import (
    CALLED,
    DESCRIBED,
    HEADERS,
    PARAMETERS,
    PATHS,
    REFUSALS,
    Described,
)
from fhir_server.api.formats import FHIR_JSON, FHIR_XML, FORM
from fhir_server.api.schemas import older, schemas
from fhir_server.bases import DEFAULT
from fhir_server.interactions.binary import BINARY
from fhir_server.interactions.capabilities import documentation
from fhir_server.interactions.draft import NEVER_STORED
from fhir_server.interactions.patching import JSON_PATCH as JSON_PATCH_TYPE
from fhir_server.operations.operation import Operation
from fhir_server.operations.table import OPERATIONS
from fhir_server.search.offer import Offer, offers, shared_offers
from fhir_server.server import Server

Node = dict[str, Any]

COMMON = (
    "Patient",
    "Practitioner",
    "Organization",
    "Location",
    "Encounter",
    "Observation",
    "DiagnosticReport",
    "ServiceRequest",
    "Specimen",
    "Condition",
    "AllergyIntolerance",
    "Procedure",
    "Immunization",
    "MedicationRequest",
    "MedicationStatement",
    "ImagingStudy",
    "DocumentReference",
    "Composition",
    "Appointment",
    "Coverage",
    "Claim",
    "Consent",
)
"""The types that most readers look for; they come first."""

SYSTEM_TAG = "Whole system"
SERVER_TAG = "Health and metrics"


def stored_types(server: Server) -> tuple[str, ...]:
    """Return the types that have URLs, the common ones first."""
    known = [t for t in server.definitions.resource_types if t not in NEVER_STORED]
    return (*COMMON, *(one for one in known if one not in COMMON))


def document(
    server: Server, routes: Iterable[tuple[str, str]], types: Sequence[str], root: str
) -> Node:
    """Return the document of these routes (shape of URL, method) for these types.

    `root` is where the FHIR base lies below the public address. A route that
    `described.py` does not know is left out; a test finds it.
    """
    known = [route for route in routes if route in DESCRIBED]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sangam FHIR R4 API",
            "version": version("sangam"),
            "description": _DESCRIPTION,
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "externalDocs": {"url": "https://hl7.org/fhir/R4/http.html", "description": "FHIR R4"},
        "servers": [{"url": _address(server, root)}],
        "tags": [{"name": SYSTEM_TAG}, {"name": SERVER_TAG}, *map(_tag, types)],
        "paths": {**_paths(server, known, types, root), **dict(_calls(types, root)), **_HEALTH},
        "components": _components(server, types),
    }


def _address(server: Server, root: str) -> str:
    """Return what stands before the paths; all of a tenant's lie below `/t/[tenant]` too."""
    if server.tenant != DEFAULT:
        return urlsplit(server.root).path
    return urlsplit(server.base).path.removesuffix(root) or "/"


def as_3_0(found: Node) -> Node:
    """Return the same document for readers of OpenAPI 3.0."""
    components = found["components"]
    schemas = {name: older(schema) for name, schema in components["schemas"].items()}
    return {**found, "openapi": "3.0.3", "components": {**components, "schemas": schemas}}


_DESCRIPTION = """\
Every resource type of FHIR R4 behaves alike: create, read, update, patch, delete, history and \
search. Type in the field below to find a resource type.

- **Formats**: `application/fhir+json` and `application/fhir+xml`, by `Accept` or `_format`.
- **Refusals** are an `OperationOutcome`; its `issue.expression` names the parameter or element.
- **Search**: a repeated parameter means *and*, a comma means *or*. Modifiers \
(`name:exact=Rao`), chains (`subject:Patient.name=Rao`) and `_has` go into *further* below \
each search. What is unknown is refused by name, unless `Prefer: handling=lenient`.
- **Conditional** update, patch and delete take the same parameters as a search, in *criteria*.
- **HEAD** works wherever GET does; each answer has an `X-Request-Id`, the client's if it sent one.
- What holds of this server in particular is in its `CapabilityStatement` at `/fhir/metadata`.
"""


def _tag(type_name: str) -> Node:
    url = f"https://hl7.org/fhir/R4/{type_name.lower()}.html"
    return {"name": type_name, "externalDocs": {"url": url, "description": "Definition"}}


# Path parameters of the document's own paths.
_KEPT = {"id": "{id}", "vid": "{vid}", "member": "{type}", "request": "{request}"}
_NO_PARAMETERS: Node = {"resourceType": "Parameters"}


def _paths(
    server: Server, routes: Sequence[tuple[str, str]], types: Sequence[str], root: str
) -> Node:
    paths: Node = {}
    for route in routes:
        shape, method = route
        for subject in _subjects(server, shape, types):
            path = root + PATHS[shape].format(type=subject, **_KEPT)
            item = paths.setdefault(path, _item(server, shape, subject))
            item[method.lower()] = _operation(server, DESCRIBED[route], subject, route)
    return paths


def _calls(types: Sequence[str], root: str) -> Iterator[tuple[str, Node]]:
    """Yield the paths of the operations, each with the methods by which it is called."""
    for one in OPERATIONS:
        places = [
            *([("", "")] if one.system else []),
            *((name, f"/{name}") for name in types if name in one.types),
            *((name, f"/{name}/{{id}}") for name in types if name in one.instances),
        ]
        for subject, place in places:
            item: Node = {"parameters": [_parameter("id")]} if "{id}" in place else {}
            for method in sorted(one.methods):
                item[method.lower()] = _call(one, subject, place, method)
            yield f"{root}{place}/${one.name}", item


def _call(one: Operation, subject: str, place: str, method: str) -> Node:
    level = "instance" if "{id}" in place else "type" if subject else "system"
    found: Node = {
        "operationId": "-".join(filter(None, (method.lower(), one.name, level, subject))),
        "tags": [subject or SYSTEM_TAG],
        "summary": f"${one.name}",
        "description": one.definition,
        "responses": {
            "200": _ref("responses", "Called"),
            "202": _ref("responses", "Called"),
            **{status: _ref("responses", f"Refused-{status}") for status in CALLED},
        },
    }
    if method == "GET":
        found["parameters"] = [_parameter("further"), _parameter("_format"), _parameter("_pretty")]
    if method == "POST":
        content = {"schema": _ref("schemas", "Parameters"), "example": _NO_PARAMETERS}
        found["requestBody"] = {"content": {FHIR_JSON: content, FHIR_XML: {"schema": _XML}}}
    return found


def _subjects(server: Server, shape: str, types: Sequence[str]) -> Sequence[str]:
    """Return the types that a path stands for; one without a name for a path of the system."""
    if "{type}" not in PATHS[shape]:
        return [""]
    if "{member}" in PATHS[shape]:
        return [one for one in types if one in server.definitions.compartments]
    return types


def _item(server: Server, shape: str, subject: str) -> Node:
    names = [name for name in ("id", "vid", "request") if f"{{{name}}}" in PATHS[shape]]
    parameters = [_parameter(name) for name in names]
    if "{member}" in PATHS[shape]:
        members = {subject, *server.definitions.compartments[subject]}
        schema = {"type": "string", "enum": ["*", *sorted(members)]}
        parameters.append({"name": "type", "in": "path", "required": True, "schema": schema})
    return {"parameters": parameters} if parameters else {}


def _operation(server: Server, one: Described, subject: str, route: tuple[str, str]) -> Node:
    shape, method = route
    operation: Node = {
        "operationId": "-".join(part for part in (method.lower(), shape, subject) if part),
        "tags": [subject or SYSTEM_TAG],
        "summary": one.summary,
    }
    if one.description:
        operation["description"] = one.description
    own = _searched(server, shape, subject) if one.searches else []
    if parameters := [*own, *map(_parameter, one.parameters)]:
        operation["parameters"] = parameters
    if one.body:
        operation["requestBody"] = _body(server, one.body, subject)
    success = {status: _response(name, subject) for status, name in one.success.items()}
    refused = {status: _ref("responses", f"Refused-{status}") for status in one.refused}
    operation["responses"] = success | refused
    return _of_content(operation) if subject == BINARY else operation


def _of_content(operation: Node) -> Node:
    """Return an operation on Binaries, which may also come and go as what they hold."""
    body = operation.get("requestBody", {}).get("content", {})
    if "example" in body.get(FHIR_JSON, {}):
        body["*/*"] = {"schema": _CONTENT}
        operation["description"] = _RAW_BODY
    if operation["responses"].get("200") == _ref("responses", f"{BINARY}-Read"):
        operation["responses"]["206"] = _ref("responses", "Content")
        operation["responses"]["416"] = _ref("responses", "Refused-416")
        operation["description"] = _RAW_ANSWER
    return operation


_CONTENT: Node = {"type": "string", "format": "binary"}
_RAW_BODY = "A body of any other media type is the content of the Binary."
_RAW_ANSWER = "The content itself, or a `Range` of it, unless `Accept` prefers a FHIR type."


def _parameter(name: str) -> Node:
    return _ref("parameters", name)


def _searched(server: Server, shape: str, subject: str) -> list[Node]:
    """Return the search parameters of a type, those of all types by reference."""
    if shape != "type":
        return [_parameter(f"search{one.code}") for one in _shared(server)]
    shared = {one.code for one in _shared(server)}
    return [
        _parameter(f"search{one.code}") if one.code in shared else _search(one)
        for one in sorted(offers(server.registry, subject), key=lambda one: one.code in shared)
    ]


def _shared(server: Server) -> tuple[Offer, ...]:
    types = [t for t in server.definitions.resource_types if t not in NEVER_STORED]
    return shared_offers(server.registry, types)


def _search(offer: Offer) -> Node:
    return {
        "name": offer.code,
        "in": "query",
        "description": f"*{offer.type}* {documentation(offer)}",
        "schema": {"type": "string"},
    }


def _body(server: Server, kind: str, subject: str) -> Node:
    """Return what is sent: a resource of the type, a patch, a bundle or a form."""
    if kind == "form":
        return {"content": {FORM: {"schema": _ref("schemas", "Form")}}}
    if kind == "patch":
        return _ref("requestBodies", "Patch")
    if kind == "bundle":
        return _ref("requestBodies", "Bundle")
    shown = {
        "schema": _ref("schemas", subject),
        "example": examples.example(server.definitions, subject),
    }
    return {"required": True, "content": {FHIR_JSON: shown, FHIR_XML: {"schema": _XML}}}


def _response(name: str, subject: str) -> Node:
    """Return a response; those that hold a resource exist once for each type."""
    return _ref("responses", f"{subject}-{name}" if name in _OF_TYPE and subject else name)


def _ref(kind: str, name: str) -> Node:
    return {"$ref": f"#/components/{kind}/{name}"}


_XML: Node = {"type": "string", "description": "The same in FHIR XML."}
_OF_TYPE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "Read": ("The resource.", ("ETag", "Last-Modified")),
    "Stored": (
        "What is stored now, an OperationOutcome, or no body, as `Prefer` asks.",
        ("ETag", "Last-Modified", "Location", "Preference-Applied"),
    ),
}
_PLAIN: Mapping[str, tuple[str, tuple[str, ...], Node | None]] = {
    "Page": ("A page of matches; its link `next` leads on.", (), examples.SEARCHSET),
    "History": ("Versions, newest first; the link `next` leads on.", (), examples.HISTORY),
    "Done": ("The answers, in the order of the entries.", (), examples.ANSWERS),
    "Told": ("Done, as an OperationOutcome tells.", ("ETag",), examples.OUTCOME),
    "Accepted": (
        "Accepted; the answer is fetched later.",
        ("Content-Location",),
        examples.OUTCOME,
    ),
    "Waiting": ("Not done yet.", (), None),
    "Called": ("What the operation answers.", (), examples.OUTCOME),
    "Gone": ("Nothing is there any more.", ("ETag",), None),
    "Unchanged": ("The client has this already.", ("ETag",), None),
    "Statement": ("What this server can do.", ("ETag",), examples.STATEMENT),
}


def _components(server: Server, types: Sequence[str]) -> Node:
    own = ("Bundle", "CapabilityStatement", "OperationOutcome", "Parameters")
    return {
        "schemas": {
            **schemas([*types, *own]),
            "Form": {"type": "object", "additionalProperties": {"type": "string"}},
        },
        "parameters": {
            **PARAMETERS,
            **{f"search{one.code}": _search(one) for one in _shared(server)},
        },
        "headers": HEADERS,
        "requestBodies": {"Patch": _patch(), "Bundle": _bundle()},
        "responses": dict(_responses(server, types)),
    }


def _responses(server: Server, types: Sequence[str]) -> Iterator[tuple[str, Node]]:
    yield "Content", {"description": "The range.", "content": {"*/*": {"schema": _CONTENT}}}
    for name, (text, headers, shown) in _PLAIN.items():
        schema = _named(shown) if shown else None
        if name == "Called":
            schema = _ref("schemas", "Resource")
        yield name, _answer(text, headers, schema, shown)
    for status, text in REFUSALS.items():
        outcome = examples.OUTCOME
        yield f"Refused-{status}", _answer(text, (), _named(outcome), outcome)
    for name, (text, headers) in _OF_TYPE.items():
        for type_name in types:
            shown = examples.stored(server.definitions, type_name)
            answer = _answer(text, headers, _stored(name, type_name), shown)
            if (type_name, name) == (BINARY, "Read"):
                answer["content"]["*/*"] = {"schema": _CONTENT}
            yield f"{type_name}-{name}", answer


def _named(resource: Node) -> Node:
    return _ref("schemas", resource["resourceType"])


def _stored(name: str, type_name: str) -> Node:
    own = _ref("schemas", type_name)
    return own if name == "Read" else {"anyOf": [own, _ref("schemas", "OperationOutcome")]}


def _answer(text: str, headers: Iterable[str], schema: Node | None, shown: Node | None) -> Node:
    """Return a response; with an example, as pages make endless ones of schemas that recur."""
    answer: Node = {"description": text}
    if names := tuple(headers):
        answer["headers"] = {name: _ref("headers", name) for name in names}
    if schema is not None:
        answer["content"] = {
            FHIR_JSON: {"schema": schema, "example": shown},
            FHIR_XML: {"schema": _XML},
        }
    return answer


def _patch() -> Node:
    operation = {"type": "object", "required": ["op", "path"], "properties": _PATCH_MEMBERS}
    parameters = _ref("schemas", "Parameters")
    return {
        "required": True,
        "description": "JSON Patch (RFC 6902), or FHIRPath Patch as Parameters.",
        "content": {
            JSON_PATCH_TYPE: {
                "schema": {"type": "array", "items": operation},
                "example": examples.JSON_PATCH,
            },
            FHIR_JSON: {"schema": parameters, "example": examples.FHIRPATH_PATCH},
            FHIR_XML: {"schema": _XML},
        },
    }


_PATCH_MEMBERS: Node = {
    "op": {"enum": ["add", "remove", "replace", "move", "copy", "test"]},
    "path": {"type": "string"},
    "from": {"type": "string"},
    "value": {},
}


def _bundle() -> Node:
    shown = {"schema": _ref("schemas", "Bundle"), "example": examples.TRANSACTION}
    return {"required": True, "content": {FHIR_JSON: shown, FHIR_XML: {"schema": _XML}}}


def _watch(name: str, summary: str, media_type: str, statuses: Mapping[str, str]) -> Node:
    """Return an operation for machines that watch the server."""
    content = {media_type: {"schema": {"type": "object"} if "json" in media_type else _TEXT}}
    responses = {s: {"description": text, "content": content} for s, text in statuses.items()}
    words = {"operationId": name, "tags": [SERVER_TAG], "summary": summary}
    return {"get": {**words, "responses": responses}}


_TEXT: Node = {"type": "string"}
_HEALTH: Node = {
    "/health/live": _watch(
        "live", "Whether the process answers", "application/json", {"200": "It does."}
    ),
    "/health/ready": _watch(
        "ready",
        "Whether the database answers",
        "application/json",
        {"200": "It does.", "503": "It does not."},
    ),
    "/metrics": _watch("metrics", "Figures for Prometheus", "text/plain", {"200": "The figures."}),
}
