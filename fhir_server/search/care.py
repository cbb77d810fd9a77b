"""Care relationships that resources establish.

A row says that `actor` (a reference) has to do with `patient` (an id) from `low` to `high`,
microseconds since 1970; how long before and after that it counts is said when it is asked for.

https://hl7.org/fhir/R4/encounter.html
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from enum import IntEnum
from itertools import product
from typing import Any, TypeAlias

from fhir_server.search.context import Context
from fhir_server.search.date import EARLIEST, LATEST, Span, period_span, span
from fhir_server.search.reference import literal
from fhir_server.search.rows import IndexRows

TABLE = "idx_care"


class Kind(IntEnum):
    """Why there is a relationship."""

    ENCOUNTER = 1
    TEAM = 2
    PRACTITIONER = 3
    APPOINTMENT = 4
    ORDER = 5
    WARD = 6
    GLASS = 7


Row: TypeAlias = tuple[str, str, int, int, int]
"""Actor, patient, kind, low, high."""

Find: TypeAlias = Callable[[dict[str, Any], Context], Iterator[Row]]
Reference: TypeAlias = dict[str, Any] | None

_ALWAYS: Span = (EARLIEST, LATEST)
_PATIENT = frozenset({"Patient"})
_ACTORS = frozenset({"CareTeam", "Organization", "Practitioner", "PractitionerRole"})
_PLACES = frozenset({"Location"})

_PRESENT = frozenset({"arrived", "triaged", "in-progress", "onleave"})
_ORDER_OPEN = frozenset({"draft", "active", "on-hold"})
_ORDER_ENDED = frozenset({"completed", "revoked", "stopped", "cancelled"})
_TASK_OPEN = frozenset(
    {"draft", "requested", "received", "accepted", "ready", "in-progress", "on-hold"}
)
_TASK_ENDED = frozenset({"completed", "failed"})
_NOT_MET = frozenset({"cancelled", "entered-in-error"})


def related(index: IndexRows, resource: dict[str, Any], id_: str, context: Context) -> IndexRows:
    """Return the rows of a resource with the relationships that it establishes.

    `id_` is the resource's own. ValueError where a date is none.
    """
    find = SOURCES.get(resource["resourceType"])
    found = sorted(set(find({**resource, "id": id_}, context))) if find else []
    return replace(index, ranges={**index.ranges, TABLE: found}) if found else index


def _encounter(resource: dict[str, Any], context: Context) -> Iterator[Row]:
    """Yield those of the participants, and that of the place where the patient lies."""
    status, patients = resource.get("status"), [resource.get("subject")]
    during = _ALWAYS if status in _PRESENT or status == "planned" else None
    if status == "finished":
        during = _ended(resource.get("period") or {}, context)
    if during is None:
        return
    for one in resource.get("participant", ()):
        left = _period(one.get("period"), context) or _ALWAYS
        when = _both(during, (EARLIEST, left[1]))
        yield from _relate([one.get("individual")], patients, Kind.ENCOUNTER, when, context)
    for one in resource.get("location", ()) if status in _PRESENT else ():
        if one.get("status", "active") == "active":
            when = _period(one.get("period"), context) or _ALWAYS
            yield from _relate([one.get("location")], patients, Kind.WARD, when, context)


def _care_team(resource: dict[str, Any], context: Context) -> Iterator[Row]:
    """Yield those of the members of an active team, and of the team itself."""
    if resource.get("status") != "active":
        return
    during, patients = _period(resource.get("period"), context), [resource.get("subject")]
    team = {"reference": f"CareTeam/{resource.get('id', '')}"}
    yield from _relate([team], patients, Kind.TEAM, during or _ALWAYS, context)
    for one in resource.get("participant", ()):
        when = _both(during or _ALWAYS, _period(one.get("period"), context) or _ALWAYS)
        yield from _relate([one.get("member")], patients, Kind.TEAM, when, context)


def _patient(resource: dict[str, Any], context: Context) -> Iterator[Row]:
    own = {"reference": f"Patient/{resource.get('id', '')}"}
    actors = resource.get("generalPractitioner", ())
    return _relate(actors, [own], Kind.PRACTITIONER, _ALWAYS, context)


def _appointment(resource: dict[str, Any], context: Context) -> Iterator[Row]:
    """Yield those of all who take part with each patient, unless they declined."""
    start, end = resource.get("start"), resource.get("end")
    if resource.get("status") in _NOT_MET or start is None:
        return
    low, high = span(start, context)
    met = [
        one.get("actor")
        for one in resource.get("participant", ())
        if one.get("status") != "declined"
    ]
    when = (low, max(high, span(end, context)[1]) if end else high)
    yield from _relate(met, met, Kind.APPOINTMENT, when, context)


def _service_request(resource: dict[str, Any], context: Context) -> Iterator[Row]:
    when = _ordered(resource, ("authoredOn", "occurrenceDateTime", "occurrencePeriod"), context)
    actors = [resource.get("requester"), *resource.get("performer", ())]
    return _relate(actors, [resource.get("subject")], Kind.ORDER, when, context)


def _medication_request(resource: dict[str, Any], context: Context) -> Iterator[Row]:
    dispense = resource.get("dispenseRequest") or {}
    validity = {"validity": dispense.get("validityPeriod")}
    when = _ordered({**resource, **validity}, ("authoredOn", "validity"), context)
    actors = [resource.get(name) for name in ("requester", "recorder", "performer")]
    actors.append(dispense.get("performer"))
    return _relate(actors, [resource.get("subject")], Kind.ORDER, when, context)


def _task(resource: dict[str, Any], context: Context) -> Iterator[Row]:
    dates = ("authoredOn", "lastModified", "executionPeriod")
    when = _ordered(resource, dates, context, _TASK_OPEN, _TASK_ENDED)
    actors = [resource.get("requester"), resource.get("owner")]
    return _relate(actors, [resource.get("for")], Kind.ORDER, when, context)


SOURCES: Mapping[str, Find] = {
    "Appointment": _appointment,
    "CareTeam": _care_team,
    "Encounter": _encounter,
    "MedicationRequest": _medication_request,
    "Patient": _patient,
    "ServiceRequest": _service_request,
    "Task": _task,
}
"""What establishes relationships, by resource type."""


def _relate(
    actors: Iterable[Reference],
    patients: Iterable[Reference],
    kind: Kind,
    when: Span | None,
    context: Context,
) -> Iterator[Row]:
    """Yield a row for each actor with each patient, if there is a time."""
    if when is None or when[0] >= when[1]:
        return
    known = _places(actors, _PLACES if kind is Kind.WARD else _ACTORS, context)
    for (type_name, id_), (_, patient) in product(known, _places(patients, _PATIENT, context)):
        yield f"{type_name}/{id_}", patient, int(kind), *when


def _places(
    references: Iterable[Reference], types: frozenset[str], context: Context
) -> list[tuple[str, str]]:
    """Return type and id of the local references to these types."""
    found = (literal(one["reference"], context) for one in references if one and "reference" in one)
    return [(one.type, one.id) for one in found if one and one.base is None and one.type in types]


def _ordered(
    resource: dict[str, Any],
    dates: Iterable[str],
    context: Context,
    open_: frozenset[str] = _ORDER_OPEN,
    ended: frozenset[str] = _ORDER_ENDED,
) -> Span | None:
    """Return since ever until the last of the dates, or without end while the order is open.

    None for one that ended nobody knows when, and for one that is void.
    """
    status = resource.get("status")
    if status in open_:
        return _ALWAYS
    if status not in ended:
        return None
    found = [one for name in dates if (one := _span(resource.get(name), context))]
    last = [high for _, high in found if high != LATEST]
    return (EARLIEST, max(last)) if last else None


def _span(value: Any, context: Context) -> Span | None:  # noqa: ANN401  (a date or a Period)
    return span(value, context) if isinstance(value, str) else _period(value, context)


def _period(period: dict[str, Any] | None, context: Context) -> Span | None:
    return period_span(period, context) if period else None


def _ended(period: dict[str, Any], context: Context) -> Span | None:
    """Return since ever until the last time that a period of the past names; None without one."""
    last = period.get("end") or period.get("start")
    return (EARLIEST, span(last, context)[1]) if last else None


def _both(one: Span, other: Span | None) -> Span | None:
    return (max(one[0], other[0]), min(one[1], other[1])) if other else None
