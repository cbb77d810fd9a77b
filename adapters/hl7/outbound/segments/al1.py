"""AllergyIntolerance as AL1, and as IAM where its status changes.

HL7 v2.9 chapter 3, sections 3.3.6 and 3.3.7; tables 0127, 0128, 0206 and 0438.
"""

from typing import Final

from adapters.hl7.mapping.code_tables import ALLERGY_CATEGORY, CRITICALITY, REACTION_SEVERITY
from adapters.hl7.outbound import datatypes as as_
from adapters.hl7.outbound.er7 import Field, Repetition, Segment
from adapters.hl7.outbound.peer import Peer
from adapters.hl7.outbound.record import Json

_CATEGORY: Final = as_.reverse(ALLERGY_CATEGORY)
_CRITICALITY: Final = as_.reverse(CRITICALITY)
_SEVERITY: Final = as_.reverse(REACTION_SEVERITY)
_CLINICAL: Final = {"active": "U", "inactive": "I", "resolved": "I"}
_VERIFIED: Final = {"confirmed": "C", "refuted": "E", "entered-in-error": "E"}


def is_current(allergy: Json) -> bool:
    """Whether AL1, which has no status, may name the allergy: it is believed and active."""
    doubt = _code(allergy.get("verificationStatus")) in {"refuted", "entered-in-error"}
    return not doubt and _code(allergy.get("clinicalStatus")) in {"", "active"}


def al1(number: int, allergy: Json, peer: Peer) -> Segment:
    """Return AL1, the segment `number` of its message."""
    fields = {1: str(number), **_same(allergy, peer)}
    fields[6] = as_.dated(allergy, "onsetDateTime", peer)
    return Segment("AL1", fields)


def iam(number: int, allergy: Json, peer: Peer) -> Segment:
    """Return IAM: also of an allergy that is over, or that never was (IAM-6 is D)."""
    wrong = _code(allergy.get("verificationStatus")) == "entered-in-error"
    is_new = allergy.get("meta", {}).get("versionId") == "1"
    fields = {1: str(number), **_same(allergy, peer)}
    fields[6] = as_.table_code(peer, "0206", "D" if wrong else "A" if is_new else "U")
    if numbers := as_.shown(peer, allergy):
        fields[7] = as_.ei(peer, numbers[0])
    fields[11] = as_.dated(allergy, "onsetDateTime", peer)
    fields[13] = as_.dated(allergy, "recordedDate", peer)
    fields[17] = as_.table_code(peer, "0438", _status(allergy))
    return Segment("IAM", fields)


def _status(allergy: Json) -> str:
    clinical = _CLINICAL.get(_code(allergy.get("clinicalStatus")), "U")
    verified = _VERIFIED.get(_code(allergy.get("verificationStatus")), "")
    return verified if verified == "E" or (clinical == "U" and verified) else clinical


def _same(allergy: Json, peer: Peer) -> dict[int, Field]:
    """Return what AL1 and IAM have at the same places."""
    return {
        2: _category(allergy, peer),
        3: as_.cwe(peer, allergy.get("code")),
        4: _severity(allergy, peer),
        5: list(_reactions(allergy)),
    }


def _category(allergy: Json, peer: Peer) -> str:
    known = [str(one) for one in allergy.get("category", ())]
    for element in allergy.get("_category", ()):
        for coding in as_.alternates(element):
            code = str(coding.get("code", ""))
            if ALLERGY_CATEGORY.get(code, "") in {*known, ""}:
                return as_.table_code(peer, "0127", code)
    found = next((_CATEGORY[one] for one in known if one in _CATEGORY), "")
    return as_.table_code(peer, "0127", found) if found else ""


def _severity(allergy: Json, peer: Peer) -> str:
    sent = [str(one.get("code", "")) for one in as_.alternates(allergy.get("_criticality"))]
    told = str(allergy.get("criticality", ""))
    for code in sent:
        if CRITICALITY.get(code, "") == told:
            return as_.table_code(peer, "0128", code)
    severities = [str(one.get("severity", "")) for one in allergy.get("reaction", ())]
    found = _CRITICALITY.get(told, "") or next(
        (_SEVERITY[one] for one in severities if one in _SEVERITY), ""
    )
    return as_.table_code(peer, "0128", found) if found else ""


def _reactions(allergy: Json) -> list[Repetition]:
    texts = []
    for reaction in allergy.get("reaction", ()):
        for one in reaction.get("manifestation", ()):
            coding: Json = next(iter(one.get("coding", ())), {})
            texts.append(str(one.get("text") or coding.get("display") or ""))
    return [text for text in texts if text]


def _code(concept: Json | None) -> str:
    codings = (concept or {}).get("coding", ())
    return str(codings[0].get("code", "")) if codings else ""
