"""Patient as PID, and MRG of one that was replaced.

HL7 v2.9 chapter 3, sections 3.3.2 and 3.3.8.
"""

from typing import Final

from adapters.hl7.mapping.code_tables import EXTENSION, GENDER, MARITAL_STATUS
from adapters.hl7.outbound import datatypes as as_
from adapters.hl7.outbound.er7 import Field, Repetition, Segment
from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.record import Json, extension

_OUTDATED: Final = "old"
_SEX: Final = {**as_.reverse(GENDER), "unknown": "U"}
_MARITAL: Final = {code: own for own, (_, code) in reversed(MARITAL_STATUS.items())}
_BIRTH_TIME: Final = EXTENSION + "patient-birthTime"
_MAIDEN: Final = EXTENSION + "patient-mothersMaidenName"
_RELIGION: Final = EXTENSION + "patient-religion"


def pid(patient: Json, peer: Peer) -> Segment:
    """Return PID; identifiers in PID-3 that are not of the past."""
    fields: dict[int, Field] = {
        1: "1",
        3: [as_.cx(peer, one) for one in _numbers(patient, peer)],
        5: [as_.xpn(one, peer) for one in _names(patient)],
        7: _birth(patient, peer),
        8: as_.original(patient, "gender", "0001", {**GENDER, "U": "unknown"})
        or _SEX.get(str(patient.get("gender", "")), ""),
        11: [as_.xad(one, peer) for one in patient.get("address", ())],
        16: _coded(patient.get("maritalStatus"), "0002", peer),
        30: _died(patient),
    }
    fields |= _telecoms(patient, peer)
    if maiden := extension(patient, _MAIDEN):
        fields[6] = (str(maiden.get("valueString", "")),)
    if religion := extension(patient, _RELIGION):
        fields[17] = _coded(religion.get("valueCodeableConcept"), "0006", peer)
    if speech := patient.get("communication", ()):
        fields[15] = as_.cwe(peer, speech[0].get("language"))
    fields |= _births(patient)
    if when := patient.get("deceasedDateTime"):
        fields[29] = as_.moment(when, peer.zone)
    if last := patient.get("meta", {}).get("lastUpdated"):
        fields[33] = as_.moment(last, peer.zone)
    return Segment("PID", fields)


def _numbers(patient: Json, peer: Peer) -> list[Json]:
    return [one for one in as_.shown(peer, patient) if one.get("use") != _OUTDATED]


def _names(patient: Json) -> list[Json]:
    """Return the names, the official one first: receivers read one."""
    return sorted(patient.get("name", ()), key=lambda one: one.get("use") not in {None, "official"})


def _birth(patient: Json, peer: Peer) -> str:
    exact = extension(patient, _BIRTH_TIME) or extension(patient.get("_birthDate"), _BIRTH_TIME)
    if exact is not None:
        return as_.moment(exact.get("valueDateTime"), peer.zone)
    return as_.moment(patient.get("birthDate"))


def _died(patient: Json) -> str:
    if patient.get("deceasedDateTime"):
        return "Y"
    return {True: "Y", False: "N"}.get(patient.get("deceasedBoolean", ""), "")


def _births(patient: Json) -> dict[int, Field]:
    if (order := patient.get("multipleBirthInteger")) is not None:
        return {24: "Y", 25: str(order)}
    told = {True: "Y", False: "N"}.get(patient.get("multipleBirthBoolean", ""), "")
    return {24: told} if told else {}


def _telecoms(patient: Json, peer: Peer) -> dict[int, Field]:
    points = patient.get("telecom", ())
    work = [one for one in points if one.get("use") == "work"]
    return {
        13: [as_.xtn(one, peer, "home") for one in points if one not in work],
        14: [as_.xtn(one, peer) for one in work],
    }


def _coded(concept: Json | None, table: str, peer: Peer) -> Field:
    """Return the code of the v2 table, else the codings as they are."""
    if own := as_.coded(peer, concept, table):
        return own
    for one in (concept or {}).get("coding", ()):
        if table == "0002" and one.get("code") in _MARITAL:
            return as_.table_code(peer, table, _MARITAL[one["code"]])
    return as_.cwe(peer, concept, table)


def mrg(retired: Json, peer: Peer) -> Segment:
    """Return MRG: the numbers and the name of a Patient that another replaced."""
    names: list[Repetition] = [as_.xpn(one, peer) for one in retired.get("name", ())[:1]]
    numbers: list[Repetition] = [as_.cx(peer, one) for one in as_.shown(peer, retired)]
    return Segment("MRG", {1: numbers, 7: names})
