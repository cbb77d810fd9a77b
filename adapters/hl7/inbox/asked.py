"""Stored orders of the specimens that records name."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from adapters.hl7.mapping.datatypes.hd import escaped
from adapters.hl7.profiles.analyzer_tests import Tests
from adapters.hl7.profiles.model import SourceProfile
from adapters.hl7.records.answered import Candidate, Number
from fhir_server.caller import Caller
from fhir_server.interactions.search import search
from fhir_server.r4 import json
from fhir_server.server import Server

_CALLER: Final = Caller("astm", "hl7")
# An order that results made themselves names no specimen, and is not found here.
_STATUSES: Final = "active,on-hold,completed"
_ACTIVE: Final = frozenset(("active", "on-hold"))
# A number means the orders that changed in so many days before; then it is used again.
_RECENT: Final = timedelta(days=30)
_PAGE: Final = 200
_SPECIMENS_AT_ONCE: Final = 100
_BY_SPECIMEN: Final = ("specimen.identifier", "specimen.container-id")

Json = dict[str, Any]


async def orders(
    server: Server, specimens: Collection[str], profile: SourceProfile | None
) -> Mapping[str, Sequence[Candidate]]:
    """Return the orders of specimens, by their numbers as the analyzer knows them."""
    found: dict[str, list[Candidate]] = {}
    tests = Tests(profile)
    for name in _BY_SPECIMEN:
        wanted = sorted(set(specimens) - found.keys())
        if wanted:
            for number, one in _candidates(await _search(server, name, wanted), tests):
                if number in wanted:
                    found.setdefault(number, []).append(one)
    return found


async def _search(server: Server, name: str, specimens: Sequence[str]) -> list[Json]:
    """Return the orders of specimens, with their subjects and specimens, from all pages."""
    found: dict[str, Json] = {}
    for start in range(0, len(specimens), _SPECIMENS_AT_ONCE):
        values = ",".join(escaped(one) for one in specimens[start : start + _SPECIMENS_AT_ONCE])
        first = [
            (name, values),
            ("status", _STATUSES),
            ("_include", "ServiceRequest:subject"),
            ("_include", "ServiceRequest:specimen"),
            ("_sort", "-_lastUpdated"),
            ("_count", str(_PAGE)),
        ]
        async for one in _pages(server, first):
            found[f"{one['resourceType']}/{one['id']}"] = one
    return list(found.values())


async def _pages(server: Server, first: list[tuple[str, str]]) -> AsyncIterator[Json]:
    """Yield what a search finds on all its pages, and what did not fit on them."""
    waiting = [first]
    while waiting:
        bundle = json.decode(await search(server, _CALLER, "ServiceRequest", waiting.pop()))
        for entry in bundle.get("entry", ()):
            if entry["search"]["mode"] != "outcome":
                yield entry["resource"]
        links = {one["url"] for one in bundle["link"] if one["relation"] in {"next", "related"}}
        waiting += [parse_qsl(urlsplit(url).query) for url in links]


def _candidates(resources: Sequence[Json], tests: Tests) -> Iterator[tuple[str, Candidate]]:
    others = {f"{one['resourceType']}/{one['id']}": one for one in resources}
    requests = [one for one in resources if one["resourceType"] == "ServiceRequest"]
    shared = _shared(requests)
    since = datetime.now(UTC) - _RECENT
    for request in requests:
        subject = request.get("subject", {}).get("reference", "")
        one = Candidate(
            code=tests.code(request),
            number=_own(request, shared),
            patient=subject,
            identifiers=tuple(_numbers(others.get(subject, {}))),
            active=request["status"] in _ACTIVE,
            recent=datetime.fromisoformat(request["meta"]["lastUpdated"]) >= since,
        )
        for reference in request.get("specimen", ()):
            for number in _labels(others.get(reference.get("reference", ""), {})):
                yield number, one


def _labels(specimen: Json) -> set[str]:
    told = [*specimen.get("identifier", ())]
    for container in specimen.get("container", ()):
        told += container.get("identifier", ())
    return {one["value"] for one in told if "value" in one}


def _numbers(resource: Json) -> Iterator[Number]:
    for one in resource.get("identifier", ()):
        if one.get("system") and one.get("value"):
            kinds = one.get("type", {}).get("coding", ({},))
            yield Number(one["system"], one["value"], kinds[0].get("code", ""))


def _shared(requests: Sequence[Json]) -> set[Number]:
    """Return the numbers that several of these orders have."""
    counted = [number for request in requests for number in set(_numbers(request))]
    return {number for number in counted if counted.count(number) > 1}


def _own(request: Json, shared: set[Number]) -> Number | None:
    """Return a number that no other of the orders has, the placer's first."""
    own = [number for number in _numbers(request) if number not in shared]
    return next((one for one in own if one.kind == "PLAC"), own[0] if own else None)
