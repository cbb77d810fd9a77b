"""Loading of files by the server's own interactions.

A transaction or batch Bundle is carried out, a collection's or searchset's
resources are stored, any other resource is stored: under its id if it has one.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from fhir_server.caller import Caller
from fhir_server.errors import BadRequest, SangamError
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
    summary = Summary()
    for path in files(paths):
        await _file(server, path, jobs, summary)
        advance(path.stat().st_size)
    return summary


async def _file(server: Server, path: Path, jobs: int, summary: Summary) -> None:
    """Load one file; its documents may go side by side, but not before an earlier file's."""
    places = asyncio.Semaphore(jobs)
    async with asyncio.TaskGroup() as group:
        chunk: list[tuple[Document, Entry]] = []
        for document in documents(path):
            try:
                entries = _entries(document)
            except SangamError as error:
                summary.refuse(document.name, error)
                continue
            if entries is None:
                await _started(group, places, _bundle(server, document, summary))
                continue
            chunk += [(document, entry) for entry in entries]
            while len(chunk) >= CHUNK:
                ready, chunk = chunk[:CHUNK], chunk[CHUNK:]
                await _started(group, places, _chunk(server, ready, summary))
        if chunk:
            await _started(group, places, _chunk(server, chunk, summary))


async def _started(group: asyncio.TaskGroup, places: asyncio.Semaphore, work: Any) -> None:  # noqa: ANN401
    """Start `work` as soon as fewer than the allowed number are under way."""
    await places.acquire()
    task = group.create_task(work)
    task.add_done_callback(lambda _: places.release())


def _entries(document: Document) -> list[Entry] | None:
    """Return what to store, None for a Bundle that is to be carried out."""
    data = json.decode(document.raw)
    if not isinstance(data, dict) or not isinstance(data.get("resourceType"), str):
        raise BadRequest("The document is not a resource", code="structure")
    if data["resourceType"] != "Bundle" or data.get("type") in {"document", "message"}:
        return [_store(data, document.raw)]
    if data.get("type") in {"transaction", "batch"}:
        return None
    resources = (
        entry["resource"]
        for entry in data.get("entry", ())
        if isinstance(entry, dict) and isinstance(entry.get("resource"), dict)
    )
    return [_store(resource, None) for resource in resources]


def _store(data: dict[str, Any], raw: bytes | None) -> Entry:
    type_name, id_ = data.get("resourceType"), data.get("id")
    if id_ is None:
        return Entry("POST", f"{type_name}", data, raw)
    return Entry("PUT", f"{type_name}/{id_}", data, raw)


async def _bundle(server: Server, document: Document, summary: Summary) -> None:
    try:
        answer = await bundle(server, CALLER, document.raw)
    except SangamError as error:
        summary.refuse(document.name, error)
        return
    for given in msgspec.json.decode(answer).get("entry", ()):
        response = given["response"]
        if response["status"][0] == "2":
            place = response.get("location", "").rsplit("/", 4)
            summary.stored[place[1] if len(place) > 1 else "(other)"] += 1
        else:
            issue = response["outcome"]["issue"][0]
            place_of = issue.get("expression", [""])[0]
            summary.refused.append((document.name, place_of, issue["details"]["text"]))


async def _chunk(server: Server, chunk: Sequence[tuple[Document, Entry]], summary: Summary) -> None:
    """Store a chunk in one transaction; when it is refused, each half, down to the culprit."""
    entries = [entry for _, entry in chunk]
    try:
        outcomes = await atomically(
            server.database, lambda connection: transaction(server, connection, CALLER, entries)
        )
    except SangamError as error:
        if len(chunk) == 1:
            summary.refuse(chunk[0][0].name, error)
            return
        middle = len(chunk) // 2
        await _chunk(server, chunk[:middle], summary)
        await _chunk(server, chunk[middle:], summary)
        return
    summary.stored.update(outcome.type for outcome in outcomes)
