"""An imaging order with the resources that its worklist entries are made of.

https://hl7.org/fhir/R4/servicerequest.html
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

V2_0203 = "http://terminology.hl7.org/CodeSystem/v2-0203"


@dataclass(frozen=True, slots=True)
class Order:
    """A ServiceRequest; `others` are by literal reference (`Patient/1`).

    `observations`, `allergies` and `flags` are those of the patient, the newest
    Observation of each code that is of use.
    """

    request: Json
    appointments: Sequence[Json] = ()
    others: Mapping[str, Json] = field(default_factory=dict)
    observations: Sequence[Json] = ()
    allergies: Sequence[Json] = ()
    flags: Sequence[Json] = ()

    def get(self, reference: Json | None) -> Json | None:
        """Return what a Reference of the order leads to, None where that is not here."""
        literal = literal_of(reference)
        if literal.startswith("#"):
            held = self.request.get("contained", ())
            return next((one for one in held if one.get("id") == literal[1:]), None)
        return self.others.get(literal)

    def all(self, references: Sequence[Json] | None) -> Iterator[Json]:
        """Yield what these References lead to, without what is not here."""
        for one in references or ():
            if (found := self.get(one)) is not None:
                yield found

    @property
    def patient(self) -> Json:
        """The Patient, or who replaced him; {} where he is not here."""
        found = self.get(self.request.get("subject")) or {}
        if found.get("resourceType") != "Patient":
            return {}
        replaced = (one for one in found.get("link", ()) if one.get("type") == "replaced-by")
        other: Json = next(replaced, {})
        return self.get(other.get("other")) or found

    @property
    def encounter(self) -> Json:
        """The Encounter, {} where it is not here."""
        return self.get(self.request.get("encounter")) or {}


def literal_of(reference: Json | None) -> str:
    """Return the literal reference without its version, "" where there is none."""
    return str((reference or {}).get("reference", "")).partition("/_history/")[0]


def literal(resource: Json) -> str:
    """Return the reference to a resource."""
    return f"{resource['resourceType']}/{resource['id']}"


def typed(identifiers: Sequence[Json] | None, code: str) -> Json | None:
    """Return the first identifier of a type (v2-0203) that has a value."""
    return next(
        (one for one in identifiers or () if is_typed(one, code) and one.get("value")), None
    )


def is_typed(identifier: Json, code: str) -> bool:
    """Whether an identifier is of a type (v2-0203)."""
    codings = identifier.get("type", {}).get("coding", ())
    return any(one.get("system") == V2_0203 and one.get("code") == code for one in codings)


def words(concept: Json | None) -> str:
    """Return what a CodeableConcept says: its text, else the first display, else a code."""
    concept = concept or {}
    codings = concept.get("coding", ())
    displays = (str(one["display"]) for one in codings if one.get("display"))
    codes = (str(one["code"]) for one in codings if one.get("code"))
    return str(concept.get("text") or next(displays, "") or next(codes, ""))
