"""Radiation dose: what was accumulated, and each event.

https://dicom.nema.org/medical/dicom/current/output/html/part16.html#sect_TID_10001
https://dicom.nema.org/medical/dicom/current/output/html/part16.html#sect_TID_10011
https://dicom.nema.org/medical/dicom/current/output/html/part16.html#sect_TID_10021
"""

from collections.abc import Iterable

from adapters.dicom.dataset import datetimes
from adapters.dicom.dataset.attributes import text
from adapters.dicom.dataset.codes import DCM
from adapters.dicom.documents.draft import Draft, Json, Made, oid
from adapters.dicom.documents.observations import (
    coded,
    components,
    give_value,
    named_code,
    observation,
    observe_apart,
    qualify,
)
from adapters.dicom.documents.tree import Item, label
from adapters.dicom.documents.values import concept, shown, value

ROOTS = frozenset(("DCM:113701", "DCM:113500"))

_ACCUMULATED = frozenset(("DCM:113702", "DCM:113811"))
_EVENTS = frozenset(("DCM:113706", "DCM:113819", "DCM:113502"))
_EVENT_UIDS = frozenset(("DCM:113769", "DCM:113503"))
_STARTED = frozenset(("DCM:111526", "DCM:123003"))
_ENDED = frozenset(("DCM:111527", "DCM:123004"))
_TARGET_REGION = "DCM:123014"
_PLANE = "DCM:113764"
_LOINC = "http://loinc.org"
_NAMES = {
    "73569-6": "Radiation exposure and protection information",
    "113852": "Irradiation Event",
}


def doses(draft: Draft) -> list[Made]:
    """Return the summary of a dose report; its members are figures, then events."""
    root = draft.root
    code = named_code(root)
    if report := draft.around.dose_codes[0]:
        coding: Json = {"system": _LOINC, "code": report}
        code.setdefault("coding", []).append(coding)
        if report in _NAMES:
            coding["display"] = _NAMES[report]
    summary = observation(draft, root, code)
    draft.mark(root, summary, "code")
    held = [one for one in root.walk() if one.value_type == "CONTAINER"]
    figures = _figures(draft, summary, [one for one in held if one.name in _ACCUMULATED])
    events = [_event(draft, one) for one in held if one.name in _EVENTS]
    others = [
        observe_apart(draft, one)
        for one in root.walk()
        if one.value_type == "NUM" and not draft.is_used(one)
    ]
    members = [*figures, *events, *others]
    if members:
        summary.resource["hasMember"] = [one.reference for one in members]
    components(draft, summary, [one for one in root.children if one.value_type != "CONTAINER"])
    return [summary]


def _figures(draft: Draft, summary: Made, containers: Iterable[Item]) -> list[Made]:
    """Return one Observation for each figure; with several planes it has one component each."""
    by_code: dict[str, list[tuple[Item, Item]]] = {}
    for container in containers:
        for item in container.children:
            if item.value_type == "NUM":
                by_code.setdefault(item.name, []).append((container, item))
        draft.mark(container, summary, "hasMember")
    made = [_figure(draft, found) for found in by_code.values()]
    for container in containers:
        planes = [one for one in container.children if one.name == _PLANE]
        for plane in planes:
            if not draft.is_used(plane):
                components(draft, summary, [plane])
        components(draft, summary, [one for one in container.children if one not in planes])
    return made


def _figure(draft: Draft, found: list[tuple[Item, Item]]) -> Made:
    container, item = found[0]
    made = observation(draft, item, named_code(item))
    if len(found) == 1:
        give_value(draft, made, item)
        if plane := container.child(_PLANE):
            made.resource.setdefault("component", []).append(
                {"code": named_code(plane), **value(plane, draft.around.zone)}
            )
            draft.mark(plane, made, "component[0].valueCodeableConcept")
        qualify(draft, made, item)
        return made
    listed = made.resource.setdefault("component", [])
    for number, (each, one) in enumerate(found, 1):
        listed.append({"code": _of_plane(each, number), **value(one, draft.around.zone)})
        draft.mark(one, made, f"component[{len(listed) - 1}].valueQuantity")
        if plane := each.child(_PLANE):
            draft.mark(plane, made, f"component[{len(listed) - 1}].code")
        components(draft, made, one.children)
    return made


def _of_plane(container: Item, number: int) -> Json:
    plane = container.child(_PLANE)
    said = concept(plane.code) if plane is not None else {}
    return said or {"text": f"{label(container)} {number}"}


def _event(draft: Draft, event: Item) -> Made:
    """Return the Observation of an event: all that is said of it are components."""
    uid = next((one for one in event.children if one.name in _EVENT_UIDS and shown(one)), None)
    identifier = oid(shown(uid)) if uid is not None else None
    exposed = draft.around.dose_codes[1]
    code = named_code(event)
    if exposed and event.name != "DCM:113502":
        code = coded(DCM, exposed, _NAMES.get(exposed, label(event)))
    made = observation(draft, event, code, identifier)
    draft.mark(event, made, "code")
    if uid is not None and made.resource["identifier"][0] == identifier:
        draft.mark(uid, made, "identifier[0].value")
    _effective(draft, made, event)
    region = event.child(_TARGET_REGION)
    if region is not None and region.value_type == "CODE" and shown(region):
        made.resource["bodySite"] = concept(region.code)
        draft.mark(region, made, "bodySite")
    _parameters(draft, made, event)
    return made


def _parameters(draft: Draft, made: Made, event: Item) -> None:
    """Add all leaves; where a group of parameters stands several times, it is numbered."""
    for container in event.walk():
        names = [one.name for one in container.children if one.value_type == "CONTAINER"]
        seen: dict[str, int] = {}
        for child in container.children:
            if child.value_type != "CONTAINER" or names.count(child.name) < 2:  # noqa: PLR2004
                continue
            seen[child.name] = seen.get(child.name, 0) + 1
            prefix = f"{label(child)} {seen[child.name]}"
            components(draft, made, child.children, prefix)
            draft.mark(child, made, "component")
    components(draft, made, event.children)
    for one in event.walk():
        if one.value_type == "CONTAINER" and not draft.is_used(one):
            draft.mark(one, made, "component")


def _effective(draft: Draft, made: Made, event: Item) -> None:
    """Set when an event was: from start to end where both are said."""
    found = {
        key: one
        for one in event.walk()
        for key, names in (("start", _STARTED), ("end", _ENDED))
        if one.name in names and one.value_type == "DATETIME"
    }
    times = {
        key: at
        for key, one in sorted(found.items(), reverse=True)
        if (at := datetimes.moment(text(one.attributes, "DateTime"), draft.around.zone))
    }
    if times.keys() == {"start", "end"} and times["start"] <= times["end"]:
        made.resource.pop("effectiveDateTime", None)
        made.resource["effectivePeriod"] = times
        for key, one in found.items():
            draft.mark(one, made, f"effectivePeriod.{key}")
    elif "start" in times:
        made.resource["effectiveDateTime"] = times["start"]
        draft.mark(found["start"], made, "effectiveDateTime")
