"""DG1 as Condition and as diagnosis of the Encounter.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-dg1-to-condition.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-dg1-to-encounter.html
"""

from typing import Final

from adapters.hl7.mapping.code_tables import DIAGNOSIS_USE, EXTENSION, THO
from adapters.hl7.mapping.context import Context, Json, extend, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd, nm
from adapters.hl7.mapping.segments import practitioner
from adapters.hl7.mapping.segments.al1 import cwe_key
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.accounting import INVALID_VALUE
from adapters.hl7.message.tokenizer import Segment

_VERIFICATION: Final = THO + "condition-ver-status"


def condition(ctx: Context, dg1: Segment, patient: str, encounter: str = "") -> str:
    """Return a reference to the Condition, which a later DG1 of the same key updates.

    The key is DG1-20, else the patient's identifier, the visit and the code.
    """
    path = "Condition"
    resource: Json = {"resourceType": path}
    if gone := dg1.peek(21) == "D":
        dg1.take(21, f"{path}.verificationStatus")
        error = {"system": _VERIFICATION, "code": "entered-in-error"}
        resource["verificationStatus"] = {"coding": [error]}
    resource["code"] = _code(ctx, dg1)
    resource["subject"] = {"reference": patient}
    visit = "" if encounter.startswith("#") else encounter
    put(resource, "encounter", {"reference": visit} if visit else None)
    dtm.put_date_time(ctx, resource, "onsetDateTime", dg1, 5)
    dtm.put_date_time(ctx, resource, "recordedDate", dg1, 19)
    if "recordedDate" in resource:
        url = EXTENSION + "condition-assertedDate"
        extend(resource, {"url": url, "valueDateTime": resource["recordedDate"]})
    clinician = dg1.first(16)
    if clinician and (person := practitioner.practitioner(ctx, clinician, resource)):
        resource["asserter"] = {"reference": person}
    parent = dg1.first(22)
    if parent and (cause := hd.ei(ctx, parent, f"{path}.extension", "diagnosis")):
        reference = {"type": path, "identifier": cause}
        extend(resource, {"url": EXTENSION + "condition-dueTo", "valueReference": reference})
    # con-5: what was entered in error has no clinical status.
    cleared = frozenset(("clinicalStatus",)) if gone else frozenset[str]()
    number = dg1.first(20)
    identifier = hd.ei(ctx, number, f"{path}.identifier", "diagnosis") if number else None
    if identifier:
        resource["identifier"] = [identifier]
        return ctx.write("PUT", (hd.token(identifier),), resource, cleared=cleared)
    key = ctx.key(path, who(ctx, patient), who(ctx, visit), cwe_key(dg1) or dg1.raw(4))
    resource["identifier"] = [ctx.key_identifier(key)]
    return ctx.write("PUT", (ctx.key_token(key),), resource, cleared=cleared)


def _code(ctx: Context, dg1: Segment) -> Json:
    code = cwe.first_concept(ctx, dg1, 3, "Condition.code") or {}
    if "text" not in code and (text := dg1.take(4, "Condition.code.text")):
        return {**code, "text": text}
    return code or {"text": "unspecified"}


def diagnosis(ctx: Context, dg1: Segment, condition_reference: str) -> Json:
    """Return the diagnosis as the Encounter has it, with its use and rank."""
    found: Json = {"condition": {"reference": condition_reference}}
    use = cwe.first_concept(
        ctx, dg1, 6, "Encounter.diagnosis.use", table="0052", translate=DIAGNOSIS_USE
    )
    put(found, "use", use)
    rank = nm.whole(dg1.peek(15))
    if rank:
        dg1.take(15, "Encounter.diagnosis.rank")
        found["rank"] = rank
    elif dg1.peek(15):
        dg1.refuse(15, INVALID_VALUE)
    return found
