"""Specimen as SPM and SAC.

HL7 v2.9 chapter 7, section 7.4.3, and chapter 13, section 13.4.3.
"""

from typing import Final

from adapters.hl7.mapping.code_tables import SPECIMEN_METHOD
from adapters.hl7.outbound import datatypes as as_
from adapters.hl7.outbound.er7 import Component, Field, Repetition, Segment
from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.record import Json
from adapters.hl7.outbound.segments.obx import unit_of

_METHOD: Final = {code: own for own, (_, code) in SPECIMEN_METHOD.items()}
_STATUS: Final = {"available": "Y", "unavailable": "N"}
_NOT_OWN: Final = frozenset(("PLAC", "FILL", "SHIP", "ACSN"))


def spm(number: int, specimen: Json, peer: Peer) -> Segment:
    """Return SPM."""
    collection = specimen.get("collection", {})
    period = collection.get("collectedPeriod", {})
    taken = as_.dated(collection, "collectedDateTime", peer) or as_.dated(period, "start", peer)
    until = as_.dated(period, "end", peer)
    fields: dict[int, Field] = {
        1: str(number),
        2: number_of(specimen, peer),
        3: _parents(specimen, peer),
        4: as_.cwe(peer, specimen.get("type"), "0487"),
        7: _method(collection, peer),
        8: as_.cwe(peer, collection.get("bodySite"), "0163"),
        12: _quantity(collection, peer),
        14: [str(one.get("text", "")) for one in specimen.get("note", ())],
        17: (taken, until) if taken or until else "",
        18: as_.dated(specimen, "receivedTime", peer),
        20: _STATUS.get(str(specimen.get("status", "")), ""),
        21: _conditions(specimen, "0490", peer),
        24: _conditions(specimen, "0493", peer),
        30: _accession(specimen, peer),
        31: [as_.cx(peer, one) for one in _others(specimen, peer)],
    }
    if box := next((one for one in specimen.get("container", ()) if one.get("type")), None):
        fields[27] = as_.cwe(peer, box["type"])
    if mixed := next(
        (one for one in specimen.get("container", ()) if one.get("additiveCodeableConcept")), None
    ):
        fields[6] = as_.cwe(peer, mixed["additiveCodeableConcept"], "0371")
    return Segment("SPM", fields)


def number_of(specimen: Json, peer: Peer) -> Field:
    """Return the placer's and the filler's number of a specimen as EIP."""
    parts: list[Component] = []
    for kind in ("PLAC", "FILL"):
        numbers = as_.numbered(peer, specimen, kind)
        parts.append(as_.ei(peer, numbers[0]) if numbers else "")
    if not any(parts):
        numbers = [one for one in as_.shown(peer, specimen) if as_.type_of(one) not in _NOT_OWN]
        parts[0] = as_.ei(peer, numbers[0]) if numbers else ""
    return tuple(parts) if any(parts) else ""


def _others(specimen: Json, peer: Peer) -> list[Json]:
    """Return the numbers that are not in SPM-2 already."""
    numbers = as_.shown(peer, specimen)
    named = [one for one in numbers if as_.type_of(one) in {"PLAC", "FILL"}]
    free = [one for one in numbers if as_.type_of(one) not in _NOT_OWN]
    return free if named else free[1:]


def _parents(specimen: Json, peer: Peer) -> list[Repetition]:
    found: list[Repetition] = []
    for one in specimen.get("parent", ()):
        if number := one.get("identifier"):
            part = as_.ei(peer, number)
            found.append(("", part) if as_.type_of(number) == "FILL" else (part,))
    return found


def _method(collection: Json, peer: Peer) -> Field:
    concept = collection.get("method")
    if own := as_.coded(peer, concept, "0488"):
        return own
    codes = [one.get("code") for one in (concept or {}).get("coding", ())]
    known = next((_METHOD[code] for code in codes if code in _METHOD), "")
    return known or as_.cwe(peer, concept, "0488")


def _quantity(collection: Json, peer: Peer) -> Field:
    told = collection.get("quantity")
    if not told:
        return ""
    unit = unit_of(told, peer)
    parts = (unit,) if isinstance(unit, str) else tuple(map(str, unit))
    return (str(told.get("value", "")), parts)


def _conditions(specimen: Json, table: str, peer: Peer) -> list[Repetition]:
    found = [
        as_.cwe(peer, one, table)
        for one in specimen.get("condition", ())
        if as_.coded(peer, one, table)
    ]
    return [one for one in found if one]


def _accession(specimen: Json, peer: Peer) -> Field:
    number = specimen.get("accessionIdentifier")
    return as_.cx(peer, number) if number else ""


def sac(specimen: Json, peer: Peer, container: str = "") -> Segment | None:
    """Return SAC with the containers' numbers, None where there is none to tell.

    `container` is the number that stands on the label, where it is known.
    """
    numbers = [
        as_.ei(peer, number)
        for box in specimen.get("container", ())
        for number in as_.shown(peer, box)
    ]
    told: Field = (container,) if container else numbers[0] if numbers else ""
    return Segment("SAC", {3: told}) if told else None
