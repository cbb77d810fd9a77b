"""Stored orders, found by the specimens that they are about."""

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from adapters.hl7.mapping.datatypes.hd import escaped
from adapters.hl7.records.query import Request
from fhir_server.caller import trusted
from fhir_server.errors import BadRequest
from fhir_server.interactions.search import search
from fhir_server.r4 import json
from fhir_server.server import Server

MOST: Final = 200
"""So many orders one search returns."""

_CALLER: Final = trusted("astm", "hl7")
_SPECIMENS_AT_ONCE: Final = 100
# By the number that the label carries: the specimen's own, or its container's.
_BY_SPECIMEN: Final = ("specimen.identifier", "specimen.container-id")
_INCLUDES: Final = tuple(
    ("_include", f"ServiceRequest:{name}") for name in ("subject", "specimen", "requester")
)

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """Orders that were found, and what they speak of, by reference."""

    requests: tuple[Json, ...]
    others: Mapping[str, Json]


NOTHING: Final = Found((), {})


async def active(server: Server, request: Request) -> list[tuple[str, Found]]:
    """Return active orders for each specimen or patient asked for, with the specimen's number.

    The number is "" where a patient's orders, or all, were asked for. The oldest come first.
    """
    found: list[tuple[str, Found]] = []
    for patient, specimen in request.named:
        if specimen:
            found.append((specimen, _only(await _labelled(server, specimen), patient)))
        else:
            found.append(("", await of(server, [("subject:Patient.identifier", escaped(patient))])))
    if not request.named:
        found.append(("", await of(server, [])))
    return found


async def _labelled(server: Server, specimen: str) -> Found:
    try:
        found = (await by_specimen(server, [specimen], "active")).get(specimen, NOTHING)
    except BadRequest:  # what no label can say
        return NOTHING
    return Found(found.requests[::-1], found.others)


async def of(server: Server, pairs: Sequence[tuple[str, str]], status: str = "active") -> Found:
    """Return orders by a search, at most 200, the oldest first."""
    asked = [*pairs, ("status", status), *_INCLUDES]
    asked += [("_sort", "_lastUpdated"), ("_count", str(MOST))]
    try:
        bundle = json.decode(await search(server, _CALLER, "ServiceRequest", asked))
    except BadRequest:
        return NOTHING
    return _found(entry["resource"] for entry in _entries(bundle))


async def by_specimen(server: Server, numbers: Collection[str], status: str) -> Mapping[str, Found]:
    """Return all orders of specimens in these states, by the numbers, the newest first.

    An order of a specimen that no order knows by its own number is found by its container's.
    """
    found: dict[str, Found] = {}
    for name in _BY_SPECIMEN:
        wanted = sorted(set(numbers) - found.keys())
        for start in range(0, len(wanted), _SPECIMENS_AT_ONCE):
            some = wanted[start : start + _SPECIMENS_AT_ONCE]
            pairs = [(name, ",".join(map(escaped, some))), ("status", status)]
            page = _found([one async for one in _all(server, pairs)])
            found |= {number: own for number in some if (own := _own(page, number)).requests}
    return found


async def _all(server: Server, pairs: Sequence[tuple[str, str]]) -> AsyncIterator[Json]:
    """Yield what a search finds on all its pages, and what did not fit on them."""
    waiting = [[*pairs, *_INCLUDES, ("_sort", "-_lastUpdated"), ("_count", str(MOST))]]
    while waiting:
        bundle = json.decode(await search(server, _CALLER, "ServiceRequest", waiting.pop()))
        for entry in _entries(bundle):
            yield entry["resource"]
        links = {one["url"] for one in bundle["link"] if one["relation"] in {"next", "related"}}
        waiting += [parse_qsl(urlsplit(url).query) for url in links]


def _entries(bundle: Json) -> Iterator[Json]:
    return (one for one in bundle.get("entry", ()) if one["search"]["mode"] != "outcome")


def _found(resources: Iterable[Json]) -> Found:
    known = {f"{one['resourceType']}/{one['id']}": one for one in resources}
    orders = tuple(one for one in known.values() if one["resourceType"] == "ServiceRequest")
    return Found(orders, known)


def _own(found: Found, number: str) -> Found:
    """Return the orders of one specimen."""
    own = [one for one in found.requests if number in _labels(found, one)]
    return Found(tuple(own), found.others)


def _labels(found: Found, request: Json) -> Iterator[str]:
    for reference in request.get("specimen", ()):
        specimen = other(found, reference) or {}
        for part in (specimen, *specimen.get("container", ())):
            yield from (one["value"] for one in part.get("identifier", ()) if "value" in one)


def _only(found: Found, patient: str) -> Found:
    """Leave out what is another patient's, if the analyzer named one that we know."""
    if not patient:
        return found
    own = [one for one in found.requests if patient in _values(other(found, one.get("subject")))]
    return Found(tuple(own), found.others)


def _values(resource: Json | None) -> set[str]:
    return {one.get("value", "") for one in (resource or {}).get("identifier", ())}


def other(found: Found, reference: Json | None) -> Json | None:
    """Return what an order refers to, None where it is not there."""
    return found.others.get((reference or {}).get("reference", ""))


def specimen_of(found: Found, request: Json) -> Json | None:
    """Return the first specimen of an order, None where it is not there."""
    references = request.get("specimen", ())
    return other(found, references[0]) if references else None


def number_on(specimen: Json | None) -> str:
    """Return the number that stands on a specimen: the keys made here are none."""
    if specimen is None:
        return ""
    told = [*specimen.get("identifier", ()), specimen.get("accessionIdentifier", {})]
    return next((text for one in told if (text := shown(one))), "")


def shown(identifier: Json) -> str:
    """Return an identifier as people read it, "" for a key made here."""
    made = str(identifier.get("system", "")).endswith("/hl7/key")
    return "" if made else str(identifier.get("value", ""))
