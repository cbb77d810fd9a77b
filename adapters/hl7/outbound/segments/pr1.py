"""Procedure as PR1.

HL7 v2.9 chapter 6, section 6.5.4.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from adapters.hl7.outbound import datatypes as as_
from adapters.hl7.outbound.er7 import Field, Repetition, Segment
from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.record import Json, Record
from adapters.hl7.outbound.segments.dg1 import texted

_PERFORMERS: Final[Mapping[str, int]] = {"88189002": 8, "304292004": 11}
_OTHER: Final = 12
_NUMBERED_SINCE: Final = (2, 5)
_NOT_DONE: Final = frozenset(("not-done", "preparation"))


def is_done(procedure: Json) -> bool:
    """Whether the procedure may be told: PR1 cannot say that it was not done."""
    return procedure.get("status") not in _NOT_DONE


def pr1(number: int, procedure: Json, record: Record, peer: Peer) -> Segment:
    """Return PR1; what follows the code after a colon are its modifiers (PR1-16)."""
    concept, modifiers = _split(procedure.get("code"))
    code, text = texted(concept, peer)
    fields: dict[int, Field] = {1: str(number), 3: code, 4: text}
    period = procedure.get("performedPeriod", {})
    fields[5] = as_.dated(procedure, "performedDateTime", peer) or as_.dated(period, "start", peer)
    fields[6] = as_.coded(peer, procedure.get("category"), "0230")
    fields[7] = _minutes(period)
    fields |= _performers(procedure, record, peer)
    fields[15] = [as_.cwe(peer, one) for one in procedure.get("reasonCode", ())]
    fields[16] = list(modifiers)
    fields[23] = as_.pl(record, peer, procedure.get("location"))
    if peer.version >= _NUMBERED_SINCE:
        if numbers := as_.shown(peer, procedure):
            fields[19] = as_.ei(peer, numbers[0])
        if procedure.get("status") == "entered-in-error":
            fields[20] = "D"
    return Segment("PR1", fields)


def _split(concept: Json | None) -> tuple[Json, list[Repetition]]:
    codings = list((concept or {}).get("coding", ()))
    if not codings or ":" not in str(codings[0].get("code", "")):
        return concept or {}, []
    code, *modifiers = str(codings[0]["code"]).split(":")
    return {**(concept or {}), "coding": [{**codings[0], "code": code}, *codings[1:]]}, [*modifiers]


def _minutes(period: Json) -> str:
    """Return how long it took in minutes, "" where that is no whole number of them."""
    start, end = (str(period.get(name, "")) for name in ("start", "end"))
    if "T" not in start or "T" not in end:
        return ""
    seconds = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
    return str(int(seconds // 60)) if seconds >= 0 and not seconds % 60 else ""


def _performers(procedure: Json, record: Record, peer: Peer) -> dict[int, Field]:
    found: dict[int, list[Repetition]] = {}
    for one in procedure.get("performer", ()):
        codes = [str(c.get("code", "")) for c in one.get("function", {}).get("coding", ())]
        number = next((_PERFORMERS[code] for code in codes if code in _PERFORMERS), _OTHER)
        if told := as_.person(record, peer, one.get("actor"), procedure):
            found.setdefault(number, []).append(told)
    return dict(found)
