"""Content items as Observations: numbers, findings, and what qualifies them.

https://dicom.nema.org/medical/dicom/current/output/html/part16.html#sect_TID_300
https://hl7.org/fhir/R4/observation.html
"""

from collections.abc import Iterable
from typing import Any

from adapters.dicom.dataset import datetimes
from adapters.dicom.dataset.attributes import items, text, texts
from adapters.dicom.dataset.codes import DCM
from adapters.dicom.documents import context
from adapters.dicom.documents.draft import CATEGORY, Draft, Json, Made, filled, oid
from adapters.dicom.documents.tree import Item, label
from adapters.dicom.documents.values import concept, shown, uid_value, value

REGION = "urn:sangam:dicom:image-region"
"""Extension of a reference to an ImagingStudy: which instance, frames and coordinates."""

FINDING = "DCM:121071"
PAST = frozenset(("DCM:121060", "DCM:121062", "DCM:121068"))
"""Sections of history, request and previous findings: what they say is text (TID 2000)."""

TRACKING_ID, TRACKING_UID = "DCM:112039", "DCM:112040"
FINDING_SITE, LATERALITY, MODIFIER = "SCT:363698007", "SCT:272741003", "SCT:106233006"
METHOD = "SCT:370129005"
_ALGORITHM = frozenset(("DCM:111001", "DCM:111002", "DCM:111003"))

_PLACED = frozenset(("IMAGE", "COMPOSITE", "WAVEFORM", "SCOORD", "SCOORD3D", "TCOORD"))
_SAID = frozenset(("CODE", "TEXT", "NUM", "DATE", "TIME", "DATETIME", "PNAME", "UIDREF"))
_CONTEXT = frozenset(("HAS CONCEPT MOD", "HAS OBS CONTEXT", "HAS ACQ CONTEXT"))
_SUBJECT_CLASS, _PATIENT, _FETUS = "DCM:121024", "121026", "LN:11951-1"
_MEMBERS = frozenset(("CONTAINS", "INFERRED FROM"))


def observation(draft: Draft, item: Item, code: Json, identifier: Json | None = None) -> Made:
    """Return a new Observation for an item, without value; it is known by its place, or as said."""
    own = draft.identifier(item)
    if identifier is not None and not draft.known("Observation", identifier):
        own = identifier
    at = datetimes.moment(text(item.attributes, "ObservationDateTime"), draft.around.zone)
    report = draft.made[0].resource
    made = draft.add(
        filled(
            {
                "resourceType": "Observation",
                "meta": report.get("meta"),
                "identifier": [own],
                "partOf": list(draft.around.procedures),
                "status": _STATUS[report["status"]],
                "category": [{"coding": [{"system": CATEGORY, "code": "imaging"}]}],
                "code": code,
                "subject": draft.around.subject,
                "encounter": draft.around.encounter,
                "effectiveDateTime": at or report.get("effectiveDateTime"),
                "performer": report.get("performer"),
                "device": draft.device,
                "derivedFrom": [draft.around.study] if draft.around.study else None,
            }
        ),
        own,
    )
    draft.observed[item.position] = made
    return made


_STATUS = {
    "partial": "preliminary",
    "preliminary": "preliminary",
    "final": "final",
    "amended": "amended",
}


def named_code(item: Item) -> Json:
    """Return the code of an item's name; without a name its text says so."""
    return concept(item.concept) or {"text": "Unnamed"}


def observe(draft: Draft, item: Item) -> Made:
    """Return the Observation of an item with a value, its children taken up."""
    made = observation(draft, item, named_code(item))
    give_value(draft, made, item)
    qualify(draft, made, item)
    return made


def observe_apart(draft: Draft, item: Item) -> Made:
    """Return the Observation of an item with what its containers say of all that is in them."""
    made = observe(draft, item)
    in_context(draft, made, item)
    return made


def in_context(draft: Draft, made: Made, item: Item) -> None:
    """Tell of what an Observation is, as the containers of its item do: which side, which fetus.

    A velocity of the left artery is in a container that says so (TID 5103), as are the
    measurements of one of twins (TID 5005).
    """
    holder, said = draft.root, _other_subject(draft.root)
    for index in item.position[1:-1]:
        holder = holder.children[index - 1]
        said += [one for one in holder.children if one.relationship in _CONTEXT]
    for one in said:
        if (one.name, one.value_type) == (FINDING_SITE, "CODE") and "bodySite" not in made.resource:
            _site(draft, made, one)
        elif one.value_type in _SAID and one.name not in _ALGORITHM and shown(one):
            component = {"code": named_code(one), **value(one, draft.around.zone)}
            listed = made.resource.setdefault("component", [])
            listed.append(component)
            draft.mark(one, made, f"component[{len(listed) - 1}].{[*component][-1]}")


def _other_subject(root: Item) -> list[Item]:
    """Return what the document says of a subject that is not the patient: a fetus (TID 1008)."""
    subject = root.child(_SUBJECT_CLASS)
    if subject is None or text(subject.code, "CodeValue") == _PATIENT:
        return []
    return [one for one in root.children if one.name in {_SUBJECT_CLASS, _FETUS}]


def give_value(draft: Draft, made: Made, item: Item) -> None:
    """Set the value of an Observation to that of an item."""
    said = value(item, draft.around.zone)
    made.resource.update(said)
    first = next(iter(said), "")
    if first:
        draft.mark(item, made, first)


def qualify(draft: Draft, made: Made, item: Item, *, besides: Iterable[str] = ()) -> None:
    """Take the children of an item up into its Observation.

    Those named in `besides` are left alone; numbers that it was inferred from are
    Observations of their own.
    """
    left_out = {*besides, *_ALGORITHM}
    if found := context.algorithm(draft, item):
        made.resource["device"] = found.reference
    for child in item.children:
        if child.name not in left_out and not draft.is_used(child):
            _qualify(draft, made, child)


def _qualify(draft: Draft, made: Made, child: Item) -> None:
    how = _QUALIFIERS.get((child.name, child.value_type))
    if child.reference:
        draft.pending.append((made, child))
    elif how is not None and shown(child):
        how(draft, made, child)
    elif child.value_type in _PLACED:
        regions(draft, made, child)
    elif child.value_type == "NUM" and child.relationship in _MEMBERS:
        inferred = observe(draft, child)
        made.resource.setdefault("derivedFrom", []).append(inferred.reference)
    else:
        components(draft, made, [child])


def _tracking_uid(draft: Draft, made: Made, item: Item) -> None:
    _identify(draft, made, item, oid(shown(item)))


def _tracking_id(draft: Draft, made: Made, item: Item) -> None:
    _identify(draft, made, item, {"value": shown(item)})


def _identify(draft: Draft, made: Made, item: Item, identifier: Json) -> None:
    known = made.resource["identifier"]
    if identifier not in known:
        known.append(identifier)
    draft.mark(item, made, f"identifier[{known.index(identifier)}].value")


def _site(draft: Draft, made: Made, item: Item) -> None:
    """Set the body site; a side or direction becomes part of its text, as R4 has one concept."""
    if "bodySite" in made.resource:
        components(draft, made, [item])
        return
    said = concept(item.code)
    draft.mark(item, made, "bodySite")
    more = []
    for child in item.children:
        if child.name in {LATERALITY, MODIFIER} and shown(child):
            more.append(shown(child))
            draft.mark(child, made, "bodySite.text")
    if more:
        said["text"] = f"{said.get('text', '')} ({', '.join(more)})".strip()
    made.resource["bodySite"] = said
    components(draft, made, item.children)


def _method(draft: Draft, made: Made, item: Item) -> None:
    if "method" in made.resource:
        components(draft, made, [item])
        return
    made.resource["method"] = concept(item.code)
    draft.mark(item, made, "method")
    components(draft, made, item.children)


_QUALIFIERS = {
    (TRACKING_UID, "UIDREF"): _tracking_uid,
    (TRACKING_ID, "TEXT"): _tracking_id,
    (FINDING_SITE, "CODE"): _site,
    (METHOD, "CODE"): _method,
}


def components(draft: Draft, made: Made, some: Iterable[Item], prefix: str = "") -> None:
    """Add items, and all below them, as components; `prefix` tells equal ones apart."""
    ahead = list(some)[::-1]
    while ahead:
        item = ahead.pop()
        if draft.is_used(item):
            ahead.extend(reversed(item.children))
            continue
        if item.reference:
            draft.pending.append((made, item))
            continue
        if item.value_type in _PLACED:
            regions(draft, made, item)
            continue
        said = value(item, draft.around.zone) if item.value_type in _SAID else {}
        if said:
            code = named_code(item)
            if prefix:
                code["text"] = f"{prefix}: {code.get('text') or label(item)}"
            listed = made.resource.setdefault("component", [])
            listed.append({"code": code, **said})
            draft.mark(item, made, f"component[{len(listed) - 1}].{next(iter(said))}")
        ahead.extend(reversed(item.children))


def regions(draft: Draft, made: Made, item: Item) -> None:
    """Add the instances, frames and coordinates of an item, and of those below it.

    They are extensions of the reference to the study, since R4 has none to an instance.
    """
    study = draft.around.study
    if study is None:
        return
    places = made.resource.setdefault("derivedFrom", [])
    for one in item.walk():
        if one.value_type not in _PLACED or draft.is_used(one):
            if not draft.is_used(one):
                components(draft, made, [one])
            continue
        extension = _region(one)
        if extension is None:
            continue
        if places and "extension" not in places[0] and places[0] == study:
            places[0] = {"extension": [extension], **study}
        elif places and "extension" in places[0]:
            places[0]["extension"].append(extension)
        else:
            places.insert(0, {"extension": [extension], **study})
        count = len(places[0]["extension"])
        draft.mark(one, made, f"derivedFrom[0].extension[{count - 1}]")


def _region(item: Item) -> Json | None:
    inner: list[Json] = []
    if item.name:
        inner.append({"url": "concept", "valueCodeableConcept": named_code(item)})
    for one in items(item.attributes, "ReferencedSOPSequence"):
        if uid := text(one, "ReferencedSOPInstanceUID"):
            inner.append({"url": "instance", **uid_value(uid)})
        inner += _numbers(one, "ReferencedFrameNumber", "frame")
        inner += _numbers(one, "ReferencedSegmentNumber", "segment")
        inner += _numbers(one, "ReferencedWaveformChannels", "channel")
    if graphic := text(item.attributes, "GraphicType") or text(
        item.attributes, "TemporalRangeType"
    ):
        inner.append({"url": "graphicType", "valueCode": graphic})
    if uid := text(item.attributes, "ReferencedFrameOfReferenceUID"):
        inner.append({"url": "frameOfReference", **uid_value(uid)})
    if points := item.attributes.get("GraphicData"):
        data = " ".join(f"{number:.9g}" for number in points)
        inner.append({"url": "graphicData", "valueString": data})
    for keyword in ("ReferencedSamplePositions", "ReferencedTimeOffsets", "ReferencedDateTime"):
        if said := texts(item.attributes, keyword):
            inner.append({"url": "range", "valueString": " ".join(said)})
    return {"url": REGION, "extension": inner} if inner else None


def _numbers(one: Any, keyword: str, url: str) -> list[Json]:  # noqa: ANN401
    return [
        {"url": url, "valuePositiveInt": int(said)}
        for said in texts(one, keyword)
        if said.isascii() and said.isdecimal() and 0 < int(said) < 1 << 31
    ]


def refer(draft: Draft) -> None:
    """Turn items by reference into `derivedFrom` of the Observation that they lead to."""
    for made, item in draft.pending:
        target = draft.observed.get(item.reference)
        if target is not None and target is not made:
            places = made.resource.setdefault("derivedFrom", [])
            if target.reference not in places:
                places.append(target.reference)
            draft.mark(item, made, f"derivedFrom[{places.index(target.reference)}]")


def findings(draft: Draft) -> list[Made]:
    """Return Observations of what no template took: findings, and numbers wherever they are.

    What is told of the past is none: it would stand as found now.
    """
    made = []
    for item in draft.root.walk(besides=PAST):
        if draft.is_used(item) or item.reference:
            continue
        is_finding = item.name == FINDING and item.value_type in {"TEXT", "CODE"}
        if (is_finding and shown(item)) or item.value_type == "NUM":
            made.append(observe_apart(draft, item))
    return made


def coded(system: str, code: str, display: str) -> Json:
    """Return a concept of one code."""
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


MEASUREMENT_GROUP = coded(DCM, "125007", "Measurement Group")
