"""The searchset Bundle, joined from stored bytes.

https://hl7.org/fhir/R4/bundle.html#searchset
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, urlencode

from fhir_server.errors import Issue
from fhir_server.r4.outcome import operation_outcome
from fhir_server.r4.summary import summarised, with_elements
from fhir_server.search.compartment import Compartment
from fhir_server.search.pagetoken import Page, Rest
from fhir_server.search.query import Pair, Query
from fhir_server.server import Server

# What store/text.py writes at the head of each text.
_HEAD = re.compile(rb'\{"resourceType":"(\w+)","id":"([^"]+)"')


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client searches: a type (None: all), perhaps inside a compartment.

    `page` is what the link says by which the client came, if it came by one.
    """

    type: str | None
    pairs: Sequence[Pair]
    compartment: Compartment | None = None
    lenient: bool = False
    page: Page | Rest | None = None

    @property
    def path(self) -> str:
        """Return the path of the search below the base."""
        inside = f"/{self.compartment.type}/{self.compartment.id}" if self.compartment else ""
        return f"{inside}/{self.type or '*'}" if self.type or inside else ""


def url(server: Server, asked: Asked, pairs: Sequence[Pair]) -> str:
    """Return the URL of the search with these parameters."""
    query = urlencode(pairs, safe=":/,|$", quote_via=quote)
    path = f"{server.base}{asked.path}"
    return f"{path}?{query}" if query else path


def _part(server: Server, query: Query, body: bytes) -> bytes:
    """Return the part of a resource that the query shows; mostly the whole, untouched."""
    if query.elements:
        types = [server.definitions.type_names[one] for one in query.type_ids]
        return with_elements(server.definitions, body, query.elements, types)
    if query.summary in ("true", "text", "data"):
        return summarised(server.definitions, body, query.summary)
    return body


def match(server: Server, query: Query, body: bytes) -> bytes:
    """Return the entry of a match."""
    return _entry(server, _part(server, query, body), b"match")


def include(server: Server, query: Query, body: bytes) -> bytes:
    """Return the entry of an included resource; `_elements` is not for it."""
    whole = replace(query, elements=()) if query.elements else query
    return _entry(server, _part(server, whole, body), b"include")


def _entry(server: Server, body: bytes, mode: bytes) -> bytes:
    head = _HEAD.match(body)
    assert head is not None
    return b'{"fullUrl":"%b/%b/%b","resource":%b,"search":{"mode":"%b"}}' % (
        server.base.encode(),
        head[1],
        head[2],
        body,
        mode,
    )


def outcome(issues: Sequence[Issue]) -> bytes:
    """Return the entry of an OperationOutcome."""
    return b'{"resource":%b,"search":{"mode":"outcome"}}' % operation_outcome(issues)


def bundle(links: Sequence[tuple[str, str]], total: int | None, entries: Sequence[bytes]) -> bytes:
    """Return the text of the Bundle; `links` are (relation, URL)."""
    link = ",".join(f'{{"relation":"{relation}","url":"{url}"}}' for relation, url in links)
    return b'{"resourceType":"Bundle","type":"searchset"%b,"link":[%b]%b}' % (
        b"" if total is None else b',"total":%d' % total,
        link.encode(),
        b',"entry":[%b]' % b",".join(entries) if entries else b"",
    )
