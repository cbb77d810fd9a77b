"""Loading of files by the server's own interactions.

A transaction or batch Bundle is carried out, a collection's or searchset's
resources are stored, any other resource is stored: under its id if it has one.
What refers to something that is not there yet is tried again after the rest.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

from fhir_server.caller import Caller
from fhir_server.errors import BadRequest, SangamError, Unprocessable
from fhir_server.interactions.bundle import bundle
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.main.sources import Document, documents, files
from fhir_server.r4 import json
from fhir_server.server import Server
from fhir_server.store.attempts import atomically

CALLER = Caller("load", "cli")
# Resources stored in one transaction.
CHUNK = 200
# What waits for its references lies in memory up to this size, then on disk.
SPOOL_BYTES = 64 << 20


@dataclass(slots=True)
class Summary:
    """What was stored by type, and what was refused: (document, place, reason)."""

    stored: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, str, str]] = field(default_factory=list)

    def refuse(self, name: str, error: SangamError) -> None:
        """Note a refusal with its first issue."""
        issue = error.issues[0]
        self.refused.append((name, issue.expression or "", issue.text))


async def load(
    server: Server, paths: list[Path], *, jobs: int, advance: Callable[[int], None]
) -> Summary:
    """Load all files, `jobs` transactions at a time, and return what came of them.

    `advance` is called with each number of bytes that are done.
    """
    loading = Loading(server, jobs)
    for path in files(paths):
        for document in documents(path):
            await loading.take(document)
        advance(path.stat().st_size)
    await loading.settle()
    return loading.summary


class Waiting:
    """Documents that refer to what is not there yet, in the order they came."""

    def __init__(self) -> None:
        self.count = 0
        self._spool: IO[bytes] | None = None

    def add(self, document: Document) -> None:
        """Keep a document."""
        if self._spool is None:
            self._spool = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115  (lives on)
        self._spool.write(msgspec.json.encode((document.name, document.raw)) + b"\n")
        self.count += 1

    def empty(self) -> Iterator[Document]:
        """Return the documents, all of one rank, and forget them."""
        if self._spool is None:
            return
        with self._spool as lines:
            lines.seek(0)
            for line in lines:
                name, raw = msgspec.json.decode(line, type=tuple[str, bytes])
                yield Document(name, raw)


class Loading:
    """Transactions under way, the resources of the next one, and what waits."""

    def __init__(self, server: Server, jobs: int) -> None:
        self.summary = Summary()
        self._server = server
        self._places = asyncio.Semaphore(jobs)
        self._tasks: set[asyncio.Task[None]] = set()
        self._chunk: list[tuple[Document, Entry]] = []
        self._rank = 0
        self._waiting = Waiting()
        self._patient = True

    async def take(self, document: Document) -> None:
        """Store a document beside others of its rank, after all of a lower one."""
        if document.rank != self._rank:
            await self._flush()
            self._rank = document.rank
        try:
            entries = _entries(document)
        except SangamError as error:
            self.summary.refuse(document.name, error)
            return
        if entries is None:
            await self._start(self._bundle(document))
            return
        self._chunk += entries
        while len(self._chunk) >= CHUNK:
            ready, self._chunk = self._chunk[:CHUNK], self._chunk[CHUNK:]
            await self._start(self._store(ready))

    async def settle(self) -> None:
        """Finish what was taken; try what waits again for as long as that helps."""
        await self._flush()
        while self._waiting.count:
            waiting, self._waiting = self._waiting, Waiting()
            for document in waiting.empty():
                await self.take(document)
            await self._flush()
            self._patient = self._waiting.count < waiting.count

    async def _flush(self) -> None:
        if self._chunk:
            ready, self._chunk = self._chunk, []
            await self._start(self._store(ready))
        await asyncio.gather(*self._tasks)

    async def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Start `work` as soon as fewer than the allowed number are under way."""
        await self._places.acquire()
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._places.release()
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)

    def _refused(self, document: Document, error: SangamError) -> None:
        if self._patient and _dangles(error):
            self._waiting.add(document)
        else:
            self.summary.refuse(document.name, error)

    async def _bundle(self, document: Document) -> None:
        try:
            answer = await bundle(self._server, CALLER, document.raw)
        except SangamError as error:
            self._refused(document, error)
            return
        for given in msgspec.json.decode(answer).get("entry", ()):
            response = given["response"]
            if response["status"][0] == "2":
                place = response.get("location", "").rsplit("/", 4)
                self.summary.stored[place[1] if len(place) > 1 else "(other)"] += 1
            else:
                issue = response["outcome"]["issue"][0]
                place_of = issue.get("expression", [""])[0]
                self.summary.refused.append((document.name, place_of, issue["details"]["text"]))

    async def _store(self, chunk: Sequence[tuple[Document, Entry]]) -> None:
        """Store a chunk in one transaction; when it is refused, each half, down to the culprit."""
        entries = [entry for _, entry in chunk]
        several = len(chunk) > 1
        try:
            outcomes = await atomically(
                self._server.database,
                lambda connection: transaction(
                    self._server, connection, CALLER, entries, bundle=several
                ),
            )
        except SangamError as error:
            if not several:
                self._refused(chunk[0][0], error)
                return
            middle = len(chunk) // 2
            await self._store(chunk[:middle])
            await self._store(chunk[middle:])
            return
        self.summary.stored.update(outcome.type for outcome in outcomes)


def _dangles(error: SangamError) -> bool:
    """Say whether nothing is wrong but a reference that leads nowhere (yet)."""
    return isinstance(error, Unprocessable) and all(
        issue.code == "not-found" for issue in error.issues
    )


def _entries(document: Document) -> list[tuple[Document, Entry]] | None:
    """Return what to store, None for a Bundle that is to be carried out."""
    data = json.decode(document.raw)
    if not isinstance(data, dict) or not isinstance(data.get("resourceType"), str):
        raise BadRequest("The document is not a resource", code="structure")
    if data["resourceType"] != "Bundle" or data.get("type") in {"document", "message"}:
        return [(document, _entry(data, document.raw))]
    if data.get("type") in {"transaction", "batch"}:
        return None
    return [
        (Document(f"{document.name}[{n}]", json.encode(resource)), _entry(resource, None))
        for n, resource in enumerate(_contents(data))
    ]


def _contents(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        entry["resource"]
        for entry in data.get("entry", ())
        if isinstance(entry, dict) and isinstance(entry.get("resource"), dict)
    ]


def _entry(data: dict[str, Any], raw: bytes | None) -> Entry:
    type_name, id_ = data.get("resourceType"), data.get("id")
    if id_ is None:
        return Entry("POST", f"{type_name}", data, raw)
    return Entry("PUT", f"{type_name}/{id_}", data, raw)
