"""What an order, its Tasks and its Appointments become while it is performed.

Each function returns the elements that change, by name, None where all stays as it is.

https://hl7.org/fhir/R4/task.html#statemachine
https://hl7.org/fhir/R4/appointment.html#statemachine
"""

from collections.abc import Mapping, Sequence
from typing import Any

from adapters.dicom.dataset.performed import COMPLETED, DISCONTINUED, IN_PROGRESS
from adapters.dicom.studies import tasks

Json = dict[str, Any]

_WAITING = frozenset(("draft", "requested", "received", "accepted", "ready", "on-hold"))
_RUNNING = frozenset(("in-progress",))
_TASKS = {
    IN_PROGRESS: ("in-progress", _WAITING),
    COMPLETED: ("completed", _WAITING | _RUNNING),
    DISCONTINUED: ("failed", _WAITING | _RUNNING),
}
_OPEN = frozenset(("pending", "booked", "arrived", "checked-in"))


def task(
    resource: Mapping[str, Any], state: str, reason: Json | None, *, withdrawn: bool
) -> Json | None:
    """Return what changes of a Task when its order is in this state.

    A step for the wrong worklist entry leaves the work to be done.
    """
    if withdrawn:
        return {"status": "ready"} if resource.get("status") in _RUNNING else None
    wanted, before = _TASKS[state]
    if resource.get("status") not in before:
        return None
    return {
        "status": wanted,
        **({"businessStatus": reason} if state == DISCONTINUED and reason else {}),
    }


def fulfils(resource: Mapping[str, Any]) -> bool:
    """Return whether a Task is about the fulfilment of its order."""
    codings = resource.get("code", {}).get("coding", ())
    return all(one.get("code") != tasks.CODE for one in codings)


def appointment(resource: Mapping[str, Any]) -> Json | None:
    """Return what changes of the Appointment of a step that was completed."""
    return {"status": "fulfilled"} if resource.get("status") in _OPEN else None


def request(resource: Mapping[str, Any], state: str) -> Json | None:
    """Return what changes of an order when it is in this state: it ends when all is done."""
    ends = state == COMPLETED and resource.get("status") == "active"
    return {"status": "completed"} if ends else None


def together(states: Sequence[str]) -> str:
    """Return the state of an order: of its steps, "" for one that was not performed.

    It is completed when all of them are, and discontinued when nothing else is to come.
    """
    if states and all(one == COMPLETED for one in states):
        return COMPLETED
    if states and all(one == DISCONTINUED for one in states):
        return DISCONTINUED
    return IN_PROGRESS


def attempted(states: Sequence[str]) -> str:
    """Return the state of an order whose steps are not known: what was broken off was repeated."""
    return together([one for one in states if one != DISCONTINUED] or states)


def differences(before: Mapping[str, Any], made: Mapping[str, Any]) -> Json:
    """Return the elements of a resource that are other than they were.

    Identifiers that others gave it stay.
    """
    identifiers = before.get("identifier", ())
    known = all(one in identifiers for one in made["identifier"])
    return {
        name: value
        for name, value in made.items()
        if before.get(name) != value and not (name == "identifier" and known)
    }
