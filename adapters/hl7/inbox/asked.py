"""Stored orders of the specimens that records name."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from adapters.hl7.laboratory.specimen_orders import Found, by_specimen, other
from adapters.hl7.profiles.analyzer_tests import Tests
from adapters.hl7.profiles.model import SourceProfile
from adapters.hl7.records.answered import Candidate, Number
from fhir_server.server import Server

# An order that results made themselves names no specimen, and is not found here.
_STATUSES: Final = "active,on-hold,completed"
_ACTIVE: Final = frozenset(("active", "on-hold"))
# A number means the orders that changed in so many days before; then it is used again.
_RECENT: Final = timedelta(days=30)

Json = dict[str, Any]


async def orders(
    server: Server, specimens: Collection[str], profile: SourceProfile | None
) -> Mapping[str, Sequence[Candidate]]:
    """Return the orders of specimens, by their numbers as the analyzer knows them."""
    found = await by_specimen(server, specimens, _STATUSES)
    requests = {one["id"]: one for own in found.values() for one in own.requests}
    shared, tests = _shared(list(requests.values())), Tests(profile)
    return {number: list(_candidates(own, shared, tests)) for number, own in found.items()}


def _candidates(found: Found, shared: set[Number], tests: Tests) -> Iterator[Candidate]:
    since = datetime.now(UTC) - _RECENT
    for request in found.requests:
        yield Candidate(
            code=tests.code(request),
            number=_own(request, shared),
            patient=request.get("subject", {}).get("reference", ""),
            identifiers=tuple(_numbers(other(found, request.get("subject")) or {})),
            active=request["status"] in _ACTIVE,
            recent=datetime.fromisoformat(request["meta"]["lastUpdated"]) >= since,
        )


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
