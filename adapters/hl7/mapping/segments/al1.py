"""AL1 and IAM as AllergyIntolerance.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-al1-to-allergyintolerance.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-iam-to-allergyintolerance.html
"""

from typing import Final

from adapters.hl7.mapping.code_tables import (
    ALLERGY_CATEGORY,
    CONTRAINDICATION,
    CRITICALITY,
    EXTENSION,
    KNOWN,
    REACTION_SEVERITY,
    THO,
)
from adapters.hl7.mapping.context import Context, Json, add, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd
from adapters.hl7.mapping.datatypes.xpn import xpn
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.accounting import CONDITION_FALSE
from adapters.hl7.message.tokenizer import Repetition, Segment

_CLINICAL: Final = THO + "allergyintolerance-clinical"
_VERIFICATION: Final = THO + "allergyintolerance-verification"
_ERROR: Final = "entered-in-error"
_DELETE: Final = "D"  # of table 0206
# IAM-17, table 0438: clinical and verification status.
_STATUS: Final = {
    "C": ("active", "confirmed"),
    "D": ("active", "unconfirmed"),
    "E": ("", _ERROR),
    "I": ("inactive", "confirmed"),
    "P": ("active", "unconfirmed"),
    "S": ("active", "unconfirmed"),
    "U": ("active", "unconfirmed"),
    "active": ("active", ""),
    "inactive": ("inactive", ""),
    "resolved": ("resolved", ""),
}


def allergy(ctx: Context, segment: Segment, patient: str) -> None:
    """Add the allergy of an AL1 or IAM, which a later one of the same key updates.

    The key is IAM-7, else the patient's identifier and the code.
    """
    path = "AllergyIntolerance"
    resource: Json = {"resourceType": path}
    gone = _status(segment, resource)
    _category(segment, resource)
    code = cwe.first_concept(ctx, segment, 3, f"{path}.code") or {"text": "unspecified"}
    resource["code"] = _clinician_code(ctx, segment, code)
    resource["patient"] = {"reference": patient}
    _severity(ctx, segment, resource)
    if segment.name == "IAM":
        _reported(ctx, segment, resource, patient)
    else:
        dtm.put_date_time(ctx, resource, "onsetDateTime", segment, 6)
    cleared = frozenset(("clinicalStatus",)) if gone else frozenset[str]()
    number = segment.first(7) if segment.name == "IAM" else None
    identifier = hd.ei(ctx, number, f"{path}.identifier", "allergy") if number else None
    if identifier:
        resource["identifier"] = [identifier]
        identity = hd.token(identifier)
    else:
        key = ctx.key(path, who(ctx, patient), cwe_key(segment) or segment.raw(5))
        resource["identifier"] = [ctx.key_identifier(key)]
        identity = ctx.key_token(key)
    ctx.write("PUT", (identity,), resource, cleared=cleared)


def cwe_key(segment: Segment) -> str:
    """Return what tells the code of field 3 apart: system and code, else its text."""
    rep = segment.first(3)
    if rep is None:
        return ""
    for code, text, system in ((1, 2, 3), (4, 5, 6)):
        if rep.peek(code):
            return f"{rep.peek(system)}|{rep.peek(code)}"
        if rep.peek(text):
            return rep.peek(text)
    return rep.text


def _status(segment: Segment, resource: Json) -> bool:
    """Set the statuses and return whether the allergy was never there.

    ait-1, ait-2: what was entered in error has no clinical status, all else has one.
    """
    is_iam = segment.name == "IAM"
    clinical, verification = "active", ""
    if is_iam and segment.peek(17) in _STATUS:
        clinical, verification = _STATUS[segment.take(17, "AllergyIntolerance.clinicalStatus")]
    if is_iam and segment.peek(6) == _DELETE:
        segment.take(6, "AllergyIntolerance.verificationStatus")
        clinical, verification = "", _ERROR
    if clinical:
        resource["clinicalStatus"] = {"coding": [{"system": _CLINICAL, "code": clinical}]}
    if verification:
        resource["verificationStatus"] = {
            "coding": [{"system": _VERIFICATION, "code": verification}]
        }
    return not clinical


def _category(segment: Segment, resource: Json) -> None:
    code = segment.peek(2)
    if not code:
        return
    if code in KNOWN["0127"]:
        segment.take(2, "AllergyIntolerance.category")
        resource["_category"] = [cwe.alternate("0127", code)]
        if code in ALLERGY_CATEGORY:
            resource["category"] = [ALLERGY_CATEGORY[code]]
        if code != CONTRAINDICATION:
            resource["type"] = "allergy"
    else:
        segment.refuse(2, CONDITION_FALSE)


def _clinician_code(ctx: Context, segment: Segment, code: Json) -> Json:
    """IAM-27 names the same substance again."""
    if segment.name != "IAM":
        return code
    other = cwe.first_concept(ctx, segment, 27, "AllergyIntolerance.code") or {}
    codings = [*code.get("coding", []), *other.get("coding", [])]
    text = code.get("text") or other.get("text")
    return {**({"coding": codings} if codings else {}), **({"text": text} if text else {})}


def _severity(ctx: Context, segment: Segment, resource: Json) -> None:
    path = "AllergyIntolerance.reaction"
    texts = [text for rep in segment.repetitions(5) if (text := _reaction(rep, path))]
    reaction: Json = {}
    put(reaction, "manifestation", [{"text": text} for text in texts])
    code = segment.peek(4)
    if code and ctx.profile.allergy_severity == "criticality":
        segment.take(4, "AllergyIntolerance.criticality")
        put(resource, "criticality", CRITICALITY.get(code))
        resource["_criticality"] = cwe.alternate("0128", code)
    elif code in REACTION_SEVERITY:
        segment.take(4, f"{path}.severity")
        # A reaction without a manifestation is not told, so that is what is said of it.
        absent = {"url": EXTENSION + "data-absent-reason", "valueCode": "unknown"}
        reaction.setdefault("manifestation", [{"extension": [absent]}])
        reaction["severity"] = REACTION_SEVERITY[code]
    add(resource, "reaction", reaction)


def _reaction(rep: Repetition, path: str) -> str:
    """Return the reaction, as text or, as many send it, with a code before."""
    told = rep.peek(2)
    rep.mark(2 if told else 1, f"{path}.manifestation.text")
    return told or rep.peek(1)


def _reported(ctx: Context, iam: Segment, resource: Json, patient: str) -> None:
    dtm.put_date_time(ctx, resource, "onsetDateTime", iam, 11)
    if "onsetDateTime" not in resource:
        put(resource, "onsetString", iam.take(12, "AllergyIntolerance.onsetString"))
    dtm.put_date_time(ctx, resource, "recordedDate", iam, 13)
    rep = iam.first(14)
    names = xpn(ctx, rep, "AllergyIntolerance.recorder.display") if rep else []
    if not names:
        return
    name = names[0]
    words = (*name.get("prefix", ()), *name.get("given", ()), name.get("family", ""))
    recorder: Json = {"display": " ".join(word for word in words if word)}
    if iam.peek(15) == "SEL":
        iam.take(15, "AllergyIntolerance.recorder")
        recorder["reference"] = patient
    resource["recorder"] = recorder
