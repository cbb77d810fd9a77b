"""Refusals: a row for every row of the specification's table of status codes."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import pytest
from psycopg import errors

from fhir_server.api import rest
from fhir_server.api.answer import Answer
from fhir_server.config import Limits, Settings, WriteSettings
from fhir_server.errors import Forbidden, NotBuilt, Throttled, Unauthenticated
from fhir_server.interactions import update
from fhir_server.server import Server

FHIR = {"content-type": "application/fhir+json"}
PATCH = {"content-type": "application/json-patch+json"}
# Stands in stored resources and in requests; no refusal may quote it.
SECRET = "Vengalattore"
BETRAYALS = (SECRET, "SELECT", "INSERT", "psycopg", "Traceback", ".py", "constraint")


def patient(id_: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id_, "name": [{"family": SECRET}], **more}


def observation(id_: str, subject: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "final",
        "code": {"text": SECRET},
        "subject": {"reference": subject},
    }


def numbers(count: int) -> dict[str, Any]:
    concepts = [{"code": str(number)} for number in range(count)]
    system = {"resourceType": "CodeSystem", "status": "active", "content": "complete"}
    return {**system, "concept": concepts}


SAME = [{"system": "urn:same", "value": "1"}]
WORLD = (
    patient("p"),
    patient("p", active=True),
    patient("gone"),
    patient("twin-1", identifier=SAME),
    patient("twin-2", identifier=SAME),
    patient("keyed", identifier=[{"system": "urn:key", "value": SECRET}]),
    observation("o", "Patient/p"),
)


def bundle(*entries: dict[str, Any], kind: str = "transaction") -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def creation(resource: dict[str, Any]) -> dict[str, Any]:
    return {"request": {"method": "POST", "url": resource["resourceType"]}, "resource": resource}


Fault = Callable[[Server, pytest.MonkeyPatch], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def away(server: Server, _: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The database is closed."""
    await server.database.close()
    yield


@asynccontextmanager
async def held(server: Server, _: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Another holds the row of Patient/p for longer than a statement may take."""
    connection = await psycopg.AsyncConnection.connect(server.database.conninfo)
    async with connection:
        await connection.execute("SELECT FROM resource WHERE id = 'p' FOR UPDATE")
        yield


@asynccontextmanager
async def contended(_: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Other writers are always first."""

    async def lose(*_: object, **__: object) -> None:
        raise errors.SerializationFailure(SECRET)

    monkeypatch.setattr(update, "transaction", lose)
    yield


@asynccontextmanager
async def missing_blob(server: Server, _: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The blobs are gone, as when a disk is not mounted."""
    for path in server.blobs.root.glob("??/??/*"):
        path.unlink()
    yield


def refusing(error: Exception) -> Fault:
    """What no part of the server says yet, said in the place of the capabilities."""

    @asynccontextmanager
    async def fault(_: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
        async def refuse(*_: object) -> Answer:
            raise error

        monkeypatch.setitem(rest.ROUTES, ("metadata", "GET"), rest.Route(refuse, ()))
        yield

    return fault


@dataclass(frozen=True)
class Row:
    """A request and its refusal; `answers` are headers that must come with it."""

    line: str
    status: int
    code: str
    expression: str | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    fault: Fault | None = None


TABLE: dict[str, list[Row]] = {
    "not JSON, wrong root type, wrong type or id": [
        Row("POST Patient", 400, "structure", body=b'{"resourceType":"Patient"'),
        Row("POST Patient", 400, "structure", body=b"[]"),
        Row("POST Patient", 400, "structure", "resourceType", body={"name": [{"family": SECRET}]}),
        Row("POST Patient", 400, "structure", "resourceType", body=observation("x", "Patient/p")),
        Row("PUT Patient/p", 400, "value", "Patient.id", body=patient("q")),
        Row("PUT Patient/p", 400, "value", "Patient.id", body={"resourceType": "Patient"}),
        Row("POST", 400, "structure", "Bundle", body=patient("x")),
        Row("POST", 400, "value", "Bundle.type", body=bundle(kind="searchset")),
        Row("PATCH Patient/p", 400, "structure", body={"resourceType": "Patient"}),
    ],
    "unknown parameter or value that cannot be parsed": [
        Row(f"GET Patient?{SECRET.lower()}=1", 400, "invalid", SECRET.lower()),
        Row(f"GET Patient?birthdate={SECRET}", 400, "value", "birthdate"),
        Row("GET Patient/p?family=x", 400, "invalid", "family"),
        Row("GET Patient/p/_history?_count=few", 400, "value", "_count"),
        Row("GET Patient/a_b", 400, "value", "id"),
        Row("GET Patient/p?_summary=maybe", 400, "value", "_summary"),
        Row("GET Patient/p?_pretty=1", 400, "value", "_pretty"),
        Row("PUT Patient/p", 400, "value", body=patient("p"), headers={"if-match": SECRET}),
        Row("PUT Patient/p", 400, "value", body=patient("p"), headers={"if-match": 'W/"1", "2"'}),
        Row("DELETE Patient/none", 400, "value", headers={"if-match": "2"}),
        Row("GET Patient?name=%ff", 400, "value"),
    ],
    "unsupported modifier, prefix, control parameter": [
        Row("GET Patient?name:nearly=x", 400, "not-supported", "name:nearly"),
        Row("GET Patient?gender:exact=male", 400, "not-supported", "gender:exact"),
        Row(
            "GET Patient?name:nearly=x",
            400,
            "not-supported",
            "name:nearly",
            headers={"prefer": "handling=lenient"},
        ),
        Row("PUT Patient?_count=1", 400, "not-supported", "_count", body=patient("p")),
    ],
    "conditional criteria without any effective parameter": [
        Row("PUT Patient", 400, "required", body=patient("p")),
        Row("PUT Patient?_format=json", 400, "required", body=patient("p")),
        Row("DELETE Patient", 400, "required"),
        Row("DELETE Patient?name=", 400, "required"),
        Row("PATCH Patient", 400, "required", body=b"[]", headers=PATCH),
        Row("POST Patient", 400, "required", body=patient("x"), headers={"if-none-exist": " "}),
    ],
    "no token, bad token; no right": [
        Row(
            "GET metadata",
            401,
            "login",
            answers={"www-authenticate": "Bearer"},
            fault=refusing(Unauthenticated("Who asks?")),
        ),
        Row(
            "GET metadata",
            401,
            "expired",
            answers={"www-authenticate": 'Bearer error="invalid_token"'},
            fault=refusing(
                Unauthenticated(
                    "The token is too old",
                    code="expired",
                    headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
                )
            ),
        ),
        Row("GET metadata", 403, "forbidden", fault=refusing(Forbidden("Not for you"))),
    ],
    "no such resource or version; unknown type or operation": [
        Row("GET Patient/none", 404, "not-found"),
        Row("GET Patient/p/_history/9", 404, "not-found"),
        Row("GET Patient/p/_history/01x", 404, "not-found"),
        Row("GET Patient/none/_history", 404, "not-found"),
        Row("PATCH Patient/none", 404, "not-found", body=b"[]", headers=PATCH),
        Row("PATCH Patient?identifier=urn:x|1", 404, "not-found", body=b"[]", headers=PATCH),
        Row("GET Patient/none/Observation", 404, "not-found"),
        Row("GET Person2", 404, "not-supported"),
        Row("GET Patient/$nothing", 404, "not-supported"),
        Row("GET $nothing", 404, "not-supported"),
        Row("GET Patient/p/none", 404, "not-supported"),
    ],
    "method not allowed on that URL": [
        Row(
            "POST Patient/p",
            405,
            "not-supported",
            answers={"allow": "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"},
        ),
        Row("DELETE metadata", 405, "not-supported", answers={"allow": "GET, HEAD, OPTIONS"}),
        Row("GET _search", 405, "not-supported", answers={"allow": "OPTIONS, POST"}),
        Row(
            "PUT Patient/p/_history/1",
            405,
            "not-supported",
            answers={"allow": "GET, HEAD, OPTIONS"},
        ),
        Row(
            "POST Parameters",
            405,
            "not-supported",
            body={"resourceType": "Parameters"},
            answers={"allow": "OPTIONS"},
        ),
        Row(
            "POST OperationOutcome",
            405,
            "not-supported",
            body={"resourceType": "OperationOutcome"},
        ),
        Row("BREW Patient/p", 405, "not-supported"),
        Row(
            "PUT Patient/new",
            405,
            "not-supported",
            body=patient("new"),
            settings={"write": {"update_create": False}},
        ),
    ],
    "resource or version deleted": [
        Row("GET Patient/gone", 410, "deleted", answers={"etag": 'W/"2"'}),
        Row("GET Patient/gone/_history/2", 410, "deleted", answers={"etag": 'W/"2"'}),
        Row(
            "PATCH Patient/gone",
            410,
            "deleted",
            body=b"[]",
            headers=PATCH,
            answers={"etag": 'W/"2"'},
        ),
    ],
    "edit conflict; reference prevents deletion; duplicate business key": [
        Row("PUT Patient/p", 409, "conflict", body=patient("p"), fault=contended),
        Row("DELETE Patient/p", 409, "conflict"),
        Row("PUT Patient?identifier=urn:x|1", 409, "conflict", body=patient("p")),
        Row(
            "POST Patient",
            409,
            "duplicate",
            "Patient.identifier[0]",
            body=patient("x", identifier=[{"system": "urn:key", "value": SECRET}]),
            settings={"write": {"business_keys": {"Patient": ["urn:key"]}}},
        ),
    ],
    "If-Match fails, several conditional matches": [
        Row("PUT Patient/p", 412, "conflict", body=patient("p"), headers={"if-match": 'W/"1"'}),
        Row("PUT Patient/new", 412, "conflict", body=patient("new"), headers={"if-match": '"1"'}),
        Row("PUT Patient/gone", 412, "conflict", body=patient("gone"), headers={"if-match": '"2"'}),
        Row("PATCH Patient/p", 412, "conflict", body=b"[]", headers={**PATCH, "if-match": '"1"'}),
        Row("PATCH Patient/none", 412, "conflict", body=b"[]", headers={**PATCH, "if-match": "*"}),
        Row("DELETE Observation/o", 412, "conflict", headers={"if-match": 'W/"7"'}),
        Row("DELETE Patient/none", 412, "conflict", headers={"if-match": 'W/"1"'}),
        Row("PUT Patient/p", 412, "conflict", body=patient("p"), headers={"if-none-match": "*"}),
        Row(
            "PUT Patient?identifier=urn:same|1",
            412,
            "multiple-matches",
            body={"resourceType": "Patient"},
        ),
        Row("DELETE Patient?identifier=urn:same|1", 412, "multiple-matches"),
        Row(
            "PATCH Patient?identifier=urn:same|1",
            412,
            "multiple-matches",
            body=b"[]",
            headers=PATCH,
        ),
        Row(
            "POST Patient",
            412,
            "multiple-matches",
            body=patient("x"),
            headers={"if-none-exist": "identifier=urn:same|1"},
        ),
    ],
    "body over limit; too many entries or index rows": [
        Row(
            "POST Patient",
            413,
            "too-long",
            body=patient("x"),
            settings={"limits": {"body_bytes": 50}},
        ),
        Row(
            "POST",
            413,
            "too-long",
            "Bundle.entry",
            body=bundle(creation(patient("x")), creation(patient("y"))),
            settings={"limits": {"bundle_entries": 1}},
        ),
        Row(
            "POST Observation",
            413,
            "too-long",
            body=observation("x", "Patient/p"),
            settings={"limits": {"index_rows": 5}},
        ),
        Row(
            "POST CodeSystem",
            413,
            "too-long",
            body=numbers(5),
            settings={"limits": {"terminology_index_rows": 5}},
        ),
    ],
    "URL over limit": [Row(f"GET Patient?family={'x' * 17_000}", 414, "too-long")],
    "media type": [
        Row("GET Patient/p", 406, "not-supported", headers={"accept": "text/html"}),
        Row("GET Patient/p?_format=turtle", 406, "not-supported", "_format"),
        Row(
            "GET Patient/p",
            406,
            "not-supported",
            headers={"accept": "application/fhir+json; fhirVersion=3.0"},
        ),
        Row(
            "GET Patient/p?_format=application/fhir%2Bjson;fhirVersion=5.0",
            406,
            "not-supported",
            "_format",
        ),
        Row(
            "POST Patient", 415, "not-supported", body=b"x", headers={"content-type": "text/plain"}
        ),
        Row("POST Patient", 415, "not-supported", body=b"{}", headers={"content-type": ""}),
        Row(
            "POST Patient",
            415,
            "not-supported",
            body=patient("x"),
            headers={"content-type": "application/fhir+json; fhirVersion=3.0"},
        ),
        Row(
            "POST Patient",
            415,
            "not-supported",
            body=patient("x"),
            headers={"content-encoding": "br"},
            answers={"accept-encoding": "gzip"},
        ),
        Row("POST Patient/_search", 415, "not-supported", body=b"{}"),
        Row(
            "PATCH Patient/p",
            415,
            "not-supported",
            body=b"[]",
            headers={"content-type": "application/merge-patch+json"},
        ),
    ],
    "invalid; dangling reference; JSON Patch test fails": [
        Row(
            "POST Patient", 422, "code-invalid", "Patient.gender", body=patient("x", gender=SECRET)
        ),
        Row(
            "POST Observation",
            422,
            "not-found",
            "Observation.subject.reference",
            body=observation("x", "Patient/none"),
        ),
        Row(
            "POST Observation",
            422,
            "not-found",
            "Observation.subject.reference",
            body=observation("x", "Patient/gone"),
        ),
        Row(
            "PATCH Patient/p",
            422,
            "processing",
            body=[{"op": "test", "path": "/name/0/family", "value": "other"}],
            headers=PATCH,
        ),
        Row(
            "PUT Patient/p",
            422,
            "business-rule",
            "Patient.meta.tag",
            body=patient(
                "p",
                meta={
                    "tag": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
                            "code": "SUBSETTED",
                        }
                    ]
                },
            ),
        ),
    ],
    "request too expensive by a known cap": [
        Row(
            "DELETE Patient?identifier=urn:same|1",
            403,
            "too-costly",
            settings={
                "write": {"conditional_delete": "multiple"},
                "limits": {"conditional_deletes": 1},
            },
        )
    ],
    "rate limit, too many jobs": [
        Row(
            "GET metadata",
            429,
            "throttled",
            answers={"retry-after": "1"},
            fault=refusing(Throttled("Slower", headers={"Retry-After": "1"})),
        )
    ],
    "cancelled by statement timeout": [
        Row(
            "PUT Patient/p",
            503,
            "timeout",
            body=patient("p"),
            answers={"retry-after": "5"},
            settings={"limits": {"write_seconds": 1}},
            fault=held,
        )
    ],
    "not built": [Row("GET metadata", 501, "not-supported", fault=refusing(NotBuilt("Not yet")))],
    "database or needed service away": [
        Row("GET Patient/p", 503, "transient", answers={"retry-after": "1"}, fault=away),
        Row(
            "POST Patient",
            503,
            "transient",
            body=patient("x"),
            answers={"retry-after": "1"},
            fault=away,
        ),
        Row("GET Binary/large", 503, "no-store", answers={"retry-after": "5"}, fault=missing_blob),
    ],
    "a fault of ours": [
        Row("GET metadata", 500, "exception", fault=refusing(ValueError(f"SELECT {SECRET}"))),
    ],
}
ROWS = [(row.settings, row) for rows in TABLE.values() for row in rows]
IDS = [f"{cause}: {row.line[:60]}" for cause, rows in TABLE.items() for row in rows]


@pytest.fixture
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    return Settings(demo=True, data_dir=tmp_path / "data", **request.param)


async def prepared(server: Server, client: httpx.AsyncClient) -> None:
    """Store the world under the usual limits, whatever those of the row are."""
    narrow = server.settings
    keys = narrow.write.business_keys
    usual = narrow.model_copy(
        update={"limits": Limits(), "write": WriteSettings(business_keys=keys)}
    )
    object.__setattr__(server, "settings", usual)
    for one in WORLD:
        url = f"/{one['resourceType']}/{one['id']}"
        stored = await client.put(url, content=msgspec.json.encode(one), headers=FHIR)
        assert stored.status_code in {200, 201}
    assert (await client.delete("/Patient/gone")).status_code == 204
    large = {"content-type": "text/plain"}
    stored = await client.put("/Binary/large", content=b"x" * (2 << 20), headers=large)
    assert stored.status_code == 201
    object.__setattr__(server, "settings", narrow)


@pytest.mark.parametrize(("settings", "row"), ROWS, indirect=["settings"], ids=IDS)
async def test_each_cause_has_its_status_and_code(
    server: Server, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, row: Row
) -> None:
    await prepared(server, client)
    method, _, path = row.line.partition(" ")
    body = row.body if isinstance(row.body, bytes | None) else msgspec.json.encode(row.body)
    headers = {**(FHIR if body is not None else {}), **row.headers}
    async with row.fault(server, monkeypatch) if row.fault else nullcontext():
        url = f"{client.base_url}{path}".rstrip("/")
        response = await client.request(method, url, content=body, headers=headers)
    outcome = response.json()
    issue = outcome["issue"][0]
    assert outcome["resourceType"] == "OperationOutcome"
    assert (response.status_code, issue["severity"], issue["code"]) == (
        row.status,
        "error",
        row.code,
    )
    assert issue.get("expression") == ([row.expression] if row.expression else None)
    assert issue["details"]["text"]
    assert [word for word in BETRAYALS if word in response.text] == []
    assert {name: response.headers.get(name) for name in row.answers} == row.answers
    assert response.headers["content-type"] == "application/fhir+json; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    assert {"date", "x-request-id"} <= set(response.headers)
