"""TXA, OBX and NTE as DocumentReference.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-txa-to-documentreference.html
https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-obx-to-documentreference.html
"""

from collections.abc import Sequence
from typing import Final

from adapters.hl7.mapping.code_tables import THO
from adapters.hl7.mapping.context import Context, Json, add, coding, put
from adapters.hl7.mapping.datatypes import cwe, dtm, ed, hd
from adapters.hl7.mapping.segments import nte, practitioner
from adapters.hl7.message.accounting import CONDITION_FALSE, INVALID_VALUE, PRECISION
from adapters.hl7.message.grouping import Result
from adapters.hl7.message.tokenizer import Segment

_STATUS: Final = {  # 0273
    "AV": "current",
    "CA": "entered-in-error",
    "OB": "superseded",
    "UN": "current",
}
_DOC_STATUS: Final = {"AU": "final", "LA": "final"}  # 0271; others preliminary
_MEDIA: Final = {  # 0191
    "AP": "application/octet-stream",
    "AU": "audio/basic",
    "FT": "text/plain",
    "IM": "image/jpeg",
    "SD": "text/plain",
    "TEXT": "text/plain",
    "TX": "text/plain",
}
CANCELLED: Final = "T11"
TEXT: Final = frozenset(("TX", "FT", "ST", ""))
DOCUMENTS: Final = frozenset(("ED", "RP"))


def described(ctx: Context, txa: Segment, event: str) -> Json:
    """Return the DocumentReference of a TXA without its subject and content."""
    resource: Json = {"resourceType": "DocumentReference"}
    unique = txa.first(12)
    path = "DocumentReference.masterIdentifier"
    put(resource, "masterIdentifier", hd.ei(ctx, unique, path, "document") if unique else None)
    if name := txa.take(16, "DocumentReference.identifier"):
        system = ctx.profile.ids("document-file")
        resource["identifier"] = [{"system": system, "value": name}]
    _status(txa, event, resource)
    put(resource, "type", cwe.first_concept(ctx, txa, 2, "DocumentReference.type", table="0270"))
    _date(ctx, txa, resource)
    for rep in txa.repetitions(9):
        if person := practitioner.practitioner(ctx, rep, resource):
            add(resource, "author", {"reference": person})
    _authenticator(ctx, txa, resource)
    if label := txa.take(18, "DocumentReference.securityLabel"):
        resource["securityLabel"] = [{"coding": [coding(THO + "v2-0272", label)]}]
    put(resource, "description", txa.take(25, "DocumentReference.description"))
    return resource


def _status(txa: Segment, event: str, resource: Json) -> None:
    code = txa.peek(19)
    resource["status"] = "entered-in-error" if event == CANCELLED else _STATUS.get(code, "current")
    if code:
        txa.take(19, "DocumentReference.status")
        if code != "AV" or event == CANCELLED:
            resource["_status"] = cwe.alternate("0273", code)
    completion = txa.peek(17)
    if completion:
        txa.take(17, "DocumentReference.docStatus")
        resource["docStatus"] = _DOC_STATUS.get(completion, "preliminary")
        resource["_docStatus"] = cwe.alternate("0271", completion)


def _date(ctx: Context, txa: Segment, resource: Json) -> None:
    """TXA-6, an instant; a date alone is none, and is listed."""
    rep = txa.first(6)
    if rep is None:
        return
    found = dtm.read(ctx, rep.peek())
    if found is None or not found.timed:
        rep.refuse(1, INVALID_VALUE if found is None else PRECISION)
        return
    rep.mark(1, "DocumentReference.date")
    resource["date"] = found.text
    if found.filled:
        resource["_date"] = {"extension": [dtm.original_text(rep.peek())]}


def _authenticator(ctx: Context, txa: Segment, resource: Json) -> None:
    """TXA-22 who has authenticated, else TXA-10 who is to; R4 has one."""
    for number in (22, 10):
        rep = txa.first(number)
        if rep is None or "authenticator" in resource:
            continue
        if person := practitioner.practitioner(ctx, rep, resource):
            resource["authenticator"] = {"reference": person}


def contents(txa: Segment, results: Sequence[Result]) -> list[Json]:
    """Return what OBX and NTE hold of the document, each as an item of `content`.

    Lines of text under one name are one text; each ED and RP is an item. Other values
    are not of the document.
    """
    kind = _MEDIA.get(txa.peek(3), "")
    texts: dict[str, tuple[str, list[str]]] = {}
    found: list[Json] = []
    for result in results:
        obx = result.obx
        data_type = obx.raw(2).strip()
        if data_type in DOCUMENTS:
            found += _attachments(obx, data_type)
        elif data_type in TEXT:
            texts.setdefault(obx.raw(3), (_title(obx), []))[1].append(_text(obx))
        notes = [nte.text(note, "DocumentReference.content") for note in result.notes]
        texts.setdefault("NTE", ("", []))[1].extend(note for note in notes if note)
    found += [_text_item(title, lines) for title, lines in texts.values() if any(lines)]
    if txa.valued(3):
        _content_type(txa, kind, found)
    return found


def _content_type(txa: Segment, kind: str, found: Sequence[Json]) -> None:
    """TXA-3, where no data says better what it is."""
    for item in found:
        if "contentType" not in item["attachment"] and kind:
            item["attachment"]["contentType"] = kind
            txa.take(3, "DocumentReference.content.attachment.contentType")
    txa.refuse(3, CONDITION_FALSE)


def _attachments(obx: Segment, data_type: str) -> list[Json]:
    found = []
    path = "DocumentReference.content.attachment"
    for rep in obx.repetitions(5):
        attachment = ed.ed(rep, path) if data_type == "ED" else ed.rp(rep, path)
        if attachment is None:
            continue
        if title := _title(obx):
            attachment["title"] = title
        found.append({"attachment": attachment})
    return found


def _text(obx: Segment) -> str:
    path = "DocumentReference.content.attachment.data"
    return "\n".join(line for rep in obx.repetitions(5) if (line := rep.take(1, path)))


def _title(obx: Segment) -> str:
    """OBX-3 as the title of what the OBX holds."""
    rep = obx.first(3)
    if rep is None:
        return ""
    path = "DocumentReference.content.attachment.title"
    return rep.take(2, path) or rep.take(1, path)


def _text_item(title: str, lines: Sequence[str]) -> Json:
    attachment = ed.attachment("\n".join(lines).encode(), "text/plain; charset=utf-8")
    return {"attachment": {**attachment, "title": title} if title else attachment}


def without_content(txa: Segment, resource: Json) -> Json:
    """Return the item of a document that is only announced: its kind and its title."""
    attachment: Json = {}
    if kind := _MEDIA.get(txa.peek(3), ""):
        txa.take(3, "DocumentReference.content.attachment.contentType")
        attachment["contentType"] = kind
    title = resource.get("description") or resource.get("type", {}).get("text")
    attachment["title"] = title or "unspecified"
    return {"attachment": attachment}
