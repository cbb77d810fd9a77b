"""SPM, SAC and the specimen fields of OBR as Specimen.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-spm-to-specimen.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-obr-to-specimen.html
"""

from typing import Final

from adapters.hl7.mapping import units
from adapters.hl7.mapping.code_tables import SPECIMEN_METHOD
from adapters.hl7.mapping.context import Context, Json, add, coding, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd, nm
from adapters.hl7.mapping.segments import nte, practitioner
from adapters.hl7.message.accounting import DUPLICATE, INVALID_VALUE
from adapters.hl7.message.grouping import SpecimenGroup
from adapters.hl7.message.tokenizer import Repetition, Segment

_STATUS: Final = {"Y": "available", "N": "unavailable"}
_OBR_FIELDS: Final = (9, 10, 14, 15, 39)


def specimen(
    ctx: Context, group: SpecimenGroup, obr: Segment, patient: str, report_key: str
) -> str:
    """Return a reference to the Specimen of a SPM, with what OBR says of it.

    It is found again by its own numbers, else by its report.
    """
    spm = group.spm
    resource: Json = {"resourceType": "Specimen"}
    _identify(ctx, group, resource)
    number = next((hd.token(i) for i in _numbers(resource)), "")
    key = ctx.key("Specimen", number) if number else ctx.key("Specimen", report_key)
    known = ctx.once.get(("Specimen", key))
    if known is not None:
        _repeat(group)
        return str(known)
    _status(spm, resource)
    put(resource, "type", cwe.first_concept(ctx, spm, 4, "Specimen.type", table="0487"))
    resource["subject"] = {"reference": patient}
    dtm.put_date_time(ctx, resource, "receivedTime", spm, 18)
    _parents(ctx, spm, resource)
    _collection(ctx, spm, resource)
    _condition(ctx, spm, resource)
    _containers(ctx, group, resource)
    _of_obr(ctx, obr, resource)
    notes = [{"text": t} for r in spm.repetitions(14) if (t := r.take(1, "Specimen.note.text"))]
    notes += nte.annotations(ctx, group.notes, resource, "Specimen.note")
    put(resource, "note", [*resource.get("note", ()), *notes])
    reference = ctx.put_keyed(key, resource, "" if number else report_key)
    ctx.once[("Specimen", key)] = reference
    return reference


def of_obr(ctx: Context, obr: Segment, patient: str, report_key: str) -> str | None:
    """Return a reference to the Specimen that OBR alone speaks of, None where it does not."""
    if not any(obr.valued(number) for number in _OBR_FIELDS):
        return None
    resource: Json = {"resourceType": "Specimen", "subject": {"reference": patient}}
    _of_obr(ctx, obr, resource)
    if len(resource) == 2:  # noqa: PLR2004  (nothing was added)
        return None
    return ctx.put_keyed(ctx.key("Specimen", report_key), resource, report_key)


def _numbers(resource: Json) -> list[Json]:
    accession = resource.get("accessionIdentifier")
    return [*resource.get("identifier", ()), *([accession] if accession else ())]


def _identify(ctx: Context, group: SpecimenGroup, resource: Json) -> None:
    spm = group.spm
    rep = spm.first(2)
    if rep is not None:
        for component, code in ((1, "PLAC"), (2, "FILL")):
            path, default = "Specimen.identifier", f"specimen-{code.lower()}"
            number = hd.ei_part(ctx, rep, component, path, default)
            if number:
                add(resource, "identifier", {"type": hd.fixed_type(code), **number})
    accession = spm.first(30)
    if accession is not None:
        number = hd.cx(ctx, accession, "Specimen.accessionIdentifier", "accession")
        put(resource, "accessionIdentifier", number)
    for number_at in (31, 32):
        for other in spm.repetitions(number_at):
            path = "Specimen.identifier"
            add(resource, "identifier", hd.cx(ctx, other, path, "specimen"))


def _repeat(group: SpecimenGroup) -> None:
    """The specimen was described before in this message, and is one resource."""
    for segment in (group.spm, *group.containers, *group.notes):
        for number in range(2, len(segment.fields)):
            if segment.valued(number):
                segment.refuse(number, DUPLICATE)


def _status(spm: Segment, resource: Json) -> None:
    available = spm.peek(20)
    if spm.valued(21):
        resource["status"] = "unsatisfactory"
    elif available in _STATUS:
        resource["status"] = _STATUS[spm.take(20, "Specimen.status")]
    elif available:
        spm.refuse(20, INVALID_VALUE)


def _parents(ctx: Context, spm: Segment, resource: Json) -> None:
    for rep in spm.repetitions(3):
        for component, code in ((1, "PLAC"), (2, "FILL")):
            path, default = "Specimen.parent.identifier", f"specimen-{code.lower()}"
            if number := hd.ei_part(ctx, rep, component, path, default):
                typed = {"type": hd.fixed_type(code), **number}
                add(resource, "parent", {"type": "Specimen", "identifier": typed})


def _collection(ctx: Context, spm: Segment, resource: Json) -> None:
    found: Json = {}
    path = "Specimen.collection"
    method = cwe.first_concept(ctx, spm, 7, path, table="0488", translate=SPECIMEN_METHOD)
    put(found, "method", method)
    put(found, "bodySite", cwe.first_concept(ctx, spm, 8, path, table="0163"))
    put(found, "quantity", _quantity(spm.first(12), f"{path}.quantity"))
    rep = spm.first(17)
    if rep is not None:
        _collected(found, *(dtm.date_time(ctx, rep, part, path) for part in (1, 2)))
    put(resource, "collection", found)


def _collected(found: Json, start: str, end: str) -> None:
    if end:
        period: Json = {}
        put(period, "start", start)
        period["end"] = end
        found["collectedPeriod"] = period
    else:
        put(found, "collectedDateTime", start)


def _quantity(rep: Repetition | None, path: str) -> Json | None:
    """Return the Quantity of a CQ."""
    if rep is None:
        return None
    number = nm.number(rep.peek(1))
    if number is None or number.comparator:
        rep.refuse(1, INVALID_VALUE)
        return None
    rep.mark(1, f"{path}.value")
    code, text = rep.peek(2), rep.peek(2, 2)
    rep.mark(2, f"{path}.unit")
    if text:
        rep.mark(2, f"{path}.unit", 2)
    return nm.quantity(number, units.members(text or code, code))


def _condition(ctx: Context, spm: Segment, resource: Json) -> None:
    path = "Specimen.condition"
    found = cwe.concepts(ctx, spm, 24, path, table="0493")
    found += cwe.concepts(ctx, spm, 21, path, table="0490")
    put(resource, "condition", found)


def _containers(ctx: Context, group: SpecimenGroup, resource: Json) -> None:
    path = "Specimen.container"
    container: Json = {}
    put(container, "type", cwe.first_concept(ctx, group.spm, 27, f"{path}.type"))
    additive = cwe.first_concept(ctx, group.spm, 6, f"{path}.additive", table="0371")
    put(container, "additiveCodeableConcept", additive)
    containers = [container] if container else []
    for sac in group.containers:
        found: Json = {}
        for number in (3, 4):
            rep = sac.first(number)
            if rep is not None:
                add(found, "identifier", hd.ei(ctx, rep, f"{path}.identifier", "container"))
        accession = sac.first(2)
        if accession is not None and "accessionIdentifier" not in resource:
            identifier = hd.ei(ctx, accession, "Specimen.accessionIdentifier", "accession")
            put(resource, "accessionIdentifier", identifier)
        _volume(sac, found, path)
        if found:
            containers.append(found)
    put(resource, "container", containers)


def _volume(sac: Segment, found: Json, path: str) -> None:
    unit = sac.peek(24)
    for number, name in ((21, "capacity"), (22, "specimenQuantity")):
        value = nm.number(sac.peek(number))
        if value is not None and not value.comparator:
            sac.take(number, f"{path}.{name}")
            sac.take(24, f"{path}.{name}.unit")
            found[name] = nm.quantity(value, units.members(unit))


def _of_obr(ctx: Context, obr: Segment, resource: Json) -> None:
    """Add what OBR says, where SPM said nothing."""
    collection: Json = resource.get("collection", {})
    path = "Specimen.collection"
    if "collectedDateTime" not in collection and "collectedPeriod" not in collection:
        moments = []
        for number in (7, 8):
            rep = obr.first(number)
            moments.append(dtm.date_time(ctx, rep, 1, path) if rep is not None else "")
        _collected(collection, moments[0], moments[1])
    if "quantity" not in collection:
        put(collection, "quantity", _quantity(obr.first(9), f"{path}.quantity"))
    collector = obr.first(10)
    if collector is not None and (person := practitioner.practitioner(ctx, collector, resource)):
        collection["collector"] = {"reference": person}
    put(resource, "collection", collection)
    if "receivedTime" not in resource:
        dtm.put_date_time(ctx, resource, "receivedTime", obr, 14)
    _source(ctx, obr, resource)
    for rep in obr.repetitions(39):
        if text := rep.take(2, "Specimen.note.text") or rep.take(1, "Specimen.note.text"):
            add(resource, "note", {"text": text})


def _source(ctx: Context, obr: Segment, resource: Json) -> None:
    """OBR-15 (SPS): type, additive, note, body site and condition."""
    rep = obr.first(15)
    if rep is None:
        return
    if "type" not in resource:
        put(resource, "type", _part(ctx, rep, 1, "Specimen.type", "0487"))
    if text := rep.take(3, "Specimen.note.text"):
        add(resource, "note", {"text": text})
    if "bodySite" not in resource.get("collection", {}):
        site = _part(ctx, rep, 4, "Specimen.collection.bodySite", "0163")
        if site:
            resource.setdefault("collection", {})["bodySite"] = site


def _part(ctx: Context, rep: Repetition, component: int, path: str, table: str) -> Json | None:
    """Return the CodeableConcept of a CWE that is one component."""
    code, text = rep.take(component, path), rep.take(component, path, 2)
    name = rep.take(component, path, 3)
    if not code:
        return {"text": text} if text else None
    found = coding(cwe.system_of(ctx, name, code, table, table), code)
    put(found, "display", text)
    return {"coding": [found]}
