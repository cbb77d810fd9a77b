"""A batch that is answered later is carried out once, whenever its worker is killed."""

import json
import os
import signal
import urllib.error
import urllib.request
from typing import Any

import psycopg
import pytest
from flows.running import Running

ENTRIES = 600
PROGRESS = "SELECT done FROM asynchronous_request ORDER BY created_at DESC LIMIT 1"
pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("server")]


def bundle(kind: str) -> bytes:
    entry = {"resource": {"resourceType": "Basic", "code": {"text": kind}}}
    request = {"method": "POST", "url": "Basic"}
    entries = [{**entry, "request": request} for _ in range(ENTRIES)]
    return json.dumps({"resourceType": "Bundle", "type": kind, "entry": entries}).encode()


def deferred(running: Running, kind: str) -> str:
    headers = {"content-type": "application/fhir+json", "prefer": "respond-async"}
    request = urllib.request.Request(running.said["base"], bundle(kind), headers)
    with urllib.request.urlopen(request, timeout=30) as response:
        assert response.status == 202
        return response.headers["content-location"]


def answer(url: str) -> dict[str, Any] | None:
    """The answer, None while there is none, or while the client asks too often."""
    try:
        with urllib.request.urlopen(url, timeout=30) as response:
            return json.load(response) if response.status == 200 else None
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 429:
                raise
        return None


def test_a_worker_killed_in_the_middle_of_a_batch_does_nothing_twice(running: Running) -> None:
    others = running.total("Basic")
    with psycopg.connect(running.database, autocommit=True) as connection:
        url = deferred(running, "batch")
        for part in (1, 2):
            far = ENTRIES * part // 4

            def begun(least: int = far) -> bool:
                row = connection.execute(PROGRESS).fetchone()
                return row is not None and row[0] >= least

            assert running.until(60, begun), running.log()
            os.kill(running.said["children"]["worker"], signal.SIGKILL)
            row = connection.execute(PROGRESS).fetchone()
            assert row is not None
            assert row[0] < ENTRIES
    assert running.until(120, lambda: answer(url) is not None), running.log()
    (entry,) = (answer(url) or {})["entry"]
    statuses = {one["response"]["status"] for one in entry["resource"]["entry"]}
    assert statuses == {"201 Created"}
    told = {one["response"]["location"] for one in entry["resource"]["entry"]}
    assert len(told) == ENTRIES
    assert running.total("Basic") == others + ENTRIES


def test_a_transaction_outlives_the_whole_server_and_is_carried_out_once(running: Running) -> None:
    base, others = running.said["base"], running.total("Basic")
    url = deferred(running, "transaction")
    running.kill(database=True)
    running.start()
    url = url.replace(base, running.said["base"])
    assert running.until(120, lambda: answer(url) is not None), running.log()
    assert running.total("Basic") == others + ENTRIES
