"""The DiagnosticReport of a structured report.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.17.2
https://hl7.org/fhir/R4/diagnosticreport.html
"""

import re
from collections.abc import Iterable, Mapping
from html import escape
from urllib.parse import quote

from adapters.dicom.dataset import datetimes
from adapters.dicom.dataset.attributes import Attributes, items, text
from adapters.dicom.dataset.names import display
from adapters.dicom.dataset.rejections import KEY_OBJECTS
from adapters.dicom.documents import context
from adapters.dicom.documents.draft import Draft, Json, Made, Surroundings, filled, oid
from adapters.dicom.documents.observations import PAST
from adapters.dicom.documents.tree import Item, Position, label, uids
from adapters.dicom.documents.values import code_of, concept, shown

LOINC_REPORT = {
    "system": "http://loinc.org",
    "code": "18748-4",
    "display": "Diagnostic imaging study",
}
SECTIONS = frozenset(
    (
        *("DCM:121060", "DCM:121062", "DCM:121064", "DCM:121068", "DCM:121070"),
        *("DCM:121072", "DCM:121074", "DCM:121076", "DCM:121078", "DCM:121111"),
    )
)
"""Containers of TID 2000 whose content is the report's text."""

_V2_0074 = "http://terminology.hl7.org/CodeSystem/v2-0074"
_MEDIA_TYPE = "http://terminology.hl7.org/CodeSystem/media-type"
_XHTML = "http://www.w3.org/1999/xhtml"
_CONCLUSIONS = frozenset(("DCM:121073", "DCM:121077"))
_KEY_IMAGES = "DCM:121180"
_LANGUAGE = "DCM:121049"
_PROCEDURE = "DCM:121058"
_BCP47 = re.compile(r"[a-z]{2}(-[A-Z]{2})?", re.ASCII)
# Basic and Enhanced Text: their containers are sections, by whatever name.
_TEXT_CLASSES = frozenset(("1.2.840.10008.5.1.4.1.1.88.11", "1.2.840.10008.5.1.4.1.1.88.22"))
_TOLD = frozenset(("CONTAINER", "TEXT", "CODE", "DATE", "TIME", "DATETIME", "PNAME"))
_MAX_NARRATIVE = 64 << 10
_MAX_MEDIA = 1000
_TAGS = re.compile(r"<[^>]*>")

# Of v2-0074, beside RAD: what the modalities of a study say of the section that made it.
_CATEGORIES = {
    "CT": "CT",
    "MR": "NMR",
    "NM": "NMS",
    "PT": "NMS",
    "US": "RUS",
    "IVUS": "VUS",
    "DX": "RX",
    "CR": "RX",
    "ECG": "EC",
    "RTPLAN": "RT",
    "RTDOSE": "RT",
    "RTIMAGE": "RT",
}
_SIMPLIFIED_ECHO = "1.2.840.10008.5.1.4.1.1.88.72"


def status(document: Attributes) -> str:
    """Return the status that the flags of a document say.

    A document that takes the place of another is an amendment once it is verified; before
    that it is as preliminary as any (FHIR: amended is "subsequent to being final").
    """
    if text(document, "SOPClassUID") == KEY_OBJECTS:
        return "final"  # It has none of the flags (PS3.3, C.17.6.1).
    if text(document, "PreliminaryFlag") == "PRELIMINARY":
        return "preliminary"
    if text(document, "CompletionFlag") == "PARTIAL":
        return "partial"
    if text(document, "VerificationFlag") != "VERIFIED":
        return "preliminary"
    return "amended" if predecessors(document) else "final"


def predecessors(document: Attributes) -> list[str]:
    """Return the SOP Instance UIDs of the documents that this one takes the place of."""
    return _referenced(items(document, "PredecessorDocumentsSequence"))


def _referenced(studies: Iterable[Attributes]) -> list[str]:
    return [
        uid
        for study in studies
        for series in items(study, "ReferencedSeriesSequence")
        for one in items(series, "ReferencedSOPSequence")
        if (uid := text(one, "ReferencedSOPInstanceUID"))
    ]


def begin(draft: Draft) -> Made:
    """Take the DiagnosticReport in, as far as the header makes it; it is the first resource."""
    document, around = draft.document, draft.around
    root = draft.root
    made = draft.add(
        filled(
            {
                "resourceType": "DiagnosticReport",
                "identifier": [
                    oid(draft.sop_instance_uid),
                    *({**oid(uid), "use": "old"} for uid in predecessors(document)),
                ],
                "basedOn": list(around.based_on),
                "status": status(document),
                "category": categories(around, text(document, "SOPClassUID")),
                "code": code(root),
                "subject": around.subject,
                "encounter": around.encounter,
                "effectiveDateTime": effective(document, around),
                "issued": issued(document, around),
                "imagingStudy": [around.study] if around.study else None,
            }
        ),
        oid(draft.sop_instance_uid),
    )
    draft.mark(root, made, "code")
    _persons(draft, made)
    _language(draft, made)
    _procedure(draft, made)
    context.check(draft, made)
    if tags := context.differences(draft):
        made.resource["meta"] = {"tag": tags}
    return made


def code(root: Item) -> Json:
    """Return the title of a document as its code, besides the one for all of imaging."""
    said = concept(root.concept)
    codings = said.setdefault("coding", [])
    if LOINC_REPORT["code"] not in {one["code"] for one in codings}:
        codings.append(LOINC_REPORT)
    return said


def categories(around: Surroundings, sop_class: str) -> list[Json]:
    """Return radiology, and its section that the modalities of the study name."""
    codes = {_CATEGORIES[one] for one in around.modalities if one in _CATEGORIES}
    if sop_class == _SIMPLIFIED_ECHO:
        codes = codes - {"RUS"} | {"CUS"}
    return [{"coding": [{"system": _V2_0074, "code": one}]} for one in ("RAD", *sorted(codes))]


def effective(document: Attributes, around: Surroundings) -> str | None:
    """Return date and time of the content, else of the study."""
    return datetimes.date_time(
        text(document, "ContentDate"), text(document, "ContentTime"), around.zone
    ) or datetimes.date_time(text(document, "StudyDate"), text(document, "StudyTime"), around.zone)


def issued(document: Attributes, around: Surroundings) -> str:
    """Return when the document was last verified, else when it was received."""
    times = [
        at
        for one in items(document, "VerifyingObserverSequence")
        if (at := datetimes.moment(text(one, "VerificationDateTime"), around.zone)) and "T" in at
    ]
    return times[-1] if times else around.received


def _persons(draft: Draft, made: Made) -> None:
    """Set who interpreted, the verifying observers, and who performed: observers and theirs."""
    interpreters: list[Json] = []
    performers: list[Json] = []
    for one in items(draft.document, "VerifyingObserverSequence"):
        name = display(text(one, "VerifyingObserverName"))
        codes = items(one, "VerifyingObserverIdentificationCodeSequence")
        _append(interpreters, reference(name, codes))
        if organization := text(one, "VerifyingOrganization"):
            _append(performers, {"type": "Organization", "display": organization})
    for one in items(draft.document, "AuthorObserverSequence"):
        codes = items(one, "PersonIdentificationCodeSequence")
        if name := display(text(one, "PersonName")):
            _append(performers, reference(name, codes))
    for observer in context.observers(draft.root):
        if observer.kind == "device":
            device = context.device(draft, observer)
            draft.device = draft.device or (device.reference if device else None)
        elif person := context.person(observer):
            index = _append(performers, person)
            for item in observer.items:
                draft.mark(item, made, f"performer[{index}].display")
    made.resource.update(filled({"resultsInterpreter": interpreters, "performer": performers}))


def _append(listed: list[Json], one: Json) -> int:
    """Add what is not yet there, and return where it is."""
    if one and one not in listed:
        listed.append(one)
    return listed.index(one) if one else -1


def reference(name: str, codes: Iterable[Attributes]) -> Json:
    """Return a logical reference to a person: by a code that was sent, and by name."""
    said: Json = {"display": name} if name else {}
    coded = next((found for one in codes if (found := code_of(one))), None)
    if coded:
        said["type"] = "Practitioner"
        said["identifier"] = {"system": coded["system"], "value": coded["code"]}
    return said


def _language(draft: Draft, made: Made) -> None:
    item = draft.root.child(_LANGUAGE)
    said = text(item.code, "CodeValue") if item is not None else ""
    if item is not None and _BCP47.fullmatch(said):
        made.resource["language"] = said
        draft.mark(item, made, "language")


def _procedure(draft: Draft, made: Made) -> None:
    """Name the procedure that is reported beside the title; R4 has no element for it."""
    names = []
    for item in draft.root.children:
        if item.name == _PROCEDURE and shown(item):
            names.append(shown(item))
            draft.mark(item, made, "code.text")
    if names:
        title = made.resource["code"].get("text")
        made.resource["code"]["text"] = ": ".join(filter(None, (title, ", ".join(names))))


def conclude(draft: Draft) -> None:
    """Set conclusion, media and the text of sections; presentation is the caller's."""
    made = draft.made[0]
    _conclusion(draft, made)
    _media(draft, made)
    _narrative(draft, made)


def _conclusion(draft: Draft, made: Made) -> None:
    texts = []
    codes: list[Json] = []
    for item in draft.root.walk(besides=PAST):
        if item.name not in _CONCLUSIONS or not shown(item):
            continue
        if item.value_type == "TEXT":
            texts.append(shown(item))
            draft.mark(item, made, "conclusion")
        elif item.value_type == "CODE":
            codes.append(concept(item.code))
            draft.mark(item, made, f"conclusionCode[{len(codes) - 1}]")
    made.resource.update(filled({"conclusion": "\n".join(texts), "conclusionCode": codes}))


def _media(draft: Draft, made: Made) -> None:
    """Add the images that the report shows: those that it contains, and all key images."""
    places = evidence(draft.document)
    listed: list[Json] = []
    for item, key in _images(draft.root):
        if draft.is_used(item) or not (key or item.relationship == "CONTAINS"):
            continue
        found = uids(item)[:1]
        if not found or len(listed) >= _MAX_MEDIA:
            continue
        media = _one_media(draft, item, found[0], places)
        draft.mark(item, media, "content")
        said: Json = {"link": media.reference}
        listed.append({"comment": label(item), **said} if label(item) else said)
    if listed:
        made.resource["media"] = listed


def _images(root: Item) -> Iterable[tuple[Item, bool]]:
    """Yield the images of a tree, and whether they lie among the key images."""
    ahead = [(root, False)]
    while ahead:
        item, key = ahead.pop()
        if item.value_type == "IMAGE":
            yield item, key
        key = key or item.name == _KEY_IMAGES
        ahead.extend((one, key) for one in reversed(item.children))


def _one_media(draft: Draft, item: Item, uid: str, places: Mapping[str, tuple[str, str]]) -> Made:
    around = draft.around
    study, series = places.get(uid, ("", ""))
    path = f"studies/{quote(study)}/series/{quote(series)}/instances/{quote(uid)}"
    identifier = draft.identifier(item)
    return draft.add(
        filled(
            {
                "resourceType": "Media",
                "identifier": [identifier, oid(uid)],
                "partOf": [around.study] if around.study else None,
                "status": "completed",
                "type": {"coding": [{"system": _MEDIA_TYPE, "code": "image"}]},
                "subject": around.subject,
                "encounter": around.encounter,
                "content": {
                    "contentType": "application/dicom",
                    "url": f"{around.endpoint}/{path}" if series else f"urn:oid:{quote(uid)}",
                },
            }
        ),
        identifier,
    )


def evidence(document: Attributes) -> dict[str, tuple[str, str]]:
    """Return study and series of each instance that the document names as its evidence."""
    keywords = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")
    return {
        text(one, "ReferencedSOPInstanceUID"): (
            text(study, "StudyInstanceUID"),
            text(series, "SeriesInstanceUID"),
        )
        for keyword in keywords
        for study in items(document, keyword)
        for series in items(study, "ReferencedSeriesSequence")
        for one in items(series, "ReferencedSOPSequence")
    }


def _narrative(draft: Draft, made: Made) -> None:
    """Set the text: the sections of the report with their headings."""
    sections = [one for one in draft.root.walk() if one.name in SECTIONS]
    if not sections and text(draft.document, "SOPClassUID") in _TEXT_CLASSES:
        sections = [one for one in draft.root.children if one.value_type == "CONTAINER"]
    parts = []
    told: list[Item] = []
    seen: set[Position] = set()
    for section in sections:
        if section.position in seen:
            continue
        parts.append(f"<h2>{escape(label(section))}</h2>")
        for item in section.walk():
            told.append(item)
            seen.add(item.position)
            if item.value_type == "CONTAINER" and item is not section and label(item):
                parts.append(f"<h3>{escape(label(item))}</h3>")
            elif item.value_type in {"TEXT", "CODE", "NUM", "DATE", "TIME", "DATETIME", "PNAME"}:
                parts.append(_paragraph(item))
    div = "".join(parts)
    if len(div) > _MAX_NARRATIVE or not _TAGS.sub("", div).strip():
        return
    made.resource["text"] = {"status": "generated", "div": f'<div xmlns="{_XHTML}">{div}</div>'}
    for item in told:
        if item.value_type in _TOLD or (item.value_type == "NUM" and not draft.is_used(item)):
            draft.mark(item, made, "text.div")


def _paragraph(item: Item) -> str:
    value = "<br/>".join(escape(line) for line in shown(item).splitlines())
    name = f"<b>{escape(label(item))}</b>: " if label(item) else ""
    return f"<p>{name}{value}</p>"
