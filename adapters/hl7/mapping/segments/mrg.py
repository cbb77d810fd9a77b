"""MRG as what is retired: identifiers and names of a Patient, Account and Encounter.

HL7 v2.9 chapter 3, section 3.4.12.
"""

from dataclasses import dataclass

from adapters.hl7.mapping.context import Context, Json, add
from adapters.hl7.mapping.datatypes import hd
from adapters.hl7.mapping.datatypes.xpn import xpn
from adapters.hl7.message.tokenizer import Segment

# Numbers of a stay or an account do not identify a person (table 0203).
_NOT_A_PERSON = frozenset(("AN", "VN", "ANON", "VS"))


@dataclass(frozen=True, slots=True)
class Prior:
    """A resource as MRG names it, and the identifiers by which it is found, as tokens."""

    resource: Json
    identity: tuple[str, ...]


def patient(ctx: Context, mrg: Segment) -> Prior:
    """Return the prior Patient: MRG-1, else MRG-2, else MRG-4, and the names of MRG-7."""
    resource: Json = {"resourceType": "Patient"}
    identity: list[str] = []
    for number in (1, 2, 4):
        found = _identifiers(ctx, mrg, number, "Patient.identifier", "patient")
        for identifier in found:
            add(resource, "identifier", identifier)
        if not identity:
            identity = [hd.token(one) for one in found if _code(one) not in _NOT_A_PERSON]
    for rep in mrg.repetitions(7):
        for name in xpn(ctx, rep, "Patient.name"):
            add(resource, "name", {**name, "use": "old"})
    return Prior(resource, tuple(dict.fromkeys(identity)))


def account(ctx: Context, mrg: Segment) -> Prior:
    """Return the prior Account of MRG-3."""
    found = _identifiers(ctx, mrg, 3, "Account.identifier", "account")
    resource: Json = {"resourceType": "Account", "status": "active", "identifier": found}
    return Prior(resource, tuple(map(hd.token, found)))


def encounter(ctx: Context, mrg: Segment, numbers: tuple[int, ...] = (5, 6)) -> Prior:
    """Return the prior Encounter of MRG-5 and MRG-6."""
    found = [
        one
        for number in numbers
        for one in _identifiers(ctx, mrg, number, "Encounter.identifier", "visit")
    ]
    return Prior({"resourceType": "Encounter", "identifier": found}, tuple(map(hd.token, found)))


def _identifiers(ctx: Context, mrg: Segment, number: int, path: str, default: str) -> list[Json]:
    found = (hd.cx(ctx, rep, path, default) for rep in mrg.repetitions(number))
    return [one for one in found if one is not None]


def _code(identifier: Json) -> str:
    coding = identifier.get("type", {}).get("coding", ({},))[0]
    return str(coding.get("code", ""))
