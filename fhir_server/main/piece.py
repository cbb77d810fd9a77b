"""A piece of a load: some documents, stored by one process.

A transaction or batch Bundle is carried out, a collection's or searchset's
resources are stored, any other resource is stored: under its id if it has one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from fhir_server.caller import trusted
from fhir_server.errors import BadRequest, SangamError, Unprocessable
from fhir_server.interactions.bundle import bundle
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.main.sources import Document
from fhir_server.r4 import json
from fhir_server.server import Server
from fhir_server.store.attempts import atomically

CALLER = trusted("load", "cli")

Refusal: TypeAlias = tuple[str, str, str]
"""Document, place in it, reason."""

Placed: TypeAlias = tuple[Document, Entry]
"""Where the resource lies, and what to store."""


@dataclass(slots=True)
class Done:
    """What came of a piece.

    `dangling` are the documents with which nothing is wrong but a reference that
    leads nowhere (yet).
    """

    stored: Counter[str] = field(default_factory=Counter)
    refused: list[Refusal] = field(default_factory=list)
    dangling: list[tuple[Document, Refusal]] = field(default_factory=list)


async def store(server: Server, piece: Sequence[Document]) -> Done:
    """Store the documents: each Bundle by itself, all other resources together."""
    done = Done()
    together: list[Placed] = []
    for document in piece:
        try:
            found = _entries(document)
        except SangamError as error:
            done.refused.append(_refusal(document, error))
            continue
        if found is None:
            await _bundle(server, document, done)
        else:
            together += found
    if together:
        await _together(server, together, done)
    return done


async def _together(server: Server, some: Sequence[Placed], done: Done) -> None:
    """Store some in one transaction; when it is refused, each half, down to the culprit."""
    entries = [entry for _, entry in some]
    several = len(some) > 1
    try:
        outcomes = await atomically(
            server.database,
            lambda connection: transaction(server, connection, CALLER, entries, bundle=several),
        )
    except SangamError as error:
        if several:
            middle = len(some) // 2
            await _together(server, some[:middle], done)
            await _together(server, some[middle:], done)
        else:
            _refuse(done, some[0][0], error)
        return
    done.stored.update(outcome.type for outcome in outcomes)


async def _bundle(server: Server, document: Document, done: Done) -> None:
    try:
        answer = await bundle(server, CALLER, document.raw)
    except SangamError as error:
        _refuse(done, document, error)
        return
    for given in msgspec.json.decode(answer).get("entry", ()):
        response = given["response"]
        if response["status"][0] == "2":
            named = response.get("location", "").rsplit("/", 4)
            done.stored[named[1] if len(named) > 1 else "(other)"] += 1
        else:
            issue = response["outcome"]["issue"][0]
            where = issue.get("expression", [""])[0]
            done.refused.append((document.name, where, issue["details"]["text"]))


def _refuse(done: Done, document: Document, error: SangamError) -> None:
    dangles = isinstance(error, Unprocessable) and all(
        issue.code == "not-found" for issue in error.issues
    )
    if dangles:
        done.dangling.append((document, _refusal(document, error)))
    else:
        done.refused.append(_refusal(document, error))


def _refusal(document: Document, error: SangamError) -> Refusal:
    issue = error.issues[0]
    return document.name, issue.expression or "", issue.text


def _entries(document: Document) -> list[Placed] | None:
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
