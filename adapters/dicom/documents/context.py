"""Who observed, with what, and of whom: the observation context of a document.

https://dicom.nema.org/medical/dicom/current/output/html/part16.html#sect_TID_1001
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from adapters.dicom.dataset import datetimes
from adapters.dicom.dataset.attributes import text
from adapters.dicom.dataset.names import display, families, folded
from adapters.dicom.documents.draft import Draft, Json, Made, filled, oid
from adapters.dicom.documents.tree import Item
from adapters.dicom.documents.values import shown

ALGORITHM = "urn:sangam:dicom:algorithm"
"""System of `<name>/<version>` of an algorithm that measured."""

_OBSERVER_TYPE, _PERSON, _DEVICE = "DCM:121005", "DCM:121006", "DCM:121007"
_PERSON_ITEMS = {
    "DCM:121008": "name",
    "DCM:121009": "organization",
}
_DEVICE_ITEMS = {
    "DCM:121012": "uid",
    "DCM:121013": "name",
    "DCM:121014": "manufacturer",
    "DCM:121015": "model",
    "DCM:121016": "serial",
    "DCM:121017": "location",
}
_SUBJECT_CLASS, _PATIENT = "DCM:121024", "DCM:121026"
_ALGORITHM_NAME, _ALGORITHM_VERSION = "DCM:111001", "DCM:111003"
_ALGORITHM_PARAMETERS = "DCM:111002"


@dataclass(slots=True)
class Observer:
    """A person or device that observed: what was said of it, and the items that said it."""

    kind: str
    said: dict[str, str] = field(default_factory=dict)
    items: list[Item] = field(default_factory=list)


def observers(root: Item) -> list[Observer]:
    """Return the observers of a document; without a type they are persons (TID 1002)."""
    found: list[Observer] = []
    for item in root.children:
        if item.relationship != "HAS OBS CONTEXT":
            continue
        if item.name == _OBSERVER_TYPE:
            kind = "device" if _is(item, _DEVICE) else "person"
            found.append(Observer(kind, items=[item]))
            continue
        kind = "device" if item.name in _DEVICE_ITEMS else "person"
        names = _DEVICE_ITEMS if kind == "device" else _PERSON_ITEMS
        if item.name not in names:
            continue
        if not found or found[-1].kind != kind or names[item.name] in found[-1].said:
            found.append(Observer(kind))
        found[-1].said[names[item.name]] = shown(item)
        found[-1].items.append(item)
    return found


def _is(item: Item, name: str) -> bool:
    return text(item.code, "CodeValue") == name.partition(":")[2]


def person(observer: Observer) -> Json | None:
    """Return the performer that a person is; None without a name."""
    name = observer.said.get("name", "")
    parts = [name, observer.said.get("organization", "")]
    said = ", ".join(part for part in parts if part)
    if not said:
        return None
    return {"type": "Practitioner" if name else "Organization", "display": said}


def device(draft: Draft, observer: Observer) -> Made | None:
    """Return the Device that an observer is, by its UID or serial number; None without one."""
    said = observer.said
    if uid := said.get("uid"):
        identifier = oid(uid)
    elif serial := said.get("serial"):
        maker = f"{said.get('manufacturer', '')}/{said.get('model', '')}"
        identifier = {"system": "urn:sangam:dicom:device", "value": f"{maker}/{serial}"}
    else:
        return None
    made = draft.known("Device", identifier) or draft.add(
        filled(
            {
                "resourceType": "Device",
                "identifier": [identifier],
                "type": {"text": "Device"},
                "manufacturer": said.get("manufacturer"),
                "serialNumber": said.get("serial"),
                "modelNumber": said.get("model"),
                "deviceName": _device_names(said),
                "note": [{"text": f"At {said['location']}"}] if said.get("location") else None,
            }
        ),
        identifier,
        once=True,
    )
    for item in observer.items:
        draft.mark(item, made, _DEVICE_PATHS.get(item.name, "type"))
    return made


_DEVICE_PATHS = {
    "DCM:121012": "identifier[0]",
    "DCM:121013": "deviceName[0].name",
    "DCM:121014": "manufacturer",
    "DCM:121015": "modelNumber",
    "DCM:121016": "serialNumber",
    "DCM:121017": "note[0].text",
}


def _device_names(said: Mapping[str, str]) -> list[Json]:
    name = said.get("name")
    return [{"name": name, "type": "user-friendly-name"}] if name else []


def algorithm(draft: Draft, holder: Item) -> Made | None:
    """Return the Device of the algorithm that an item's children name (TID 4019), else None."""
    name = holder.child(_ALGORITHM_NAME)
    if name is None or not shown(name):
        return None
    version = holder.child(_ALGORITHM_VERSION)
    number = shown(version) if version else ""
    identifier = {"system": ALGORITHM, "value": f"{shown(name)}/{number}"}
    made = draft.known("Device", identifier)
    if made is None:
        resource: Json = {
            "resourceType": "Device",
            "identifier": [identifier],
            "deviceName": [{"name": shown(name), "type": "model-name"}],
            "type": {"text": "Algorithm"},
        }
        if number:
            resource["version"] = [{"value": number}]
        made = draft.add(resource, identifier, once=True)
    draft.mark(name, made, "deviceName[0].name")
    if version is not None and number:
        draft.mark(version, made, "version[0].value")
    for one in holder.children:
        if one.name == _ALGORITHM_PARAMETERS and shown(one):
            parameters = made.resource.setdefault("property", [])
            said = {"type": {"text": "Algorithm Parameters"}, "valueCode": [{"text": shown(one)}]}
            if said not in parameters:
                parameters.append(said)
            draft.mark(one, made, f"property[{parameters.index(said)}].valueCode[0].text")
    return made


def check(draft: Draft, report: Made) -> None:
    """Compare what the tree says of patient and study with the header; flag what differs.

    A subject that is no patient, a fetus, has an identity of its own.
    """
    context = [one for one in draft.root.children if one.relationship == "HAS OBS CONTEXT"]
    subject = next((one for one in context if one.name == _SUBJECT_CLASS), None)
    of_patient = subject is None or _is(subject, _PATIENT)
    for item in context:
        rule = _CHECKS.get(item.name)
        if rule is None or not shown(item):
            continue
        keyword, alike = rule
        own = text(draft.document, keyword)
        if keyword.startswith("Patient") and not of_patient:
            continue
        if not own or alike(_sent(item), own):
            draft.mark(item, report, _PLACES[keyword])
        else:
            draft.flags.add(f"{keyword} differs")


def _sent(item: Item) -> str:
    if item.value_type == "CODE":
        return text(item.code, "CodeValue")
    if item.value_type == "PNAME":
        return text(item.attributes, "PersonName")
    return shown(item)


def _same(one: str, other: str) -> bool:
    return one == other


def _same_name(one: str, other: str) -> bool:
    shared = families(one) & families(other)
    return bool(shared) or folded(display(one)) == folded(display(other))


def _same_day(one: str, other: str) -> bool:
    return datetimes.day(one) == datetimes.day(other)


_CHECKS = {
    "DCM:121029": ("PatientName", _same_name),
    "DCM:121030": ("PatientID", _same),
    "DCM:121031": ("PatientBirthDate", _same_day),
    "DCM:121032": ("PatientSex", _same),
    "DCM:121018": ("StudyInstanceUID", _same),
    "DCM:121022": ("AccessionNumber", _same),
}
_PLACES = {
    **dict.fromkeys(("PatientName", "PatientID", "PatientBirthDate", "PatientSex"), "subject"),
    "StudyInstanceUID": "imagingStudy[0]",
    "AccessionNumber": "basedOn",
}


def differences(draft: Draft) -> list[Any]:
    """Return the tags of a resource whose document contradicts itself about whose it is."""
    if not draft.flags:
        return []
    return [
        {
            "system": "urn:sangam:dicom:flag",
            "code": "context-differs",
            "display": "The document contradicts its header",
        }
    ]
