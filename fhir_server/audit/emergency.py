"""AuditEvents of what was seen of a record that was open by breaking the glass.

https://hl7.org/fhir/R4/auditevent-definitions.html#AuditEvent.purposeOfEvent
"""

from collections.abc import Collection
from typing import Any, Final

_BREAKING: Final = {
    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "BTG"}]
}


def purposed(event: dict[str, Any], opened: Collection[str]) -> dict[str, Any]:
    """Return the event, for the purpose BTG if it is of a patient (an id) of those `opened`."""
    wanted = {f"Patient/{one}" for one in opened}
    named = {one["what"].get("reference") for one in event.get("entity", ()) if "what" in one}
    if not wanted & named:
        return event
    agents = [
        {**one, "purposeOfUse": [_BREAKING]} if "purposeOfUse" in one else one
        for one in event["agent"]
    ]
    return {**event, "purposeOfEvent": [_BREAKING], "agent": agents}
