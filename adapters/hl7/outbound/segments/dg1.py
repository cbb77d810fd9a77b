"""Condition as DG1, with its use and rank in the visit.

HL7 v2.9 chapter 6, section 6.5.2.
"""

from typing import Final

from adapters.hl7.mapping.code_tables import DIAGNOSIS_USE
from adapters.hl7.outbound import datatypes as as_
from adapters.hl7.outbound.er7 import Field, Segment
from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.record import Json, Record

_USE: Final = {code: own for own, (_, code) in reversed(DIAGNOSIS_USE.items())}
_WORKING: Final = "W"
_NUMBERED_SINCE: Final = (2, 5)
_TEXT_IN_CODE: Final = (2, 7)
_NOT_HELD: Final = "refuted"


def is_held(condition: Json) -> bool:
    """Whether the diagnosis may be told: DG1 cannot say that somebody does not have it."""
    return verification(condition) != _NOT_HELD


def verification(condition: Json) -> str:
    """Return the verification status, "" without one."""
    codings = condition.get("verificationStatus", {}).get("coding", ())
    return str(codings[0].get("code", "")) if codings else ""


def dg1(
    number: int, condition: Json, diagnosis: Json | None, record: Record, peer: Peer
) -> Segment:
    """Return DG1; `diagnosis` is what the Encounter says of it, None where it does not."""
    code, text = texted(condition.get("code"), peer)
    fields: dict[int, Field] = {1: str(number), 3: code, 4: text, 6: _use(diagnosis, peer)}
    fields[5] = as_.dated(condition, "onsetDateTime", peer)
    if rank := (diagnosis or {}).get("rank"):
        fields[15] = str(rank)
    fields[16] = as_.person(record, peer, condition.get("asserter"), condition)
    fields[19] = as_.dated(condition, "recordedDate", peer)
    if peer.version >= _NUMBERED_SINCE:
        if numbers := as_.shown(peer, condition):
            fields[20] = as_.ei(peer, numbers[0])
        if verification(condition) == "entered-in-error":
            fields[21] = "D"
    return Segment("DG1", fields)


def texted(concept: Json | None, peer: Peer) -> tuple[Field, str]:
    """Return the code of a field and, before version 2.7, the text of the field after it."""
    told = dict(concept or {})
    if peer.version >= _TEXT_IN_CODE or not told.get("coding"):
        return as_.cwe(peer, told), ""
    text = str(told.pop("text", ""))
    return as_.cwe(peer, told), text


def _use(diagnosis: Json | None, peer: Peer) -> str:
    use = (diagnosis or {}).get("use")
    if own := as_.coded(peer, use, "0052"):
        return own
    codes = [str(one.get("code", "")) for one in (use or {}).get("coding", ())]
    return as_.table_code(peer, "0052", next((_USE[c] for c in codes if c in _USE), _WORKING))
