"""An imaging order and what belongs to it, read from the store."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from adapters.dicom.worklist.order import Json, Order, literal, literal_of
from adapters.dicom.worklist.patient import LOINC, OBSERVED
from fhir_server.caller import trusted
from fhir_server.database import Connection
from fhir_server.interactions.search import search_on
from fhir_server.server import Server

CALLER: Final = trusted("dicom", "worklist")

_ONCE: Final = 100
_DEEPEST: Final = 3
_MOST: Final = "50"
_FINAL: Final = "final,amended,corrected,preliminary"
_LITERAL: Final = re.compile(r"[A-Za-z]+/[A-Za-z0-9.-]{1,64}")
_FOLLOWED: Final = {
    "ServiceRequest": (
        *("subject", "encounter", "requester", "performer", "reasonReference"),
        *("supportingInfo", "locationReference"),
    ),
    "Appointment": ("participant.actor",),
    "Patient": ("link.other",),
    "Encounter": ("location.location",),
    "PractitionerRole": ("practitioner", "organization"),
}


async def request(server: Server, connection: Connection, id_: str) -> Json | None:
    """Return a ServiceRequest, None where there is none any more."""
    found = await searched(server, connection, "ServiceRequest", [("_id", id_)])
    return found[0] if found else None


async def gather(server: Server, connection: Connection, found: Json) -> Order:
    """Return an order with its appointments, what it refers to, and facts of the patient."""
    based = [("based-on", literal(found)), ("_count", str(_ONCE))]
    appointments = await searched(server, connection, "Appointment", based)
    others: dict[str, Json] = {}
    wanted = {one for holder in (found, *appointments) for one in references(holder)}
    for _ in range(_DEEPEST):
        missing = sorted(wanted - others.keys())
        if not missing:
            break
        read = await _read(server, connection, missing)
        others |= {literal(one): one for one in read}
        wanted = {one for each in read for one in references(each)}
    order = Order(found, appointments, others)
    if not order.patient:
        return order
    patient = literal(order.patient)
    return Order(
        found,
        appointments,
        others,
        await _observations(server, connection, patient),
        await searched(
            server, connection, "AllergyIntolerance", [("patient", patient), ("_count", _MOST)]
        ),
        await searched(server, connection, "Flag", [("patient", patient), ("_count", _MOST)]),
    )


def used(order: Order) -> list[str]:
    """Return references to all that an order's entries are made of, there or not."""
    several = (order.appointments, order.observations, order.allergies, order.flags)
    found = {literal(one) for each in several for one in each}
    found |= {one for each in (order.request, *order.appointments) for one in references(each)}
    found |= {one for each in order.others.values() for one in references(each)}
    return sorted(found)


def references(resource: Json) -> Iterator[str]:
    """Yield the literal references of a resource that are followed."""
    for path in _FOLLOWED.get(resource["resourceType"], ()):
        for one in _at(resource, path.split(".")):
            told = literal_of(one)
            if _LITERAL.fullmatch(told):
                yield told


def _at(holder: Json, path: Sequence[str]) -> Iterable[Json]:
    found: Any = holder.get(path[0])
    items = found if isinstance(found, list) else [found] if found else []
    return items if len(path) == 1 else [each for one in items for each in _at(one, path[1:])]


async def _observations(server: Server, connection: Connection, patient: str) -> list[Json]:
    """Return the newest valid Observation of each code that matters."""
    found: list[Json] = []
    for code in OBSERVED:
        pairs = [
            ("patient", patient),
            ("code", f"{LOINC}|{code}"),
            ("status", _FINAL),
            ("_sort", "-date"),
            ("_count", "1"),
        ]
        found += await searched(server, connection, "Observation", pairs)
    return found


async def _read(server: Server, connection: Connection, literals: Sequence[str]) -> list[Json]:
    by_type: dict[str, list[str]] = {}
    for one in literals:
        kind, _, id_ = one.partition("/")
        if kind in server.definitions.type_ids:
            by_type.setdefault(kind, []).append(id_)
    found: list[Json] = []
    for kind, ids in by_type.items():
        for start in range(0, len(ids), _ONCE):
            some = ",".join(ids[start : start + _ONCE])
            pairs = [("_id", some), ("_count", str(_ONCE))]
            found += await searched(server, connection, kind, pairs)
    return found


async def searched(
    server: Server, connection: Connection, kind: str, pairs: Sequence[tuple[str, str]]
) -> list[Json]:
    """Return the matches of a search, those of its first page."""
    page = await search_on(server, connection, CALLER, kind, pairs)
    entries = msgspec.json.decode(page).get("entry", ())
    return [one["resource"] for one in entries if one["resource"]["resourceType"] == kind]
