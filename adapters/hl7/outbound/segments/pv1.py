"""Encounter as PV1.

HL7 v2.9 chapter 3, section 3.3.3.
"""

from typing import Final

from adapters.hl7.mapping.code_tables import DISCHARGE_DISPOSITION, ENCOUNTER_CLASS, THO
from adapters.hl7.outbound import datatypes as as_
from adapters.hl7.outbound.er7 import Field, Repetition, Segment
from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.record import Json, Record

_CLASS: Final = {
    **{code: own for own, (_, code) in reversed(ENCOUNTER_CLASS.items())},
    "ACUTE": "I",
    "NONAC": "I",
    "OBSENC": "O",
    "SS": "O",
    "VR": "O",
    "HH": "O",
    "FLD": "E",
}
_DISPOSITION: Final = {code: own for own, (_, code) in reversed(DISCHARGE_DISPOSITION.items())}
_PARTICIPANTS: Final = {"ATND": 7, "REF": 8, "CON": 9, "ADM": 17, "PART": 52}
_LOCATIONS: Final = {"active": 3, "planned": 3, "completed": 6, "reserved": 42}
_TEMPORARY: Final = "subject-locationClassification"


def pv1(visit: Json, record: Record, peer: Peer) -> Segment:
    """Return PV1; what the visit has been to by now is PV1-6."""
    fields: dict[int, Field] = {1: "1", 2: _class(visit, peer)}
    fields |= _places(visit, record, peer)
    fields |= _people(visit, record, peer)
    if kinds := visit.get("type", ()):
        fields[4] = as_.cwe(peer, kinds[0], "0007")
    fields[10] = as_.cwe(peer, visit.get("serviceType"), "0069")
    fields |= _hospitalization(visit, peer)
    numbers = as_.shown(peer, visit)
    # The type of the number is the field's own.
    told = [one for one in numbers if as_.type_of(one) == "VN"] or numbers[:1]
    if told:
        fields[19] = as_.cx(peer, told[0])
    if others := [one for one in numbers if one not in told[:1]]:
        fields[50] = as_.cx(peer, others[0])
    period = visit.get("period", {})
    fields[44] = as_.dated(period, "start", peer)
    fields[45] = as_.dated(period, "end", peer)
    return Segment("PV1", fields)


def _class(visit: Json, peer: Peer) -> str:
    coding = visit.get("class", {})
    code = str(coding.get("code", ""))
    own = code if coding.get("system") == f"{THO}v2-0004" else _CLASS.get(code, "U")
    return as_.table_code(peer, "0004", own)


def _places(visit: Json, record: Record, peer: Peer) -> dict[int, Field]:
    fields: dict[int, Field] = {}
    # The latest of a status is the one that counts.
    for one in visit.get("location", ()):
        temporary = any(_TEMPORARY in ext.get("url", "") for ext in one.get("extension", ()))
        number = 11 if temporary else _LOCATIONS.get(str(one.get("status", "active")))
        place = as_.pl(record, peer, one.get("location"))
        if number and place:
            fields[number] = place
    return fields


def _people(visit: Json, record: Record, peer: Peer) -> dict[int, Field]:
    found: dict[int, list[Repetition]] = {}
    for one in visit.get("participant", ()):
        codes = [c.get("code") for kind in one.get("type", ()) for c in kind.get("coding", ())]
        number = next((_PARTICIPANTS[code] for code in codes if code in _PARTICIPANTS), None)
        told = as_.person(record, peer, one.get("individual"), visit)
        if number and told:
            found.setdefault(number, []).append(told)
    return dict(found)


def _hospitalization(visit: Json, peer: Peer) -> dict[int, Field]:
    told = visit.get("hospitalization", {})
    if not told:
        return {}
    fields: dict[int, Field] = {
        13: as_.cwe(peer, told.get("reAdmission"), "0092"),
        14: as_.cwe(peer, told.get("admitSource"), "0023"),
        36: _disposition(told.get("dischargeDisposition"), peer),
    }
    if before := told.get("preAdmissionIdentifier"):
        fields[5] = as_.cx(peer, before)
    return fields


def _disposition(concept: Json | None, peer: Peer) -> Field:
    if own := as_.coded(peer, concept, "0112"):
        return own
    codes = [one.get("code") for one in (concept or {}).get("coding", ())]
    known = next((_DISPOSITION[code] for code in codes if code in _DISPOSITION), "")
    return as_.table_code(peer, "0112", known) if known else as_.cwe(peer, concept, "0112")
