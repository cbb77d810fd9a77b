"""MDM^T01 to T11 as DocumentReference.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-message-mdm-t02-to-bundle.html
"""

from functools import partial
from typing import Final

from adapters.hl7.mapping.binaries import kept
from adapters.hl7.mapping.context import Context, Json, Link, add, urn
from adapters.hl7.mapping.datatypes import hd
from adapters.hl7.mapping.messages.subject import Subject, subject_of
from adapters.hl7.mapping.segments import evn, obx, orc, order, practitioner, txa
from adapters.hl7.mapping.segments.obx import Surroundings
from adapters.hl7.mapping.segments.pid import who
from adapters.hl7.message.grouping import PatientGroup, Result, grouped
from adapters.hl7.message.tokenizer import Segment

EVENTS: Final = tuple(f"T{number:02}" for number in range(1, 12))
_INLINE: Final = 4_096  # bytes: a longer document is a Binary of its own
_REPLACEMENT: Final = frozenset(("T09", "T10"))


def document(ctx: Context) -> None:
    """Add the document of the message, and what it is about; raises Refusal."""
    kind = ctx.message.header.first(9)
    event = kind.peek(2) if kind is not None else ""
    segment = ctx.message.named("TXA")[0]
    groups = grouped(ctx.message)
    group = next((one for one in groups if one.pid is not None), PatientGroup())
    results = [*group.results, *(one for asked in group.orders for one in asked.results)]
    group.results = []
    subject = subject_of(ctx, group)
    resource = txa.described(ctx, segment, event)
    resource["subject"] = {"reference": subject.reference}
    _context(ctx, group, subject, segment, resource)
    contents = txa.contents(segment, results)
    key = _key(ctx, segment, subject, resource)
    owner = urn("DocumentReference", ctx.key_token(key))
    for item in contents:
        if item["attachment"].get("size", 0) > _INLINE:
            item["attachment"] = kept(ctx, item["attachment"], key, owner)
    resource["content"] = contents or [txa.without_content(segment, resource)]
    effect = partial(_updated, event == txa.CANCELLED, bool(contents))
    add(resource, "identifier", ctx.key_identifier(key))
    reference = ctx.write("PUT", (ctx.key_token(key),), resource, effect=effect)
    _others(ctx, subject, results, resource)
    _related(ctx, segment, event, subject, reference, resource)
    _provenance(ctx, segment, event, reference)


def _key(ctx: Context, segment: Segment, subject: Subject, resource: Json) -> str:
    """Return the key of the document: its unique number, else what else names it."""
    if "masterIdentifier" in resource:
        return ctx.key("DocumentReference", hd.token(resource["masterIdentifier"]))
    when = segment.raw(6) or segment.raw(4) or ctx.message.header.raw(10)
    parts = (who(ctx, subject.reference), segment.raw(2), segment.raw(16), when)
    return ctx.key("DocumentReference", *parts)


def _updated(cancelled: bool, has_content: bool, stored: Json, updated: Json) -> Json:  # noqa: FBT001
    """Return the update of a stored document: a notice leaves its content as it is.

    What was cancelled, or replaced, stays so.
    """
    found = updated
    if not has_content and stored.get("content"):
        found = {**found, "content": stored["content"]}
    if not cancelled and stored.get("status") in {"entered-in-error", "superseded"}:
        rest = {name: said for name, said in found.items() if name not in {"status", "_status"}}
        found = rest | {n: stored[n] for n in ("status", "_status") if n in stored}
    return found


def _context(
    ctx: Context, group: PatientGroup, subject: Subject, segment: Segment, resource: Json
) -> None:
    """Set visit, and the orders of ORC and OBR, TXA-14 and TXA-15 as what it relates to."""
    found: Json = {}
    if subject.encounter:
        holder: Json = {}
        subject.visit_in(holder)
        found["encounter"] = [holder["encounter"]]
        resource.setdefault("contained", []).extend(holder.get("contained", ()))
        if not resource["contained"]:
            del resource["contained"]
    for part in group.orders:
        asked = order.order(ctx, part.orc, part.obr, part.notes, part.named("TQ1"))
        if request := order.service_request(
            ctx, asked, subject.reference, subject.encounter, scope_by_code=False
        ):
            add(found, "related", {"reference": request})
            orc.provenance(ctx, asked.orc, request, asked.number)
    path = "DocumentReference.context.related.identifier"
    for number, code, default in ((14, "PLAC", "placer"), (15, "FILL", "filler")):
        for rep in segment.repetitions(number):
            if identifier := hd.ei(ctx, rep, path, default):
                typed = {"type": hd.fixed_type(code), **identifier}
                add(found, "related", {"type": "ServiceRequest", "identifier": typed})
    if found:
        resource["context"] = found


def _others(ctx: Context, subject: Subject, results: list[Result], resource: Json) -> None:
    """Values that are no part of the document are Observations to which it relates."""
    key = ctx.key("Document", who(ctx, subject.reference), ctx.message.header.raw(10))
    around = Surroundings(key=key, patient=subject.reference, encounter=subject.numbered_visit())
    for result in results:
        if result.obx.raw(2).strip() not in txa.TEXT | txa.DOCUMENTS:
            observed = obx.observation(ctx, result, around)
            related = resource.setdefault("context", {}).setdefault("related", [])
            related.append({"reference": observed.reference})


def _related(
    ctx: Context,
    segment: Segment,
    event: str,
    subject: Subject,
    reference: str,
    resource: Json,
) -> None:
    """TXA-13: the document that this one adds to or replaces, and the orders it is about."""
    for one in resource.get("context", {}).get("related", ()):
        if "identifier" in one:
            token = (hd.token(one["identifier"]),)
            ctx.links.append(Link(reference, "context.related", "ServiceRequest", token))
    rep = segment.first(13)
    path = "DocumentReference.relatesTo.target"
    parent = hd.ei(ctx, rep, path, "document") if rep is not None else None
    if parent is None:
        return
    code = "replaces" if event in _REPLACEMENT else "appends"
    target = {"type": "DocumentReference", "identifier": parent}
    resource["relatesTo"] = [{"code": code, "target": target}]
    own = (ctx.key_token(ctx.key("DocumentReference", hd.token(parent))),)
    tokens = (hd.token(parent), *own)
    ctx.links.append(Link(reference, "relatesTo.target", "DocumentReference", tokens))
    if event in _REPLACEMENT:
        _supersede(ctx, parent, own, subject)


def _supersede(ctx: Context, parent: Json, identity: tuple[str, ...], subject: Subject) -> None:
    """Mark the replaced document as superseded, before or after it comes."""
    resource: Json = {
        "resourceType": "DocumentReference",
        "masterIdentifier": parent,
        "identifier": [dict(zip(("system", "value"), identity[0].split("|", 1), strict=True))],
        "status": "superseded",
        "subject": {"reference": subject.reference},
        "content": [{"attachment": {"title": "unspecified"}}],
    }
    # No time: whatever the document itself says comes to it, but for its status.
    told, ctx.event_time = ctx.event_time, None
    ctx.write("PUT", identity, resource, effect=_superseded)
    ctx.event_time = told


def _superseded(stored: Json, updated: Json) -> Json:  # noqa: ARG001  (the form of an effect)
    if stored.get("status") == "entered-in-error":
        return stored
    rest = {name: said for name, said in stored.items() if name != "_status"}
    return {**rest, "status": "superseded"}


def _provenance(ctx: Context, segment: Segment, event: str, reference: str) -> None:
    """EVN, and TXA-8 and 21: when and why the document was edited."""
    for event_segment in ctx.message.named("EVN")[:1]:
        evn.event(ctx, event_segment, event, [reference])
    edited = segment.first(8)
    if edited is None:
        return
    resource: Json = {"resourceType": "Provenance", "target": [{"reference": reference}]}
    orc.put_recorded(ctx, resource, edited.peek())
    if "recorded" in resource and segment.peek(8):
        edited.mark(1, "Provenance.recorded")
    if reason := segment.take(21, "Provenance.reason.text"):
        resource["reason"] = [{"text": reason}]
    for rep in segment.repetitions(9):
        if person := practitioner.practitioner(ctx, rep, resource):
            add(resource, "agent", orc.agent_of("author", person))
    if "agent" not in resource:
        resource["agent"] = [orc.sender(ctx)]
    orc.write(ctx, resource, ("TXA", reference, edited.text))
