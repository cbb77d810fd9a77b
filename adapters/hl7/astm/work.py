"""Orders as an analyzer is told of them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any, Final
from zoneinfo import ZoneInfo

from adapters.hl7.laboratory.specimen_orders import Found, number_on, other, shown, specimen_of
from adapters.hl7.profiles.analyzer_tests import Tests
from adapters.hl7.profiles.model import SourceProfile
from adapters.hl7.records.answer import Ordered
from fhir_server.server import Server

_PRIORITY: Final = {"stat": "S", "asap": "A", "urgent": "A", "routine": "R"}
_GENDER: Final = {"male": "M", "female": "F", "other": "U", "unknown": "U"}

Json = dict[str, Any]


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
    patient = other(found, first.get("subject")) or {}
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
        requests=tuple(request["id"] for _, request in group),
    )


def _patient_number(patient: Json) -> str:
    """Return the medical record number, else the first identifier."""
    told = patient.get("identifier", ())
    records = [
        one
        for one in told
        if any(c.get("code") == "MR" for c in one.get("type", {}).get("coding", ()))
    ]
    return next((text for one in (*records, *told) if (text := shown(one))), "")


def _name(patient: Json) -> tuple[str, ...]:
    names = patient.get("name", ())
    return (names[0].get("family", ""), *names[0].get("given", ())) if names else ()


def _physician(found: Found, request: Json) -> tuple[str, ...]:
    person = other(found, request.get("requester")) or {}
    if person.get("resourceType") != "Practitioner":
        return ()
    told = person.get("identifier", ())
    return (next((text for one in told if (text := shown(one))), ""), *_name(person))


def _first_code(concept: Json) -> str:
    codings = concept.get("coding", ())
    return str(codings[0].get("code", "")) if codings else ""


def _moment(text: str, zone: tzinfo) -> str:
    """Return a dateTime as the analyzer writes times, in its zone."""
    if "T" not in text:
        return text.replace("-", "")
    return datetime.fromisoformat(text).astimezone(zone).strftime("%Y%m%d%H%M%S")
