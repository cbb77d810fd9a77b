"""Who has seen and changed a patient's record, told to that patient.

An AuditEvent says more than that: addresses of networks, what was searched for, and the ids of
other patients and of results that the patient does not see yet. So the events themselves stay
hidden, and of each is told who, when, what for and what kind of thing.

https://hl7.org/fhir/R4/auditevent.html
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.access import operators
from fhir_server.access.audit_reading import AUDIT_EVENT, SCOPE
from fhir_server.caller import Caller, trusted
from fhir_server.database import Connection
from fhir_server.errors import Forbidden
from fhir_server.interactions import proxies
from fhir_server.interactions.read import read
from fhir_server.interactions.search import search_on
from fhir_server.r4 import json
from fhir_server.rights import ANY, Rights
from fhir_server.server import Server

MOST: Final = 500
"""Accesses told by one report."""

_READER: Final = trusted("access-report", "worker")
_PATIENT: Final = "Patient/"
_DATA: Final = "4"
"""The role of what an event is about (object-role: Domain Resource)."""

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Access:
    """An access: when, by whom (a reference), through which app, and what for.

    `did` is a code as `read` or `search-type`, `kinds` are the types of the resources,
    `purpose` a code of v3-ActReason, `outcome` AuditEvent's, 0 where it succeeded.
    """

    at: str
    did: str
    who: str | None
    app: str | None
    purpose: str | None
    outcome: str
    kinds: tuple[str, ...]


async def report(
    server: Server, caller: Caller, patient: str, dates: list[str], count: int
) -> list[Access]:
    """Return the accesses to the record of a patient (an id), the latest first.

    `dates` are as those of a search. Forbidden for who is neither the patient nor acts for them,
    and may not read the audit; NotFound for a patient who is hidden.
    """
    found = await read(server, caller, "Patient", patient)
    async with server.database.connection() as connection:
        await _require(server, connection, caller, patient)
        caller.read("Patient", patient, found.version)
        pairs = [("patient", f"{_PATIENT}{patient}"), *(("date", one) for one in dates)]
        pairs += [("_sort", "-date"), ("_count", str(min(count, MOST)))]
        page = await search_on(server, connection, _READER, AUDIT_EVENT, pairs)
    events = json.decode(page).get("entry", ())
    return [_access(one["resource"]) for one in events]


async def _require(server: Server, connection: Connection, caller: Caller, patient: str) -> None:
    if not caller.rights.walls or not caller.rights.operator.isdisjoint((SCOPE, ANY)):
        operators.require(caller.rights, SCOPE)
        return
    kind, _, id_ = (caller.user or "").partition("/")
    own = kind == "Patient" and id_ == patient
    if not own and kind == proxies.TYPE:
        own = patient in await proxies.patients(server, connection, id_)
    if not own or not _is_granted(caller.rights):
        raise Forbidden("Who has seen a record is told to its patient")


def _is_granted(rights: Rights) -> bool:
    """Return whether role and token speak of AuditEvents, be it that these stay hidden."""
    return all(
        any("s" in grant.letters and grant.type in {AUDIT_EVENT, ANY} for grant in wall)
        for wall in rights.walls
    )


def _access(event: Json) -> Access:
    person, app = _agents(event)
    purposes = _codes(event.get("purposeOfEvent", ()))
    return Access(
        at=event["recorded"],
        did=str(event.get("subtype", [event["type"]])[-1].get("code", "")),
        who=person.get("who", {}).get("reference"),
        app=app.get("who", {}).get("display"),
        purpose=next(purposes, None),
        outcome=str(event.get("outcome", "0")),
        kinds=tuple(sorted(set(_kinds(event)))),
    )


def _agents(event: Json) -> tuple[Json, Json]:
    """Return the person and the app, empty where there is none; the last is not this server."""
    agents = event.get("agent", ())
    persons = [one for one in agents if "reference" in one.get("who", {})]
    nobody: Json = {}
    return persons[0] if persons else nobody, agents[0] if agents else nobody


def _codes(concepts: Any) -> Iterator[str]:  # noqa: ANN401  (JSON)
    return (one["code"] for each in concepts for one in each.get("coding", ()) if "code" in one)


def _kinds(event: Json) -> Iterator[str]:
    """Yield the types of what was touched; of an event of many patients it is not known whose."""
    entities = event.get("entity", ())
    whats = [(one.get("what", {}).get("reference", ""), one) for one in entities]
    if sum(what.startswith(_PATIENT) and _role(one) != _DATA for what, one in whats) > 1:
        return
    for what, one in whats:
        if what and _role(one) == _DATA:
            yield what.partition("/")[0]


def _role(entity: Json) -> str:
    return str(entity.get("role", {}).get("code", ""))
