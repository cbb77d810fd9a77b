"""A search parameter is defined while others read and write, and the reindex is killed twice.

No resource is missed and the server answers throughout. SANGAM_REINDEX_SIZE sets the
number of resources (default small).
"""

import itertools
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flows.running import Running

SIZE = int(os.environ.get("SANGAM_REINDEX_SIZE", "1500"))
CHUNK = 250
WAIT = 60 + SIZE / 100
HEARD_SECONDS = 1.5

pytestmark = [pytest.mark.timeout(600 + SIZE / 50), pytest.mark.xdist_group("server")]

Json = dict[str, Any]
DEFINITION: Json = {
    "resourceType": "SearchParameter",
    "id": "race",
    "url": "http://site.test/SearchParameter/race",
    "name": "race",
    "status": "active",
    "description": "For a test",
    "code": "race",
    "base": ["Patient"],
    "type": "token",
    "expression": "Patient.extension('urn:race').value",
}


def patient(id_: str) -> Json:
    extension = [{"url": "urn:race", "valueCode": "blue"}]
    return {"resourceType": "Patient", "id": id_, "extension": extension, "gender": "female"}


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    # One batch after another, so that a held resource stops the walk where it is.
    monkeypatch.setenv("SANGAM_SEARCH__REINDEX_WORKERS", "1")
    monkeypatch.setenv("SANGAM_SEARCH__REINDEX_BATCH", str(max(20, SIZE // 100)))
    server = Running(tmp_path / "data")
    server.start("--processes", "2")
    yield server
    server.end()


def send(running: Running, method: str, path: str, body: Json) -> int:
    request = urllib.request.Request(
        f"{running.said['base']}/{path}".rstrip("/"),
        json.dumps(body).encode(),
        {"Content-Type": "application/fhir+json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return int(response.status)


def load(running: Running) -> None:
    for first in range(0, SIZE, CHUNK):
        entries = [
            {
                "resource": patient(f"old{number}"),
                "request": {"method": "PUT", "url": f"Patient/old{number}"},
            }
            for number in range(first, min(first + CHUNK, SIZE))
        ]
        body = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        assert send(running, "POST", "", body) == 200


class Others:
    """Who reads and writes all the while: what was written, and what was refused."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.numbers = itertools.count()
        self.written: list[str] = []
        self.reads = 0
        self.refused: list[str] = []

    @contextmanager
    def busy(self) -> Iterator[None]:
        stop = threading.Event()
        threads = [
            threading.Thread(target=self._repeat, args=(stop, work))
            for work in (self._write, self._write, self._read)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(60)

    def _repeat(self, stop: threading.Event, work: Callable[[], None]) -> None:
        while not stop.wait(0.01):
            try:
                work()
            except OSError as error:
                self.refused.append(repr(error))

    def _write(self) -> None:
        id_ = f"new{next(self.numbers)}"
        if send(self.running, "PUT", f"Patient/{id_}", patient(id_)) == 201:
            self.written.append(id_)

    def _read(self) -> None:
        self.running.get(f"Patient/old{self.reads % SIZE}")
        self.running.get("Patient?gender=female&_count=5&_total=none")
        self.reads += 1


@contextmanager
def held(running: Running, place: int) -> Iterator[None]:
    """Hold the resource at this place in the order of the walk, which waits for it."""
    with psycopg.connect(running.database) as connection:
        connection.execute(
            "SELECT FROM resource WHERE key = (SELECT t.key FROM terms t JOIN resource o"
            " ON o.type_id = t.type_id AND o.id = 'old0' ORDER BY t.key LIMIT 1 OFFSET %s)"
            " FOR UPDATE",
            (place,),
        )
        yield
        with suppress(psycopg.OperationalError):
            connection.rollback()


def done(running: Running) -> int:
    with psycopg.connect(running.database) as connection:
        row = connection.execute("SELECT coalesce(sum(done), 0) FROM reindex_part").fetchone()
    assert row is not None
    return int(row[0])


def waits(running: Running) -> bool:
    """Whether the walk waits for the resource that is held."""
    with psycopg.connect(running.database) as connection:
        sql = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND query LIKE '%FOR NO KEY UPDATE OF r%' AND query LIKE '%idx_code%'"
        )
        return connection.execute(sql).fetchone() != (0,)


def test_a_reindex_killed_twice_misses_no_resource(running: Running) -> None:
    others = Others(running)
    load(running)
    with others.busy():
        with held(running, SIZE // 3):
            assert send(running, "PUT", "SearchParameter/race", DEFINITION) == 201
            with pytest.raises(urllib.error.HTTPError) as refused:
                running.get("Patient?race=blue")
            assert refused.value.code == 400
            assert running.until(WAIT, lambda: waits(running)), running.log()
            first = done(running)
            os.kill(running.said["children"]["worker"], signal.SIGKILL)
        with held(running, 2 * SIZE // 3):
            assert running.until(WAIT, lambda: waits(running)), running.log()
            second = done(running)
    assert 0 < first <= SIZE // 3 <= second <= 2 * SIZE // 3
    assert others.refused == []
    assert others.reads > 0
    running.kill(database=True)

    running.start("--processes", "2")
    with others.busy():
        assert running.until(WAIT, lambda: searchable(running)), running.log()
        # The other process may hear of that a second later (docs/search.md).
        time.sleep(HEARD_SECONDS)
    assert others.refused == []
    assert running.total("Patient?race=blue") == SIZE + len(others.written)
    # A URL has its limit, and a slow machine writes more in the meantime than it could name.
    last = others.written[-100:]
    assert running.total("Patient?race=blue&_id=" + ",".join(last)) == len(last)


def searchable(running: Running) -> bool:
    try:
        running.get("Patient?race=blue&_count=1&_total=none")
    except urllib.error.HTTPError:
        return False
    return True
