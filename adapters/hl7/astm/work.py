"""Orders that an analyzer is to do, found among the active ServiceRequests."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from adapters.hl7.mapping.datatypes.hd import escaped
from adapters.hl7.profiles.analyzer_tests import Tests
from adapters.hl7.profiles.model import SourceProfile
from adapters.hl7.records.answer import Ordered
from adapters.hl7.records.query import Request
from fhir_server.caller import Caller
from fhir_server.errors import BadRequest
from fhir_server.interactions.search import search
from fhir_server.r4 import json
from fhir_server.server import Server

CALLER: Final = Caller("astm", "hl7")
MOST: Final = 200
"""So many orders one search returns."""
_INCLUDES: Final = (
    ("_include", "ServiceRequest:subject"),
    ("_include", "ServiceRequest:specimen"),
    ("_include", "ServiceRequest:requester"),
    ("_sort", "_lastUpdated"),
    ("_count", str(MOST)),
)
# By the number that the label carries: the specimen's own, or its container's.
_BY_SPECIMEN: Final = ("specimen.identifier", "specimen.container-id")
_PRIORITY: Final = {"stat": "S", "asap": "A", "urgent": "A", "routine": "R"}
_GENDER: Final = {"male": "M", "female": "F", "other": "U", "unknown": "U"}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """Orders that were found, and what they speak of, by reference."""

    requests: tuple[Json, ...]
    others: Mapping[str, Json]


async def active(server: Server, request: Request) -> list[tuple[str, Found]]:
    """Return active orders for each specimen or patient asked for, with the specimen's number.

    The number is "" where a patient's orders, or all, were asked for.
    """
    found: list[tuple[str, Found]] = []
    for patient, specimen in request.named:
        if specimen:
            named = [await of(server, [(name, escaped(specimen))]) for name in _BY_SPECIMEN]
            first = next((one for one in named if one.requests), named[0])
            found.append((specimen, _only(first, patient)))
        else:
            found.append(("", await of(server, [("subject:Patient.identifier", escaped(patient))])))
    if not request.named:
        found.append(("", await of(server, [])))
    return found


def _only(found: Found, patient: str) -> Found:
    """Leave out what is another patient's, if the analyzer named one that we know."""
    if not patient:
        return found
    own = tuple(
        one for one in found.requests if patient in _values(_other(found, one.get("subject")))
    )
    return Found(own, found.others)


def _values(resource: Json | None) -> set[str]:
    return {one.get("value", "") for one in (resource or {}).get("identifier", ())}


async def of(server: Server, pairs: Sequence[tuple[str, str]], status: str = "active") -> Found:
    """Return orders by a search, at most 200; with a specimen only."""
    asked = [*pairs, ("status", status), *_INCLUDES]
    try:
        bundle = json.decode(await search(server, CALLER, "ServiceRequest", asked))
    except BadRequest:
        return Found((), {})
    entries = bundle.get("entry", ())
    requests = tuple(
        one["resource"] for one in entries if one.get("search", {}).get("mode") == "match"
    )
    others = {
        f"{one['resource']['resourceType']}/{one['resource']['id']}": one["resource"]
        for one in entries
    }
    return Found(requests, others)


def zone_of(server: Server, profile: SourceProfile | None) -> tzinfo:
    """Return the zone in which an analyzer reads and writes times."""
    own = profile.time.tz if profile else None
    name = server.settings.hl7.timezone
    return own or (UTC if name == "UTC" else ZoneInfo(name))


def ordered(
    found: Found, specimen: str, tests: Tests, wanted: Iterable[str], zone: tzinfo
) -> list[Ordered]:
    """Return the orders that the analyzer can do, one for each patient, specimen and priority.

    `wanted` are the analyzer's codes that it asked for, none for all.
    """
    only = frozenset(wanted)
    groups: dict[tuple[str, str, str], list[tuple[str, Json]]] = {}
    for request in found.requests:
        code = tests.code(request)
        if not code or (only and code not in only):
            continue
        number = specimen or number_on(specimen_of(found, request))
        if number:
            subject = request.get("subject", {}).get("reference", "")
            key = (subject, number, _PRIORITY.get(request.get("priority", ""), "R"))
            groups.setdefault(key, []).append((code, request))
    return [_ordered(found, key, group, zone) for key, group in groups.items()]


def _ordered(
    found: Found, key: tuple[str, str, str], group: Sequence[tuple[str, Json]], zone: tzinfo
) -> Ordered:
    _, number, priority = key
    first = group[0][1]
    patient = _other(found, first.get("subject")) or {}
    specimen = specimen_of(found, first) or {}
    collection = specimen.get("collection", {})
    collected = collection.get("collectedDateTime") or collection.get("collectedPeriod", {}).get(
        "start", ""
    )
    return Ordered(
        specimen=number,
        tests=tuple(dict.fromkeys(code for code, _ in group)),
        patient=_patient_number(patient),
        name=_name(patient),
        birth_date=patient.get("birthDate", "").replace("-", ""),
        gender=_GENDER.get(patient.get("gender", ""), ""),
        priority=priority,
        ordered=_moment(first.get("authoredOn", ""), zone),
        collected=_moment(collected, zone),
        specimen_type=_first_code(specimen.get("type", {})),
        physician=_physician(found, first),
    )


def _other(found: Found, reference: Json | None) -> Json | None:
    return found.others.get((reference or {}).get("reference", ""))


def specimen_of(found: Found, request: Json) -> Json | None:
    """Return the first specimen of an order, None where it is not there."""
    references = request.get("specimen", ())
    return _other(found, references[0]) if references else None


def number_on(specimen: Json | None) -> str:
    """Return the number that stands on a specimen: the keys made here are none."""
    if specimen is None:
        return ""
    told = [*specimen.get("identifier", ()), specimen.get("accessionIdentifier", {})]
    return next((text for one in told if (text := _shown(one))), "")


def _shown(identifier: Json) -> str:
    made = str(identifier.get("system", "")).endswith("/hl7/key")
    return "" if made else str(identifier.get("value", ""))


def _patient_number(patient: Json) -> str:
    """Return the medical record number, else the first identifier."""
    told = patient.get("identifier", ())
    records = [
        one
        for one in told
        if any(c.get("code") == "MR" for c in one.get("type", {}).get("coding", ()))
    ]
    return next((text for one in (*records, *told) if (text := _shown(one))), "")


def _name(patient: Json) -> tuple[str, ...]:
    names = patient.get("name", ())
    return (names[0].get("family", ""), *names[0].get("given", ())) if names else ()


def _physician(found: Found, request: Json) -> tuple[str, ...]:
    person = _other(found, request.get("requester")) or {}
    if person.get("resourceType") != "Practitioner":
        return ()
    told = person.get("identifier", ())
    return (next((text for one in told if (text := _shown(one))), ""), *_name(person))


def _first_code(concept: Json) -> str:
    codings = concept.get("coding", ())
    return str(codings[0].get("code", "")) if codings else ""


def _moment(text: str, zone: tzinfo) -> str:
    """Return a dateTime as the analyzer writes times, in its zone."""
    if "T" not in text:
        return text.replace("-", "")
    return datetime.fromisoformat(text).astimezone(zone).strftime("%Y%m%d%H%M%S")
