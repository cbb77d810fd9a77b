"""What a change says to other systems: the trigger event of a new version.

HL7 v2.9 chapter 3, section 3.2, and chapter 4, section 4.4.6; table 0119.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from adapters.hl7.outbound.record import Json

_PRESENT: Final = frozenset(("arrived", "triaged", "in-progress", "onleave"))
_OVER: Final = frozenset(("cancelled", "entered-in-error"))
_ORDERS: Final = frozenset(
    ("order", "original-order", "reflex-order", "filler-order", "instance-order")
)
_OPEN: Final = frozenset(("active", "on-hold"))
_WITHDRAWN: Final = frozenset(("revoked", "entered-in-error"))


@dataclass(frozen=True, slots=True)
class Event:
    """A message that is due: `ADT^A08`, and ORC-1 where it is an order."""

    kind: str
    control: str = ""


def events(now: Json, before: Json | None) -> Iterator[Event]:
    """Yield what a version says, given the one before it (None: it is new)."""
    match now["resourceType"]:
        case "Patient":
            if found := _of_patient(now, before):
                yield Event(f"ADT^{found}")
        case "Encounter":
            if found := _of_visit(now, before):
                yield Event(f"ADT^{found}")
        case "AllergyIntolerance":
            yield Event("ADT^A60")
        case "ServiceRequest":
            if control := _of_order(now, before):
                yield Event("OML^O21", control)
                yield Event("OML^O33", control)
        case "DiagnosticReport" | "Observation":
            if now.get("status") != "unknown":
                yield Event("ORU^R01")
                yield Event("OUL^R22")


def of_part(whole: Json) -> Iterator[Event]:
    """Yield what a change of a part says of a Patient or of a visit that has begun."""
    if whole["resourceType"] == "Patient" and not _replaced(whole):
        yield Event("ADT^A31")
    elif whole.get("status") in {*_PRESENT, "finished"}:
        yield Event("ADT^A08")


def of_deletion(before: Json) -> Iterator[Event]:
    """Yield what the deletion of a resource says, given its last version.

    What was never told is not taken back.
    """
    kind = before["resourceType"]
    if kind == "Patient":
        if not _replaced(before):
            yield Event("ADT^A29")
    elif kind == "Encounter":
        if before.get("status") in {*_PRESENT, "finished"}:
            yield Event("ADT^A23")
    else:
        yield from events(withdrawn(before), before)


def withdrawn(resource: Json) -> Json:
    """Return a resource as one that was entered in error."""
    error = {"coding": [{"code": "entered-in-error"}]}
    match resource["resourceType"]:
        case "Patient" | "RelatedPerson":
            return {**resource, "active": False}
        case "AllergyIntolerance" | "Condition":
            kept = {name: value for name, value in resource.items() if name != "clinicalStatus"}
            return {**kept, "verificationStatus": error}
        case _:
            return {**resource, "status": "entered-in-error"}


def _of_patient(now: Json, before: Json | None) -> str:
    if _replaced(now):
        return "" if before is not None and _replaced(before) else "A40"
    return "A31"


def _replaced(patient: Json) -> bool:
    return any(one.get("type") == "replaced-by" for one in patient.get("link", ()))


def _of_visit(now: Json, before: Json | None) -> str:
    status = now.get("status")
    was = before.get("status") if before else None
    been = was in _PRESENT or was == "finished"
    if status in _OVER:
        return "A11" if been else ""
    if status == "finished":
        return "A08" if was == "finished" else "A03"
    if status not in _PRESENT:
        return ""
    if was == "finished":
        return "A13"
    if was not in _PRESENT:
        return "A01"
    return "A02" if before is not None and _moved(now, before) else "A08"


def _moved(now: Json, before: Json) -> bool:
    return _place(now) != _place(before) and bool(_place(now))


def _place(visit: Json) -> list[str]:
    return [
        str(one.get("location", {}).get("reference", ""))
        for one in visit.get("location", ())
        if one.get("status", "active") == "active"
    ]


def _of_order(now: Json, before: Json | None) -> str:
    """Return ORC-1: a new order, a changed one, one that was taken back; "" for others."""
    if now.get("intent") not in _ORDERS or now.get("doNotPerform"):
        return ""
    was = before.get("status") if before else None
    status = now.get("status")
    if status in _WITHDRAWN:
        return "CA" if was in _OPEN else ""
    if status not in _OPEN:
        return ""
    return "XO" if was in _OPEN else "NW"
