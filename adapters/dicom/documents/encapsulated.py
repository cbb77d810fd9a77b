"""Encapsulated documents: the original bytes, and the DocumentReference to them.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.24
https://hl7.org/fhir/R4/documentreference.html
"""

from uuid import UUID, uuid5

from adapters.dicom.dataset import datetimes
from adapters.dicom.dataset.attributes import Attributes, items, text
from adapters.dicom.dataset.names import display
from adapters.dicom.documents.draft import Json, Made, Surroundings, filled, oid, token
from adapters.dicom.documents.reading import Span
from adapters.dicom.documents.report import (
    LOINC_REPORT,
    categories,
    effective,
    predecessors,
    reference,
)
from adapters.dicom.documents.values import concept

CLASSES = {
    "1.2.840.10008.5.1.4.1.1.104.1": "application/pdf",
    "1.2.840.10008.5.1.4.1.1.104.2": "text/xml",
    "1.2.840.10008.5.1.4.1.1.104.3": "model/stl",
    "1.2.840.10008.5.1.4.1.1.104.4": "model/obj",
    "1.2.840.10008.5.1.4.1.1.104.5": "model/mtl",
}
"""Which class holds which media type, where the instance names none."""

_BINARIES = UUID("5d9a3b52-3c52-4c2f-9a43-8c5e7f1f0c11")
_URI = "urn:ietf:rfc:3986"


def is_encapsulated(sop_class_uid: str) -> bool:
    """Return whether instances of a class hold a document of another kind."""
    return sop_class_uid in CLASSES


def original(document: Attributes) -> Span | None:
    """Return where the original bytes lie, None when there are none.

    The element has an even length: the true one is said beside it (0042,0015). Senders
    of older editions do not say it; the pad byte is then told by the caller.
    """
    spans = document.get("EncapsulatedDocument")
    if not spans:
        return None
    span: Span = spans[0]
    said = document.get("EncapsulatedDocumentLength")
    if said and span.size - 1 <= int(said[0]) <= span.size:
        return Span(span.start, int(said[0]))
    return span


def is_length_said(document: Attributes) -> bool:
    """Return whether the instance says how long its document is, believably."""
    spans, said = document.get("EncapsulatedDocument"), document.get("EncapsulatedDocumentLength")
    return bool(spans and said and spans[0].size - 1 <= int(said[0]) <= spans[0].size)


def media_type(document: Attributes) -> str:
    """Return the media type that the instance names, else that of its class."""
    said = text(document, "MIMETypeOfEncapsulatedDocument").lower()
    return said or CLASSES[text(document, "SOPClassUID")]


def doc_status(document: Attributes) -> str | None:
    """Return the status of the content as its flags say; None where there are none."""
    verified, complete = (text(document, key) for key in ("VerificationFlag", "CompletionFlag"))
    if not (verified or complete):
        return None
    if text(document, "PreliminaryFlag") == "PRELIMINARY" or complete == "PARTIAL":
        return "preliminary"
    if verified != "VERIFIED":
        return "preliminary"
    return "amended" if predecessors(document) else "final"


def binary(document: Attributes) -> Made:
    """Return the Binary of the document, without its data, which the caller adds."""
    uid = text(document, "SOPInstanceUID")
    id_ = str(uuid5(_BINARIES, uid))
    resource = {
        "resourceType": "Binary",
        "id": id_,
        "contentType": media_type(document),
        "securityContext": {"reference": _full_url(uid)},
    }
    return Made(resource, f"Binary/{id_}", f"urn:uuid:{id_}")


def document_reference(document: Attributes, around: Surroundings, attachment: Json) -> Made:
    """Return the DocumentReference of an encapsulated document; `attachment` is of its bytes."""
    uid = text(document, "SOPInstanceUID")
    title = text(document, "DocumentTitle")
    named = next(iter(items(document, "ConceptNameCodeSequence")), {})
    kind = concept(named) or {"coding": [LOINC_REPORT]}
    resource = filled(
        {
            "resourceType": "DocumentReference",
            "masterIdentifier": {"system": _URI, "value": f"urn:oid:{uid}"},
            "identifier": [oid(uid), *_other_identifiers(document)],
            "status": "current",
            "docStatus": doc_status(document),
            "type": kind,
            "category": categories(around, text(document, "SOPClassUID")),
            "subject": around.subject,
            "date": _instant(document, around),
            "author": _authors(document),
            "relatesTo": [
                {
                    "code": "replaces",
                    "target": {"type": "DocumentReference", "identifier": oid(one)},
                }
                for one in predecessors(document)
            ],
            "description": title or None,
            "content": [
                {
                    "attachment": filled(
                        {
                            **attachment,
                            "title": title or text(named, "CodeMeaning"),
                            "creation": effective(document, around),
                        }
                    )
                }
            ],
            "context": filled(
                {
                    "encounter": [around.encounter] if around.encounter else None,
                    "related": [*([around.study] if around.study else ()), *around.based_on],
                }
            ),
        }
    )
    criteria = f"identifier={token(oid(uid))}"
    return Made(resource, f"DocumentReference?{criteria}", _full_url(uid))


def _full_url(uid: str) -> str:
    return f"urn:uuid:{uuid5(_BINARIES, f'DocumentReference {uid}')}"


def _other_identifiers(document: Attributes) -> list[Json]:
    """Return the identifier that a CDA has of its own: `root^extension` (0040,E001)."""
    root, _, extension = text(document, "HL7InstanceIdentifier").partition("^")
    if not root or not all(part.isdecimal() for part in root.split(".")):
        return []
    if extension:
        return [{"system": f"urn:oid:{root}", "value": extension}]
    return [{"system": _URI, "value": f"urn:oid:{root}"}]


def _instant(document: Attributes, around: Surroundings) -> str:
    """Return when the document was made, else received: an instant has a time."""
    made = effective(document, around) or ""
    acquired = datetimes.moment(text(document, "AcquisitionDateTime"), around.zone) or ""
    return next((at for at in (made, acquired) if "T" in at), around.received)


def _authors(document: Attributes) -> list[Json]:
    people = [
        (display(text(one, name)), items(one, codes))
        for keyword, name, codes in (
            ("AuthorObserverSequence", "PersonName", "PersonIdentificationCodeSequence"),
            (
                "VerifyingObserverSequence",
                "VerifyingObserverName",
                "VerifyingObserverIdentificationCodeSequence",
            ),
        )
        for one in items(document, keyword)
    ]
    found: list[Json] = []
    for name, codes in people:
        said = reference(name, codes)
        if said and said not in found:
            found.append(said)
    return found
