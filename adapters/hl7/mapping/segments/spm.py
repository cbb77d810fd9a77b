"""SPM, SAC and the specimen fields of OBR as Specimen.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-spm-to-specimen.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-obr-to-specimen.html
"""

from typing import Final

from adapters.hl7.mapping.code_tables import SPECIMEN_METHOD
from adapters.hl7.mapping.context import Context, Json, Link, add, put
from adapters.hl7.mapping.datatypes import cwe, dtm, hd
from adapters.hl7.mapping.datatypes.cq import cq, of_fields
from adapters.hl7.mapping.datatypes.period import period
from adapters.hl7.mapping.segments import nte, practitioner
from adapters.hl7.message.accounting import CONDITION_FALSE, DUPLICATE, INVALID_VALUE
from adapters.hl7.message.grouping import SpecimenGroup
from adapters.hl7.message.tokenizer import Segment

_STATUS: Final = {"Y": "available", "N": "unavailable"}
_OBR_FIELDS: Final = (9, 10, 14, 15, 39)
_FASTING: Final = "HL70916"
_ISOLATES: Final = frozenset(("ISLT", "119303007"))  # of v2-0487, of SNOMED CT


def specimen(
    ctx: Context,
    group: SpecimenGroup,
    obr: Segment | None,
    patient: str,
    report_key: str,
    *,
    collected: bool = True,
) -> str:
    """Return a reference to the Specimen of a SPM, with what OBR says of it.

    It is found again by its own numbers, else by its report. `patient` may be "".
    `collected` tells that OBR-7 and 8 are when it was taken, as they are in results.
    """
    spm = group.spm
    same = ctx.once.get(("SPM", str(spm.index)))
    if same is not None:
        _of_another_obr(ctx, str(same), obr, collected=collected)
        return str(same)
    resource: Json = {"resourceType": "Specimen"}
    _identify(ctx, group, resource)
    _containers(ctx, group, resource)
    number = next((hd.token(i) for i in _numbers(resource)), "")
    key = ctx.key("Specimen", number) if number else ctx.key("Specimen", report_key)
    known = ctx.once.get(("Specimen", key))
    if known is not None:
        first = ctx.once["Specimen group", key]
        if _is_same(group, first):
            _repeat(group, first)
            return str(known)
        key = ctx.key("Specimen", key, spm.raw(4))
        _grown(spm, resource, str(known))
    _status(spm, resource)
    put(resource, "type", cwe.first_concept(ctx, spm, 4, "Specimen.type", table="0487"))
    if patient:
        resource["subject"] = {"reference": patient}
    dtm.put_date_time(ctx, resource, "receivedTime", spm, 18)
    _parents(ctx, spm, resource)
    _collection(ctx, spm, resource)
    _condition(ctx, spm, resource)
    if obr is not None:
        _of_obr(ctx, obr, resource, collected=collected)
    notes = [{"text": t} for r in spm.repetitions(14) if (t := r.take(1, "Specimen.note.text"))]
    notes += nte.annotations(ctx, group.notes, resource, "Specimen.note")
    put(resource, "note", [*resource.get("note", ()), *notes])
    reference = ctx.put_keyed(key, resource, "" if number else report_key)
    ctx.once[("Specimen", key)] = ctx.once[("SPM", str(spm.index))] = reference
    ctx.once["Specimen group", key] = group
    for parent in resource.get("parent", ()):
        if "identifier" not in parent:
            continue
        token = (hd.token(parent["identifier"]),)
        ctx.links.append(Link(reference, "parent", "Specimen", token))
    return reference


def _of_another_obr(ctx: Context, reference: str, obr: Segment | None, *, collected: bool) -> None:
    """Add what one more order says of a specimen that it shares."""
    written = ctx.writes.get(reference)
    if written is not None and obr is not None:
        _of_obr(ctx, obr, written.resource, collected=collected)


def of_obr(
    ctx: Context, obr: Segment, patient: str, report_key: str, *, collected: bool = True
) -> str | None:
    """Return a reference to the Specimen that OBR alone speaks of, None where it does not."""
    if not any(obr.valued(number) for number in _OBR_FIELDS):
        return None
    resource: Json = {"resourceType": "Specimen", "subject": {"reference": patient}}
    _of_obr(ctx, obr, resource, collected=collected)
    if len(resource) == 2:  # noqa: PLR2004  (nothing was added)
        return None
    return ctx.put_keyed(ctx.key("Specimen", report_key), resource, report_key)


def _numbers(resource: Json) -> list[Json]:
    """Return what names the specimen, its container last; a shipment holds several."""
    own = [one for one in resource.get("identifier", ()) if not _is_shipment(one)]
    accession = resource.get("accessionIdentifier")
    containers = [one for box in resource.get("container", ()) for one in box.get("identifier", ())]
    return [*own, *([accession] if accession else ()), *containers[:1]]


def _is_shipment(identifier: Json) -> bool:
    codings = identifier.get("type", {}).get("coding", ())
    return any(one.get("code") == "SHIP" for one in codings)


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
    path = "Specimen.identifier"
    for other in spm.repetitions(31):
        add(resource, "identifier", hd.cx(ctx, other, path, "specimen"))
    shipment = spm.first(32)
    if shipment is not None and (identifier := hd.ei(ctx, shipment, path, "shipment")):
        add(resource, "identifier", {"type": hd.fixed_type("SHIP"), **identifier})
    for sac in group.containers:
        external = sac.first(1)
        if external is not None and (identifier := hd.ei(ctx, external, path, "accession")):
            add(resource, "identifier", {"type": hd.fixed_type("ACSN"), **identifier})


def _is_same(group: SpecimenGroup, first: SpecimenGroup) -> bool:
    """Whether two SPM of one number are one specimen: not where both tell different types."""
    kinds = {one.spm.raw(4) for one in (group, first)} - {""}
    return len(kinds) <= 1


def _grown(spm: Segment, resource: Json, source: str) -> None:
    """An isolate that has the number of the specimen from which it was grown is its child."""
    rep = spm.first(4)
    if rep is not None and not spm.valued(3) and _ISOLATES & {rep.peek(1), rep.peek(4)}:
        resource["parent"] = [{"reference": source}]


def _repeat(group: SpecimenGroup, first: SpecimenGroup) -> None:
    """The specimen was described before in this message, and is as it was said first."""
    said = {
        (segment.name, number, segment.raw(number))
        for segment in (first.spm, *first.containers, *first.notes)
        for number in range(2, len(segment.fields))
    }
    for segment in (group.spm, *group.containers, *group.notes):
        for number in range(2, len(segment.fields)):
            if segment.valued(number):
                same = (segment.name, number, segment.raw(number)) in said
                segment.refuse(number, DUPLICATE if same else CONDITION_FALSE)


def _status(spm: Segment, resource: Json) -> None:
    available = spm.peek(20)
    if spm.valued(21):
        resource["status"] = "unsatisfactory"
        spm.refuse(20, CONDITION_FALSE)
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
    put(found, "quantity", cq(spm.first(12), f"{path}.quantity"))
    rep = spm.first(17)
    if rep is not None:
        _collected(found, period(ctx, (rep, 1), (rep, 2), path))
    put(resource, "collection", found)


def _collected(found: Json, when: Json) -> None:
    if "end" in when:
        found["collectedPeriod"] = when
    else:
        put(found, "collectedDateTime", when.get("start"))


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
        if accession is not None and "accessionIdentifier" in resource:
            sac.refuse(2, CONDITION_FALSE)
        elif accession is not None:
            identifier = hd.ei(ctx, accession, "Specimen.accessionIdentifier", "accession")
            put(resource, "accessionIdentifier", identifier)
        _volume(sac, found, path)
        if found:
            containers.append(found)
    put(resource, "container", containers)


def _volume(sac: Segment, found: Json, path: str) -> None:
    for number, name in ((21, "capacity"), (22, "specimenQuantity")):
        if sac.valued(number):
            put(found, name, of_fields(sac, number, 24, f"{path}.{name}"))


def _of_obr(ctx: Context, obr: Segment, resource: Json, *, collected: bool) -> None:
    """Add what OBR says, where SPM or another OBR said nothing."""
    collection: Json = resource.get("collection", {})
    path = "Specimen.collection"
    told = "collectedDateTime" in collection or "collectedPeriod" in collection
    if collected and not told:
        _collected(collection, period(ctx, (obr.first(7), 1), (obr.first(8), 1), path))
    if "quantity" not in collection:
        put(collection, "quantity", cq(obr.first(9), f"{path}.quantity"))
    collector = obr.first(10) if "collector" not in collection else None
    if collector is not None and (person := practitioner.practitioner(ctx, collector, resource)):
        collection["collector"] = {"reference": person}
    if obr.raw(13):
        _fasting(ctx, obr, collection)
    put(resource, "collection", collection)
    if "receivedTime" not in resource:
        dtm.put_date_time(ctx, resource, "receivedTime", obr, 14)
    _source(ctx, obr, resource)
    _comments(obr, resource)
    for number in (9, 10, 14, 15, 39):
        if obr.raw(number):
            obr.refuse(number, CONDITION_FALSE)


def _comments(obr: Segment, resource: Json) -> None:
    for rep in obr.repetitions(39):
        if text := rep.take(2, "Specimen.note.text") or rep.take(1, "Specimen.note.text"):
            _note(resource, text)


def _note(resource: Json, text: str) -> None:
    if {"text": text} not in resource.get("note", ()):
        add(resource, "note", {"text": text})


def _fasting(ctx: Context, obr: Segment, collection: Json) -> None:
    """OBR-13 of table 0916; other clinical information is the order's."""
    for rep in obr.repetitions(13):
        if rep.peek(3) == _FASTING:
            path = "Specimen.collection.fastingStatus"
            put(collection, "fastingStatusCodeableConcept", cwe.concept(ctx, rep, path))


def _source(ctx: Context, obr: Segment, resource: Json) -> None:
    """OBR-15 (SPS): type, additive, note, body site and condition, where SPM said nothing."""
    rep = obr.first(15)
    if rep is None:
        return
    if "type" not in resource:
        put(resource, "type", cwe.component(ctx, rep, 1, "Specimen.type", table="0487"))
    if "container" not in resource:
        path = "Specimen.container.additive"
        if additive := cwe.component(ctx, rep, 2, path, table="0371"):
            resource["container"] = [{"additiveCodeableConcept": additive}]
    if text := rep.take(3, "Specimen.note.text"):
        _note(resource, text)
    if "bodySite" not in resource.get("collection", {}):
        site = cwe.component(ctx, rep, 4, "Specimen.collection.bodySite", table="0163")
        if site:
            resource.setdefault("collection", {})["bodySite"] = site
    if "condition" not in resource:
        condition = cwe.component(ctx, rep, 6, "Specimen.condition", table="0493")
        put(resource, "condition", [condition] if condition else None)
