"""What is said of a critical result: Flag, CommunicationRequest and Task.

https://hl7.org/fhir/R4/flag.html
https://hl7.org/fhir/R4/communicationrequest.html
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Literal

from adapters.hl7.laboratory.rules import Level
from adapters.hl7.mapping.code_tables import EXTENSION, THO

Json = dict[str, Any]
State = Literal["open", "acknowledged", "withdrawn"]
Step = Literal["raise", "reopen", "withdraw", "keep"]

_CODES: Final[dict[Level, str]] = {"high": "HH", "low": "LL", "abnormal": "AA"}
# Of the types that CommunicationRequest.recipient may have, those that Task.owner may have.
_RECIPIENTS: Final = frozenset(
    (
        "CareTeam",
        "HealthcareService",
        "Organization",
        "Practitioner",
        "PractitionerRole",
        "RelatedPerson",
    )
)


@dataclass(frozen=True, slots=True)
class Critical:
    """A critical result: its Observation as stored, how critical, and who is told.

    `observation` is a literal reference; `recipients` are References, `contained` the
    practitioners among them that are no resources of their own. `identifier_system`
    and the Observation's id name what is raised for it.
    """

    observation: str
    resource: Json
    level: Level
    recipients: tuple[Json, ...]
    contained: tuple[Json, ...]
    identifier_system: str
    at: datetime


def step(state: State | None, known: Level | None, found: Level | None) -> Step:
    """Return what a new version of a result asks for.

    `state` and `known` are those of the alert that was raised before, None without one.
    One that was acknowledged is opened again where the result is now critical in another
    way: somebody was told the wrong thing.
    """
    if found is None:
        return "withdraw" if state in {"open", "acknowledged"} else "keep"
    if state is None:
        return "raise"
    return "keep" if state != "withdrawn" and known == found else "reopen"


def flag(critical: Critical) -> Json:
    """Return the Flag on the patient: active until the result is acknowledged or withdrawn."""
    coding = {"system": THO + "v3-ObservationInterpretation", "code": _CODES[critical.level]}
    resource = {
        "resourceType": "Flag",
        "extension": [
            {
                "url": EXTENSION + "flag-detail",
                "valueReference": {"reference": critical.observation},
            }
        ],
        "identifier": [_identifier(critical)],
        "status": "active",
        "category": [{"coding": [{"system": THO + "flag-category", "code": "lab"}]}],
        "code": {"coding": [coding], "text": told(critical.resource, critical.level)},
        "subject": critical.resource["subject"],
        "period": {"start": instant(critical.at)},
    }
    if "encounter" in critical.resource:
        resource["encounter"] = critical.resource["encounter"]
    return resource


def request(critical: Critical) -> Json:
    """Return the CommunicationRequest to those who ordered."""
    seen = {"reference": critical.observation}
    resource: Json = {"resourceType": "CommunicationRequest"}
    if critical.contained:
        resource["contained"] = list(critical.contained)
    resource |= {
        "identifier": [_identifier(critical)],
        "status": "active",
        "category": [{"coding": [{"system": THO + "communication-category", "code": "alert"}]}],
        "priority": "stat",
        "subject": critical.resource["subject"],
        "about": [seen],
        "payload": [
            {"contentString": told(critical.resource, critical.level)},
            {"contentReference": seen},
        ],
        "authoredOn": instant(critical.at),
        "reasonReference": [seen],
    }
    for name in ("basedOn", "encounter"):
        if name in critical.resource:
            resource[name] = critical.resource[name]
    recipients = [one for one in critical.recipients if may_receive(one)]
    if recipients:
        resource["recipient"] = recipients
    return resource


def task(
    request: Json, request_id: str, observation: str, owner: Json | None, at: datetime
) -> Json:
    """Return the Task to see to it that a critical result is acknowledged.

    The request may have been rewritten since it was made: what it does not say is left out.
    """
    resource: Json = {
        "resourceType": "Task",
        "status": "requested",
        "intent": "order",
        "priority": "stat",
        "code": {"text": "Acknowledge the critical result"},
        "description": _said(request),
        "focus": {"reference": f"CommunicationRequest/{request_id}"},
        "authoredOn": instant(at),
        "reasonReference": {"reference": observation},
    }
    for name, of_request in (("identifier", "identifier"), ("for", "subject")):
        if of_request in request:
            resource[name] = request[of_request]
    if owner is not None and may_receive(owner):
        own = contained(request, owner)
        if own or not owner["reference"].startswith("#"):
            resource["owner"] = owner
        if own:
            resource["contained"] = list(own)
    return resource


def _said(request: Json) -> str:
    told = (one.get("contentString") for one in request.get("payload", ()))
    return next((one for one in told if one), "Critical result")


def contained(holder: Json, reference: Json) -> tuple[Json, ...]:
    """Return what a reference names of what a resource contains."""
    name = str(reference["reference"])
    if not name.startswith("#"):
        return ()
    return tuple(one for one in holder.get("contained", ()) if one.get("id") == name[1:])


def ended(resource: Json, status: str, at: datetime) -> Json:
    """Return a Flag, CommunicationRequest or Task with the status in which it ends."""
    found = {**resource, "status": status}
    if resource["resourceType"] == "Flag":
        found["period"] = {**resource.get("period", {}), "end": instant(at)}
    if resource["resourceType"] == "Task":
        found["lastModified"] = instant(at)
    return found


def told(observation: Json, level: Level) -> str:
    """Return the result as a sentence: name, value, unit and range."""
    code = observation.get("code", {})
    coding: Json = next(iter(code.get("coding", ())), {})
    name = coding.get("display") or code.get("text") or coding.get("code") or "a test"
    said = f"Critical result ({level}): {name}"
    if value := _value(observation):
        said += f" {value}"
    ranges = [text for one in observation.get("referenceRange", ()) if (text := one.get("text"))]
    return said + (f", reference range {ranges[0]}" if ranges else "")


def _value(observation: Json) -> str:
    quantity = observation.get("valueQuantity")
    if quantity is not None:
        parts = (quantity.get("comparator", ""), quantity.get("value", ""))
        text = "".join(str(part) for part in parts)
        return f"{text} {quantity.get('unit', '')}".strip()
    concept = observation.get("valueCodeableConcept")
    if concept is not None:
        coding: Json = next(iter(concept.get("coding", ())), {})
        return str(concept.get("text") or coding.get("display") or coding.get("code") or "")
    return str(observation.get("valueString", ""))


def instant(at: datetime) -> str:
    """Return a time as FHIR writes it, to the second."""
    return at.isoformat(timespec="seconds")


def years(birth_date: str, at: str) -> Decimal | None:
    """Return the age in years at a dateTime, None where either is not a full date."""
    try:
        born = datetime.fromisoformat(birth_date[:10])
        then = datetime.fromisoformat(at[:10])
    except ValueError:
        return None
    return Decimal((then - born).days) / Decimal("365.25")


def _identifier(critical: Critical) -> Json:
    number = critical.observation.partition("/")[2]
    return {"system": critical.identifier_system, "value": number}


def may_receive(reference: Json) -> bool:
    """Whether the reference is to somebody who can be told, and can own a Task."""
    literal = str(reference.get("reference", ""))
    return literal.startswith("#") or literal.partition("/")[0] in _RECIPIENTS
