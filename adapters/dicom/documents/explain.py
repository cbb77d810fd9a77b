"""Where each part of a DICOM file goes in FHIR, without a server.

For a structured report these are its content items, for images the attributes of their
ImagingStudy, for an encapsulated document those of its DocumentReference.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from adapters.dicom.address import dicomweb
from adapters.dicom.dataset.attributes import text
from adapters.dicom.dataset.elements import Broken
from adapters.dicom.dataset.head import BadUid, MissingUid, head
from adapters.dicom.dataset.part10 import opened
from adapters.dicom.documents import encapsulated, mapping, reading
from adapters.dicom.documents.draft import Json, Surroundings, zone_of
from adapters.dicom.documents.key_objects import key_objects
from adapters.dicom.documents.mapping import Mapped
from adapters.dicom.documents.tree import label
from adapters.dicom.documents.values import agreed, shown
from adapters.dicom.storage.index import is_document
from adapters.dicom.studies.found import Found, Rules
from adapters.dicom.studies.imaging_study import imaging_study
from adapters.dicom.studies.patients import held
from adapters.dicom.studies.series import Instance
from fhir_server.config import Settings


@dataclass(frozen=True, slots=True)
class Line:
    """A part of a file: where it stands, its name and value, and the FHIR paths it went to."""

    position: str
    kind: str
    name: str
    value: str
    paths: Sequence[str]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a file becomes: a line for each part, the resources, and remarks."""

    title: str
    lines: Sequence[Line]
    resources: Sequence[Json]
    remarks: Sequence[str] = ()

    @property
    def mapped(self) -> int:
        """Return how many lines have a place in FHIR besides the rendering."""
        return sum(1 for one in self.lines if one.paths)


def explain(path: Path, settings: Settings, base: str) -> Explanation:
    """Return what a file would become; Broken when it is no DICOM file, or is damaged."""
    raw = path.read_bytes()
    opening = opened(raw)
    data = reading.plain(memoryview(raw)[opening.offset :], opening.transfer_syntax)
    document = agreed(reading.read(data, opening.transfer_syntax), settings.dicom.coding_schemes)
    sop_class = text(document, "SOPClassUID")
    if not is_document(sop_class):
        return _image(data, opening.transfer_syntax, settings)
    around = _around(document, settings, base)
    if encapsulated.is_encapsulated(sop_class):
        return _encapsulated(document, around)
    selected = key_objects(document)
    if selected is not None and selected.rejection:
        count = len(selected.instances)
        note = f"Rejects {count} instances ({selected.title}); it is no resource"
        return Explanation("Rejection note", (), (), (note,))
    return _report(mapping.mapped(document, around))


def _around(document: Mapping[str, Any], settings: Settings, base: str) -> Surroundings:
    """Return surroundings with references that a server would have found."""
    return Surroundings(
        subject=held(document, None),
        zone=zone_of(document, {}, settings.dicom.timezone),
        received=datetime.now(UTC).isoformat(timespec="milliseconds"),
        endpoint=dicomweb(settings.dicom, base),
        study={"type": "ImagingStudy", "display": "the study"},
        dose_codes=(settings.dicom.dose_report_code, settings.dicom.dose_event_code),
    )


def _report(found: Mapped) -> Explanation:
    lines = [
        Line(
            one.item.place,
            one.item.value_type or "reference",
            label(one.item),
            shown(one.item),
            one.paths,
        )
        for one in found.lines
    ]
    remarks = [f"{flag}: the report is tagged" for flag in found.flags]
    title = label(found.lines[0].item) or "Structured Report"
    return Explanation(title, lines, [one.resource for one in found.resources], remarks)


def _encapsulated(document: Mapping[str, Any], around: Surroundings) -> Explanation:
    span = encapsulated.original(document)
    binary = encapsulated.binary(document)
    attachment: Json = {"contentType": binary.resource["contentType"], "url": binary.url}
    remarks = []
    if span is None:
        remarks.append("It holds no document: the reference would lead to the instance")
    else:
        attachment["size"] = span.size
    made = encapsulated.document_reference(document, around, attachment)
    del binary.resource["securityContext"]
    resources = [made.resource, binary.resource]
    return Explanation("Encapsulated document", _elements(made.resource), resources, remarks)


def _image(data: reading.Buffer, syntax: str, settings: Settings) -> Explanation:
    try:
        found = head(data, len(data), syntax)
    except (MissingUid, BadUid) as error:
        raise Broken(str(error)) from None
    dicom = settings.dicom
    rules = Rules(ZoneInfo(dicom.timezone), dicom.keep_study_id, dicom.max_shown_instances)
    instance = Instance(
        found.sop_instance_uid, found.series_instance_uid, found.sop_class_uid, found.attributes
    )
    resource = imaging_study(
        found.study_instance_uid,
        found.attributes,
        [instance],
        Found(held(found.attributes, None)),
        rules,
    )
    remarks = [f"Irregular: {flag}" for flag in sorted(found.flags)]
    return Explanation("Image", _elements(resource), [resource], remarks)


def _elements(resource: Json) -> list[Line]:
    """Return a line for each primitive element of a resource."""
    kind = resource["resourceType"]
    return [
        Line("", "", "", value, (f"{kind}.{path}",))
        for path, value in _leaves(resource)
        if path != "resourceType"
    ]


def _leaves(resource: Json) -> Iterator[tuple[str, str]]:
    ahead: list[tuple[str, Any]] = [("", resource)]
    while ahead:
        path, one = ahead.pop()
        inner: list[tuple[str, Any]] = []
        if isinstance(one, dict):
            inner = [(f"{path}.{key}" if path else key, each) for key, each in one.items()]
        elif isinstance(one, list):
            inner = [(f"{path}[{number}]", each) for number, each in enumerate(one)]
        else:
            yield path, str(one)
        ahead.extend(reversed(inner))
