"""Interactions: rows for every row of the specification's table of them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from fhir_server.config import Settings

FHIR = {"content-type": "application/fhir+json"}
PATCH = {"content-type": "application/json-patch+json"}
FORM = {"content-type": "application/x-www-form-urlencoded"}
ONE = "identifier=urn:k|1"
NONE = "identifier=urn:k|none"
SAME = "identifier=urn:k|same"


def patient(id_: str | None = None, key: str | None = None, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        **({"id": id_} if id_ else {}),
        **({"identifier": [{"system": "urn:k", "value": key}]} if key else {}),
        **more,
    }


def observation() -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": "o",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/p"},
    }


# p has two versions and one key, `gone` is deleted, `revived` was, two have the same key.
BEFORE: tuple[tuple[str, str, Any], ...] = (
    ("PUT", "Patient/p", patient("p", "1")),
    ("PUT", "Patient/p", patient("p", "1", active=True)),
    ("PUT", "Patient/gone", patient("gone")),
    ("DELETE", "Patient/gone", None),
    ("PUT", "Patient/s1", patient("s1", "same")),
    ("PUT", "Patient/s2", patient("s2", "same")),
    ("PUT", "Observation/o", observation()),
)


@dataclass(frozen=True)
class Row:
    """A request on what `BEFORE` leaves, and what it gives.

    `tag` is the version in ETag (None: not looked at), `shows` what the body holds by
    path (None: no body), `after` the versions that Patients then have.
    """

    line: str
    status: int
    tag: str | None = None
    shows: dict[str, Any] | None = field(default_factory=dict)
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    after: dict[str, int] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)


MINIMAL = {"prefer": "return=minimal"}
OUTCOME = {"prefer": "return=OperationOutcome"}
IS_OUTCOME = {"resourceType": "OperationOutcome", "issue.0.severity": "information"}
OFF = {"write": {"update_create": False}}
MULTIPLE = {"write": {"conditional_delete": "multiple"}}
LOCKED = {"write": {"require_if_match": ["Patient"]}}
REPLACE = [{"op": "replace", "path": "/active", "value": False}]
FHIRPATH = {
    "resourceType": "Parameters",
    "parameter": [
        {
            "name": "operation",
            "part": [
                {"name": "type", "valueCode": "replace"},
                {"name": "path", "valueString": "Patient.active"},
                {"name": "value", "valueBoolean": False},
            ],
        }
    ],
}


def entry(method: str, url: str, resource: Any = None) -> dict[str, Any]:
    made: dict[str, Any] = {"request": {"method": method, "url": url}}
    return made if resource is None else {**made, "resource": resource}


def bundle(kind: str, *entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


FUTURE = "Fri, 31 Dec 2100 00:00:00 GMT"
PAST = "Sat, 01 Jan 2000 00:00:00 GMT"

TABLE: dict[str, list[Row]] = {
    "read": [
        Row("GET Patient/p", 200, "2", {"id": "p", "meta.versionId": "2", "active": True}),
        Row(
            "GET Patient/p?_summary=text",
            200,
            "2",
            {"active": None, "meta.tag.0.code": "SUBSETTED"},
        ),
        Row("GET Patient/p?_elements=active", 200, "2", {"active": True, "identifier": None}),
        Row("GET Patient/p", 304, "2", None, headers={"if-none-match": 'W/"2"'}),
        Row("GET Patient/p", 304, "2", None, headers={"if-none-match": 'W/"1", "2"'}),
        Row("GET Patient/p", 200, "2", {"id": "p"}, headers={"if-none-match": 'W/"1"'}),
        Row("GET Patient/p", 304, "2", None, headers={"if-modified-since": FUTURE}),
        Row("GET Patient/p", 200, "2", {"id": "p"}, headers={"if-modified-since": PAST}),
        Row("GET Patient/p", 200, "2", {"id": "p"}, headers={"if-modified-since": "tomorrow"}),
        Row(
            "GET Patient/p",
            200,
            "2",
            {"id": "p"},
            headers={"if-none-match": 'W/"1"', "if-modified-since": FUTURE},
        ),
        Row("HEAD Patient/p", 200, "2", None),
    ],
    "vread": [
        Row("GET Patient/p/_history/1", 200, "1", {"meta.versionId": "1", "active": None}),
        Row("HEAD Patient/p/_history/1", 200, "1", None),
        Row("GET Patient/gone/_history/2", 410, "2"),
        Row("GET Patient/gone/_history/1", 200, "1", {"id": "gone"}),
        Row("GET Patient/p/_history/3", 404),
    ],
    "create": [
        Row(
            "POST Patient",
            201,
            "1",
            {"active": True},
            body=patient("p", active=True),
            after={"p": 2},
        ),
        Row("POST Patient", 201, "1", None, body=patient(), headers=MINIMAL),
        Row("POST Patient", 201, "1", IS_OUTCOME, body=patient(), headers=OUTCOME),
    ],
    "conditional create": [
        Row(
            "POST Patient",
            201,
            "1",
            {"active": False},
            patient(active=False),
            {"if-none-exist": NONE},
        ),
        Row(
            "POST Patient",
            200,
            "2",
            {"id": "p", "active": True},
            patient(),
            {"if-none-exist": ONE},
            {"p": 2},
        ),
        Row("POST Patient", 200, "2", None, patient(), {"if-none-exist": ONE, **MINIMAL}),
        Row("POST Patient", 412, body=patient(), headers={"if-none-exist": SAME}),
    ],
    "update": [
        Row(
            "PUT Patient/p", 200, "3", {"active": False}, patient("p", active=False), after={"p": 3}
        ),
        Row(
            "PUT Patient/p",
            200,
            "2",
            {"meta.versionId": "2"},
            patient("p", "1", active=True),
            after={"p": 2},
        ),
        Row("PUT Patient/p", 200, "2", None, patient("p", "1", active=True), MINIMAL, {"p": 2}),
        Row(
            "PUT Patient/p",
            200,
            "3",
            {"meta.versionId": "3"},
            patient("p", "1", active=True),
            after={"p": 3},
            settings={"write": {"no_op": False}},
        ),
        Row("PUT Patient/p", 200, "3", {}, patient("p"), {"if-match": 'W/"2"'}),
        Row("PUT Patient/p", 200, "3", {}, patient("p"), {"if-match": '"2"'}),
        Row("PUT Patient/p", 200, "3", {}, patient("p"), {"if-match": "*"}),
        Row("PUT Patient/p", 412, body=patient("p"), headers={"if-match": 'W/"1"'}, after={"p": 2}),
        Row(
            "PUT Patient/p", 412, body=patient("p"), headers={"if-none-match": "*"}, after={"p": 2}
        ),
        Row("PUT Patient/p", 400, body=patient("p"), after={"p": 2}, settings=LOCKED),
        Row("PUT Patient/p", 200, "3", {}, patient("p"), {"if-match": '"2"'}, settings=LOCKED),
        Row(
            "PUT Observation/o",
            200,
            None,
            {},
            {**observation(), "status": "amended"},
            settings=LOCKED,
        ),
    ],
    "update-as-create": [
        Row("PUT Patient/new", 201, "1", {"id": "new"}, patient("new"), after={"new": 1}),
        Row("PUT Patient/new", 201, "1", {}, patient("new"), {"if-none-match": "*"}),
        Row("PUT Patient/new", 201, "1", {}, patient("new"), settings=LOCKED),
        Row("PUT Patient/%2E%2E", 201, "1", {"id": ".."}, patient(".."), after={"%2E%2E": 1}),
        Row("PUT Patient/%2E", 201, "1", {"id": "."}, patient("."), after={"%2E": 1}),
        Row("PUT Patient/new", 405, body=patient("new"), settings=OFF),
        Row("PUT Patient/gone", 201, "3", {"id": "gone"}, patient("gone"), after={"gone": 3}),
        Row("PUT Patient/gone", 201, "3", {}, patient("gone"), {"if-none-match": "*"}),
    ],
    "conditional update": [
        Row(f"PUT Patient?{NONE}", 201, "1", {"active": True}, patient(active=True)),
        Row(f"PUT Patient?{NONE}", 201, "1", {"id": "new"}, patient("new"), after={"new": 1}),
        Row(f"PUT Patient?{NONE}", 409, body=patient("p"), after={"p": 2}),
        Row(f"PUT Patient?{ONE}", 200, "3", {"id": "p"}, patient(None, "1"), after={"p": 3}),
        Row(f"PUT Patient?{ONE}", 200, "3", {"id": "p"}, patient("p", "1"), after={"p": 3}),
        Row(f"PUT Patient?{ONE}", 400, body=patient("q", "1"), after={"p": 2}),
        Row(f"PUT Patient?{SAME}", 412, body=patient(None, "same"), after={"s1": 1, "s2": 1}),
    ],
    "patch": [
        Row("PATCH Patient/p", 200, "3", {"active": False}, REPLACE, PATCH, {"p": 3}),
        Row("PATCH Patient/p", 200, "3", {"active": False}, FHIRPATH, FHIR, {"p": 3}),
        Row("PATCH Patient/p", 200, "3", None, REPLACE, {**PATCH, **MINIMAL}),
        Row("PATCH Patient/p", 200, "3", {}, REPLACE, {**PATCH, "if-match": 'W/"2"'}),
        Row("PATCH Patient/p", 400, body=REPLACE, headers=PATCH, after={"p": 2}, settings=LOCKED),
        Row("PATCH Patient/none", 404, body=REPLACE, headers=PATCH),
        Row("PATCH Patient/gone", 410, "2", body=REPLACE, headers=PATCH),
    ],
    "conditional patch": [
        Row(f"PATCH Patient?{ONE}", 200, "3", {"active": False}, REPLACE, PATCH, {"p": 3}),
        Row(f"PATCH Patient?{NONE}", 404, body=REPLACE, headers=PATCH),
        Row(f"PATCH Patient?{SAME}", 412, body=REPLACE, headers=PATCH, after={"s1": 1, "s2": 1}),
    ],
    "delete": [
        Row("DELETE Patient/s1", 204, "2", None, after={"s1": 2}),
        Row("DELETE Patient/s1", 200, "2", IS_OUTCOME, headers=OUTCOME, after={"s1": 2}),
        Row("DELETE Patient/none", 204, None, None),
        Row("DELETE Patient/gone", 204, "2", None, after={"gone": 2}),
        Row("DELETE Patient/s1", 204, "2", None, headers={"if-match": 'W/"1"'}),
        Row("DELETE Patient/s1", 412, headers={"if-match": 'W/"2"'}, after={"s1": 1}),
        Row("DELETE Patient/s1", 400, after={"s1": 1}, settings=LOCKED),
        Row("DELETE Patient/none", 204, None, None, settings=LOCKED),
        Row("DELETE Patient/p", 409, after={"p": 2}),
    ],
    "conditional delete": [
        Row(f"DELETE Patient?{NONE}", 204, None, None),
        Row("DELETE Observation?status=final", 204, "2", None),
        Row(f"DELETE Patient?{SAME}", 412, after={"s1": 1, "s2": 1}),
        Row(f"DELETE Patient?{SAME}", 204, None, None, after={"s1": 2, "s2": 2}, settings=MULTIPLE),
        Row(
            f"DELETE Patient?{SAME}",
            403,
            after={"s1": 1, "s2": 1},
            settings={**MULTIPLE, "limits": {"conditional_deletes": 1}},
        ),
    ],
    "history": [
        Row("GET Patient/p/_history", 200, None, {"type": "history", "total": 2}),
        Row("HEAD Patient/p/_history", 200, None, None),
        Row("GET Patient/_history", 200, None, {"type": "history"}),
        Row("HEAD Patient/_history", 200, None, None),
        Row("GET _history", 200, None, {"type": "history"}),
        Row("HEAD _history", 200, None, None),
    ],
    "capabilities": [
        Row(
            "GET metadata",
            200,
            None,
            {"resourceType": "CapabilityStatement"},
            answers={"cache-control": "no-cache"},
        ),
        Row("HEAD metadata", 200, None, None),
        Row("GET metadata?mode=normative", 200, None, {"resourceType": "CapabilityStatement"}),
        Row("OPTIONS ", 200, None, {"resourceType": "CapabilityStatement"}),
    ],
    "options": [
        Row(
            "OPTIONS Patient",
            204,
            None,
            None,
            answers={"allow": "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"},
        ),
        Row(
            "OPTIONS Patient/p",
            204,
            None,
            None,
            answers={"allow": "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"},
        ),
        Row("OPTIONS Patient/_search", 204, None, None, answers={"allow": "OPTIONS, POST"}),
        Row("OPTIONS Nothing", 404),
    ],
    "batch, transaction": [
        Row(
            "POST ",
            200,
            None,
            {"type": "transaction-response", "entry.0.response.status": "201 Created"},
            bundle("transaction", entry("POST", "Patient", patient())),
        ),
        Row(
            "POST ",
            200,
            None,
            {"type": "batch-response", "entry.0.response.status": "404 Not Found"},
            bundle("batch", entry("GET", "Patient/none")),
        ),
    ],
    "search": [
        Row(
            "GET ?_type=Patient&_id=p",
            200,
            None,
            {"type": "searchset", "total": 1, "entry.0.resource.id": "p"},
        ),
        Row("GET Patient?_id=p", 200, None, {"type": "searchset", "total": 1}),
        Row("HEAD Patient?_id=p", 200, None, None),
        Row("GET Patient/p/Observation", 200, None, {"total": 1, "entry.0.resource.id": "o"}),
        Row("HEAD Patient/p/Observation", 200, None, None),
        Row("GET Patient/p/*", 200, None, {"total": 2}),
        Row("POST _search", 200, None, {"total": 1}, b"_type=Patient&_id=p", FORM),
        Row(
            "POST Patient/_search?_id=p,s1",
            200,
            None,
            {"total": 1, "entry.0.resource.id": "p"},
            b"_id=p",
            FORM,
        ),
        Row("POST Patient/p/Observation/_search", 200, None, {"total": 1}, b"status=final", FORM),
        Row("POST Patient/p/*/_search", 200, None, {"total": 2}, b"", FORM),
        Row(
            "GET Patient?_id=p&_nothing=1",
            200,
            None,
            {"total": 1},
            headers={"prefer": "handling=lenient"},
            answers={"preference-applied": "handling=lenient"},
        ),
    ],
}
ROWS = [(row.settings, row) for rows in TABLE.values() for row in rows]
IDS = [f"{name}: {row.line} {row.status}" for name, rows in TABLE.items() for row in rows]


@pytest.fixture
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    return Settings(demo=True, data_dir=tmp_path / "data", **request.param)


async def send(
    client: httpx.AsyncClient, line: str, body: Any, headers: dict[str, str]
) -> httpx.Response:
    method, _, path = line.partition(" ")
    content = body if isinstance(body, bytes | None) else msgspec.json.encode(body)
    # Not joined by httpx, which would take "." and ".." for steps of a path.
    url = httpx.URL(str(client.base_url)).copy_with(raw_path=f"/fhir/{path}".rstrip("/").encode())
    given = {**(FHIR if body is not None else {}), **headers}
    return await client.request(method, url, content=content, headers=given)


def at(resource: Any, path: str) -> Any:
    for part in path.split("."):
        resource = resource[int(part)] if part.isdecimal() else resource.get(part)
    return resource


@pytest.mark.parametrize(("settings", "row"), ROWS, indirect=["settings"], ids=IDS)
async def test_each_interaction(client: httpx.AsyncClient, row: Row) -> None:
    for method, path, body in BEFORE:
        current = await client.get(f"/{path}")
        headers = {"if-match": current.headers["etag"]} if current.status_code == 200 else {}
        if row.settings is OFF and method == "PUT" and not headers:
            continue
        assert (await send(client, f"{method} {path}", body, headers)).status_code < 300
    response = await send(client, row.line, row.body, row.headers)
    assert response.status_code == row.status
    if row.tag:
        assert response.headers["etag"] == f'W/"{row.tag}"'
    if row.status == 201 or (row.status == 200 and row.line.startswith(("PUT", "PATCH"))):
        version = response.headers["etag"].split('"')[1]
        assert response.headers["location"].endswith(f"/_history/{version}")
        assert response.headers["last-modified"].endswith(" GMT")
    if row.shows is None:
        assert response.content == b""
    else:
        body = response.json()
        assert {path: at(body, path) for path in row.shows} == row.shows
    assert {name: response.headers.get(name) for name in row.answers} == row.answers
    for id_, version in row.after.items():
        history = await send(client, f"GET Patient/{id_}/_history", None, {})
        assert history.json()["total"] == version
