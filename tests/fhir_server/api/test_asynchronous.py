"""`Prefer: respond-async`, from the request to its answer, with the worker's part called here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import msgspec
import pytest

from fhir_server.api import rest
from fhir_server.api.app import create_app
from fhir_server.config import AsynchronousSettings, Settings
from fhir_server.errors import Unavailable
from fhir_server.interactions import asynchronous, bundle
from fhir_server.main import wiring
from fhir_server.server import Server
from fhir_server.worker.runner import work
from tests.conftest import BASE

FHIR = {"content-type": "application/fhir+json", "prefer": "respond-async"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    hurried = AsynchronousSettings(lanes=1, poll_seconds=0, max_waiting=3)
    return Settings(demo=True, data_dir=tmp_path / "data", asynchronous=hurried)


@asynccontextmanager
async def serving(
    database_url: str, settings: Settings, **changes: Any
) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    """A server with other settings of asynchronous requests."""
    changed = settings.asynchronous.model_copy(update=changes)
    own = settings.model_copy(update={"asynchronous": changed})
    async with wiring.running(own, database_url, BASE) as server:
        transport = httpx.ASGITransport(app=create_app(server))
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
            yield server, http


def patients(kind: str, *ids: str) -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "type": kind,
        "entry": [
            {
                "resource": {"resourceType": "Patient", "id": id_},
                "request": {"method": "PUT", "url": f"Patient/{id_}"},
            }
            for id_ in ids
        ],
    }


async def defer(client: httpx.AsyncClient, body: dict[str, Any]) -> str:
    """Send a Bundle and return its status URL."""
    answer = await client.post("", content=msgspec.json.encode(body), headers=FHIR)
    assert answer.status_code == 202, answer.text
    return answer.headers["content-location"]


async def worked(server: Server) -> None:
    await rest.carry_out(server, {"lane": 0})


async def rows(server: Server, sql: str) -> list[tuple[Any, ...]]:
    async with server.database.connection() as connection:
        return await (await connection.execute(sql)).fetchall()


async def count(client: httpx.AsyncClient, query: str = "Patient") -> int:
    return (await client.get(f"/{query}?_summary=count&_total=accurate")).json()["total"]


async def test_a_search_is_answered_later(client: httpx.AsyncClient, server: Server) -> None:
    await client.put("/Patient/a", json={"resourceType": "Patient", "id": "a"}, headers=FHIR)
    accepted = await client.get("/Patient?_id=a", headers={"prefer": "respond-async"})
    assert accepted.status_code == 202
    assert accepted.headers["preference-applied"] == "respond-async"
    assert accepted.json()["resourceType"] == "OperationOutcome"
    url = accepted.headers["content-location"]
    assert url.startswith(f"{BASE}/_async/")
    waiting = await client.get(url)
    assert (waiting.status_code, waiting.content) == (202, b"")
    assert waiting.headers["x-progress"] == "waiting for its turn"
    assert waiting.headers["retry-after"] == "1"
    await worked(server)
    done = await client.get(url)
    assert done.status_code == 200
    assert done.headers["expires"].endswith(" GMT")
    assert done.json()["type"] == "batch-response"
    (entry,) = done.json()["entry"]
    assert entry["response"] == {"status": "200 OK"}
    assert entry["resource"]["type"] == "searchset"
    assert [one["resource"]["id"] for one in entry["resource"]["entry"]] == ["a"]
    assert done.content == (await client.get(url)).content


GENDERS = "url=http://hl7.org/fhir/ValueSet/administrative-gender"


async def test_operations_are_answered_later(client: httpx.AsyncClient, server: Server) -> None:
    languages = {"prefer": "respond-async", "accept-language": "en"}
    accepted = await client.get(f"/ValueSet/$expand?{GENDERS}", headers=languages)
    assert accepted.status_code == 202
    entries = [
        {"request": {"method": "GET", "url": f"ValueSet/$expand?{GENDERS}"}},
        {"request": {"method": "GET", "url": "ValueSet/$expand?url=none"}},
    ]
    url = await defer(client, {"resourceType": "Bundle", "type": "batch", "entry": entries})
    await worked(server)
    (entry,) = (await client.get(accepted.headers["content-location"])).json()["entry"]
    told = entry["resource"]["expansion"]
    assert (told["total"], told["parameter"][0]) == (
        4,
        {"name": "displayLanguage", "valueCode": "en"},
    )
    (entry,) = (await client.get(url)).json()["entry"]
    answered = [one["response"]["status"] for one in entry["resource"]["entry"]]
    assert answered == ["200 OK", "404 Not Found"]


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_a_bundle_is_carried_out_later(
    client: httpx.AsyncClient, server: Server, kind: str
) -> None:
    url = await defer(client, patients(kind, "a", "b"))
    assert await count(client) == 0
    await worked(server)
    (entry,) = (await client.get(url)).json()["entry"]
    assert entry["resource"]["type"] == f"{kind}-response"
    assert [one["response"]["status"] for one in entry["resource"]["entry"]] == ["201 Created"] * 2
    assert await count(client) == 2
    assert await rows(server, "SELECT count(*) FROM asynchronous_entry") == [(0,)]
    assert await rows(server, "SELECT octet_length(body) FROM asynchronous_request") == [(0,)]


async def test_a_search_by_form_and_in_a_compartment_is_answered_later(
    client: httpx.AsyncClient, server: Server
) -> None:
    await client.put("/Patient/a", json={"resourceType": "Patient", "id": "a"}, headers=FHIR)
    form = {"prefer": "respond-async", "content-type": "application/x-www-form-urlencoded"}
    posted = await client.post("/Patient/_search", content=b"_id=a%2Cb%26c", headers=form)
    inside = await client.get("/Patient/a/*?_count=1", headers={"prefer": "respond-async"})
    await worked(server)
    for accepted in (posted, inside):
        (entry,) = (await client.get(accepted.headers["content-location"])).json()["entry"]
        assert [one["resource"]["id"] for one in entry["resource"]["entry"]] == ["a"]


async def test_xml_is_taken_and_given(client: httpx.AsyncClient, server: Server) -> None:
    body = (
        '<Bundle xmlns="http://hl7.org/fhir"><type value="batch"/><entry><request>'
        '<method value="GET"/><url value="Patient"/></request></entry></Bundle>'
    )
    headers = {"prefer": "respond-async", "content-type": "application/fhir+xml"}
    url = (await client.post("", content=body, headers=headers)).headers["content-location"]
    await worked(server)
    text = (await client.get(url, headers={"accept": "application/fhir+xml"})).text
    assert text.count("<Bundle") == 3  # the answer, the batch's and the search's


async def test_a_read_and_a_create_are_answered_at_once(client: httpx.AsyncClient) -> None:
    created = await client.post("/Patient", json={"resourceType": "Patient"}, headers=FHIR)
    assert created.status_code == 201
    read = await client.get(f"/Patient/{created.json()['id']}", headers=FHIR)
    assert read.status_code == 200
    searched = await client.get("/Patient", headers={"prefer": 'return="respond-async"'})
    assert searched.status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/Patient?nonsense=1", 400, "invalid"),
        ("/Patient/none/Observation", 404, "not-found"),
        ("/Patient/none/$no-such", 404, "not-supported"),
    ],
)
async def test_a_failure_is_told_with_its_status(
    client: httpx.AsyncClient, server: Server, path: str, status: int, code: str
) -> None:
    answer = await client.get(path, headers={"prefer": "respond-async"})
    if answer.status_code == 202:
        await worked(server)
        answer = await client.get(answer.headers["content-location"])
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (status, code)


async def test_a_bundle_that_fails_writes_nothing_and_tells_why(
    client: httpx.AsyncClient, server: Server
) -> None:
    body = patients("transaction", "a", "b")
    body["entry"][1]["resource"]["gender"] = 7
    url = await defer(client, body)
    await worked(server)
    answer = await client.get(url)
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["expression"][0].startswith("Bundle.entry[1]")
    assert await count(client) == 0


async def test_entries_of_a_batch_fail_for_themselves(
    client: httpx.AsyncClient, server: Server
) -> None:
    body = patients("batch", "a", "b", "c")
    body["entry"][1]["resource"]["gender"] = 7
    url = await defer(client, body)
    await worked(server)
    (entry,) = (await client.get(url)).json()["entry"]
    statuses = [one["response"]["status"][:3] for one in entry["resource"]["entry"]]
    assert statuses == ["201", "400", "201"]


async def test_the_plain_form_answers_as_if_at_once(database_url: str, settings: Settings) -> None:
    async with serving(database_url, settings, answer_form="plain") as (server, client):
        accepted = await client.get("/Patient", headers={"prefer": "respond-async"})
        await worked(server)
        answer = await client.get(accepted.headers["content-location"])
        assert answer.json()["type"] == "searchset"


async def test_a_hasty_poll_is_429(database_url: str, settings: Settings) -> None:
    async with serving(database_url, settings, poll_seconds=3600) as (server, client):
        url = await defer(client, patients("batch", "a"))
        assert (await client.get(url)).status_code == 202
        hasty = await client.get(url)
        assert (hasty.status_code, hasty.headers["retry-after"]) == (429, "3600")
        assert hasty.json()["issue"][0]["code"] == "throttled"
        await worked(server)
        assert (await client.get(url)).status_code == 200
        assert (await client.get(url)).status_code == 200


async def test_a_caller_has_only_so_many_that_wait(
    client: httpx.AsyncClient, server: Server
) -> None:
    for _ in range(3):
        await defer(client, patients("batch", "a"))
    full = await client.post("", content=msgspec.json.encode(patients("batch")), headers=FHIR)
    assert (full.status_code, full.json()["issue"][0]["code"]) == (429, "throttled")
    assert "retry-after" in full.headers
    await worked(server)
    await defer(client, patients("batch", "a"))


async def test_requests_are_spread_over_the_lanes(database_url: str, settings: Settings) -> None:
    async with serving(database_url, settings, lanes=2) as (server, client):
        for _ in range(3):
            await defer(client, patients("batch", "a"))
        lanes = "SELECT lane FROM asynchronous_request ORDER BY created_at"
        assert await rows(server, lanes) == [(0,), (1,), (0,)]
        keys = "SELECT dedupe_key FROM job WHERE kind = 'asynchronous.request' ORDER BY 1"
        assert await rows(server, keys) == [("0",), ("1",)]


async def test_a_cancelled_request_is_unknown_and_not_carried_out(
    client: httpx.AsyncClient, server: Server
) -> None:
    url = await defer(client, patients("batch", "a"))
    assert (await client.delete(url)).status_code == 202
    for method in ("GET", "DELETE"):
        assert (await client.request(method, url)).status_code == 404
    await worked(server)
    assert await count(client) == 0


async def test_an_answer_is_removed_by_its_client(
    client: httpx.AsyncClient, server: Server
) -> None:
    url = await defer(client, patients("batch", "a"))
    await worked(server)
    assert (await client.delete(url)).status_code == 202
    assert (await client.get(url)).status_code == 404
    assert await count(client) == 1


async def test_nobody_else_sees_a_request(client: httpx.AsyncClient, server: Server) -> None:
    url = await defer(client, patients("batch", "a"))
    await rows(server, "UPDATE asynchronous_request SET caller = 'another' RETURNING id")
    assert (await client.get(url)).status_code == 404
    assert (await client.delete(url)).status_code == 404
    assert (await client.get("/_async/guessed")).status_code == 404


async def test_a_cancelled_transaction_is_rolled_back(
    client: httpx.AsyncClient, server: Server
) -> None:
    """The cancellation comes when all is written and nothing is committed."""
    url = await defer(client, patients("transaction", "a", "b"))
    finish = asynchronous.Ledger.finish

    async def cancelled_before(self: Any, connection: Any, answered: Any) -> None:
        assert (await client.delete(url)).status_code == 202
        await finish(self, connection, answered)

    with patch.object(asynchronous.Ledger, "finish", cancelled_before):
        await worked(server)
    assert await count(client) == 0


async def test_a_batch_goes_on_where_its_worker_ended(
    client: httpx.AsyncClient, server: Server
) -> None:
    url = await defer(client, patients("batch", "a", "b", "c"))
    note = asynchronous.Ledger.note

    async def ends_in_the_third(self: Any, connection: Any, index: int, answer: bytes) -> None:
        if index == 2:
            raise asyncio.CancelledError
        await note(self, connection, index, answer)

    ending = patch.object(asynchronous.Ledger, "note", ends_in_the_third)
    with ending, pytest.raises(asyncio.CancelledError):
        await worked(server)
    assert (await client.get(url)).headers["x-progress"] == "2 of 3 entries"
    assert await count(client) == 2
    done: list[int] = []

    async def counted(self: Any, connection: Any, index: int, answer: bytes) -> None:
        done.append(index)
        await note(self, connection, index, answer)

    with patch.object(asynchronous.Ledger, "note", counted):
        await worked(server)
    assert done == [2]
    (entry,) = (await client.get(url)).json()["entry"]
    assert [one["response"]["etag"] for one in entry["resource"]["entry"]] == ['W/"1"'] * 3


@pytest.mark.parametrize("kind", ["batch", "transaction"])
async def test_two_workers_do_nothing_twice(
    client: httpx.AsyncClient, server: Server, kind: str
) -> None:
    """Two that hold the same request, as when the database lost sight of the first."""
    body = patients(kind, *map(str, range(8)))
    for entry in body["entry"]:
        entry["request"] = {"method": "POST", "url": "Patient"}
    await defer(client, body)
    await asyncio.gather(*(worked(server) for _ in range(4)))
    assert await count(client) == 8


async def test_what_may_pass_is_tried_again_and_told_in_the_end(
    client: httpx.AsyncClient, server: Server
) -> None:
    url = await defer(client, patients("transaction", "a"))

    async def away(*_: Any, **__: Any) -> None:
        raise Unavailable("The database is away")

    with patch.object(bundle, "transaction", away):
        for _ in range(asynchronous.TRIES - 1):
            with pytest.raises(Unavailable):
                await worked(server)
            assert (await client.get(url)).status_code == 202
        await worked(server)
    answer = await client.get(url)
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (503, "transient")


async def test_what_ends_each_worker_is_given_up(client: httpx.AsyncClient, server: Server) -> None:
    url = await defer(client, patients("transaction", "a"))

    async def ends(*_: Any, **__: Any) -> None:
        raise asyncio.CancelledError

    with patch.object(bundle, "transaction", ends):
        for _ in range(asynchronous.TRIES):
            with pytest.raises(asyncio.CancelledError):
                await worked(server)
        await worked(server)
    assert (await client.get(url)).status_code == 500


async def test_an_expired_answer_is_unknown_and_swept(
    client: httpx.AsyncClient, server: Server
) -> None:
    old, new = [await defer(client, patients("batch", id_)) for id_ in "ab"]
    await worked(server)
    expire = "UPDATE asynchronous_request SET expires_at = now() WHERE id = '{}' RETURNING id"
    await rows(server, expire.format(old.rpartition("/")[2]))
    assert (await client.get(old)).status_code == 404
    await rows(server, "DELETE FROM job RETURNING id")
    await asynchronous.sweep(server, {})
    left = await rows(server, "SELECT id FROM asynchronous_request")
    assert left == [(new.rpartition("/")[2],)]
    assert await rows(server, "SELECT kind, due_at > now() FROM job") == [
        (asynchronous.SWEEP, True)
    ]


async def test_the_sweep_does_not_count_as_waiting_before_it_is_due(
    client: httpx.AsyncClient, server: Server
) -> None:
    await defer(client, patients("batch", "a"))
    sql = "SELECT due_at > now() + interval '23 hours' FROM job WHERE kind = 'asynchronous.sweep'"
    assert await rows(server, sql) == [(True,)]


async def test_a_worker_takes_it_from_the_queue(client: httpx.AsyncClient, server: Server) -> None:
    stop = asyncio.Event()
    working = asyncio.create_task(work(server, wiring.JOBS, "memory://", stop))
    url = await defer(client, patients("batch", "a"))
    for _ in range(1000):
        if (await client.get(url)).status_code == 200:
            break
        await asyncio.sleep(0.02)
    stop.set()
    await working
    assert await count(client) == 1


async def test_provenance_and_preferences_are_kept(
    client: httpx.AsyncClient, server: Server
) -> None:
    headers = {**FHIR, "prefer": "respond-async, return=representation"}
    body = msgspec.json.encode(patients("batch", "a"))
    accepted = await client.post("", content=body, headers=headers)
    await worked(server)
    (entry,) = (await client.get(accepted.headers["content-location"])).json()["entry"]
    assert entry["resource"]["entry"][0]["resource"]["id"] == "a"
