"""Health and metrics."""

import re
from dataclasses import replace
from pathlib import Path

import httpx
import psycopg
import pytest
from prometheus_client import REGISTRY, values

from fhir_server import feed_readers, jobs
from fhir_server.api.app import create_app
from fhir_server.database import Database
from fhir_server.jobs import Job
from fhir_server.server import Server
from tests import sessions

ROOT = "http://testserver"


async def test_a_live_server_says_so_and_a_ready_one_has_its_database(
    client: httpx.AsyncClient,
) -> None:
    assert (await client.get(f"{ROOT}/health/live")).json() == {"status": "alive"}
    assert (await client.get(f"{ROOT}/health/ready")).json() == {"status": "ready"}


async def test_a_server_without_database_is_alive_and_not_ready(
    client: httpx.AsyncClient, server: Server
) -> None:
    await server.database.close()
    assert (await client.get(f"{ROOT}/health/live")).status_code == 200
    ready = await client.get(f"{ROOT}/health/ready")
    assert (ready.status_code, ready.json()) == (503, {"status": "the database is away"})
    metrics = await client.get(f"{ROOT}/metrics")
    assert metrics.status_code == 200
    assert "sangam_jobs_waiting" not in metrics.text


async def test_a_server_that_cannot_write_is_not_ready(server: Server, database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        change = f'ALTER DATABASE "{connection.info.dbname}"'
        connection.execute(f"{change} SET default_transaction_read_only = on")
        sessions.forget()
        stopped = Database(database_url, size=2)
        try:
            await stopped.open()
            transport = httpx.ASGITransport(app=create_app(replace(server, database=stopped)))
            async with httpx.AsyncClient(transport=transport, base_url=ROOT) as http:
                ready = await http.get("/health/ready")
        finally:
            connection.execute(f"{change} RESET default_transaction_read_only")
            await stopped.close()
            sessions.forget()
    assert (ready.status_code, ready.json()) == (503, {"status": "the database cannot be written"})


async def test_requests_are_counted_by_shape_method_and_status(client: httpx.AsyncClient) -> None:
    labels = {"shape": "instance", "method": "GET", "status": "404"}
    before = REGISTRY.get_sample_value("sangam_request_seconds_count", labels) or 0
    await client.get("/Patient/nobody")
    assert REGISTRY.get_sample_value("sangam_request_seconds_count", labels) == before + 1


async def test_an_unheard_of_method_makes_no_series_of_its_own(client: httpx.AsyncClient) -> None:
    await client.request("BREW", "/Patient/nobody")
    text = (await client.get(f"{ROOT}/metrics")).text
    assert "BREW" not in text
    assert re.search(r'sangam_request_seconds_count\{method="other"', text)


async def test_what_waits_is_shown(client: httpx.AsyncClient, server: Server) -> None:
    async with server.database.transaction() as connection:
        await jobs.enqueue(connection, [Job("a", {}), Job("b", {})])
        await feed_readers.take(connection, "hl7.outbound")
    text = (await client.get(f"{ROOT}/metrics")).text
    assert 'sangam_jobs_waiting{state="ready"} 2.0' in text
    assert "sangam_feed_lag_seconds 0.0" in text
    assert 'sangam_feed_reader_lag_seconds{reader="hl7.outbound"} 0.0' in text


async def test_what_waits_is_told_once_where_processes_share_their_metrics(
    client: httpx.AsyncClient,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    shared = values.MultiProcessValue()  # type: ignore[no-untyped-call]
    monkeypatch.setattr(values, "ValueClass", shared)
    async with server.database.transaction() as connection:
        await jobs.enqueue(connection, [Job("a", {})])
    seen = [(await client.get(f"{ROOT}/metrics")).text for _ in range(2)]
    values.close_all_multiprocess_files()  # type: ignore[no-untyped-call]
    counted = [re.findall(r"^sangam_jobs_waiting\{.*ready.*", text, re.MULTILINE) for text in seen]
    assert counted == [['sangam_jobs_waiting{state="ready"} 1.0']] * 2
