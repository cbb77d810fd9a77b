"""A resource on its way into the store: parsed, checked, indexed.

https://hl7.org/fhir/R4/validation.html
"""

import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.audit.record import AUDIT_EVENT, of_writes
from fhir_server.blobs import Blob
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, Issue, MethodNotAllowed, TooLarge
from fhir_server.interactions import afterwards, consents, judging, labelling
from fhir_server.interactions.profiling import Moment
from fhir_server.interactions.references import (
    LocalReference,
    PlacedReference,
    is_conditional,
    local_references,
)
from fhir_server.r4 import json
from fhir_server.search import care
from fhir_server.search.extract import Edge, IndexRows, extract
from fhir_server.search.token import identifier_term
from fhir_server.server import Server
from fhir_server.store import consents as consent_rows
from fhir_server.store.mark import mark
from fhir_server.store.text import Content, content, keeping_labels, labelled, text
from fhir_server.store.transact import (
    NO_SEARCH_PARAMETER,
    Current,
    Method,
    Outdated,
    Write,
    Written,
    transact,
)

ID = re.compile(r"[A-Za-z0-9\-.]{1,64}\Z")
SUBSETTED = "http://terminology.hl7.org/CodeSystem/v3-ObservationValue"
NEVER_STORED = frozenset(("Parameters", "OperationOutcome"))
_TERMINOLOGY = frozenset(("CodeSystem", "ValueSet", "ConceptMap"))
# Whose writes no quota holds up: what happened is recorded, and who asks is erased or saved, also
# where nothing more may be stored.
_NEEDED = frozenset((("audit", "worker"), ("erasure", "worker"), ("break-glass", "worker")))


@dataclass(frozen=True, slots=True)
class Sent:
    """A resource as a client sent it: JSON text; `blob` are the data of a Binary without any."""

    raw: bytes
    blob: Blob | None = None


@dataclass(frozen=True, slots=True)
class Draft:
    """A valid resource: `data` parsed, `raw` its JSON text.

    `references` are the places of its literal references; `place` is where it lies
    in a Bundle (`Bundle.entry[0]`), None where it came alone; `blob` are the data of
    a Binary that are kept apart; `labels` are Codings in JSON that rules add to its own.
    """

    type_name: str
    data: dict[str, Any]
    raw: bytes
    references: Sequence[PlacedReference]
    place: str | None = None
    blob: Blob | None = None
    labels: Sequence[bytes] = ()

    def path(self, expression: str | None) -> str:
        """Return a FHIRPath of this resource as seen from the request's body."""
        if self.place is None:
            return expression or self.type_name
        inner = (expression or self.type_name).removeprefix(self.type_name)
        return f"{self.place}.resource{inner}"


def parsed(server: Server, type_name: str, raw: bytes) -> dict[str, Any]:
    """Return the resource in a request body; BadRequest when it is not of this type."""
    if type_name in NEVER_STORED:
        raise MethodNotAllowed(f"{type_name} is not stored")
    json.check_caps(raw, server.settings.limits)
    data = json.decode(raw)
    if not isinstance(data, dict):
        raise BadRequest("The body is not a JSON object", code="structure")
    named = data.get("resourceType")
    if named != type_name:
        raise BadRequest(
            f"The body is not a {type_name} resource" if named else "resourceType is missing",
            code="structure",
            expression="resourceType",
        )
    return data


async def checked(
    server: Server,
    draft: Draft,
    *,
    linked: bool = False,
    door: str = "rest",
    patched: bool = False,
    moment: Moment | None = None,
) -> Draft:
    """Return the draft; a refusal with an issue for each rule that is broken.

    BadRequest where it has not the structure of R4, Unprocessable where it breaks
    other rules, or where a patch made it so. Conditional references are for `linked`
    drafts, those of a transaction. How far is judged depends on the type, and on the
    `door` by which it came in.
    """
    type_name = draft.type_name
    far = judging.mode(server, type_name, door)
    verdict = await judging.judged(
        server, type_name, draft.data, far=far, raw=draft.raw, moment=moment
    )
    issues = [
        *verdict.issues,
        *_subsetted(type_name, draft.data),
        *(() if linked else _conditional(server, draft)),
    ]
    if issues:
        placed = [replace(issue, expression=draft.path(issue.expression)) for issue in issues]
        if refusal := judging.refusal(type_name, placed, readable=patched or verdict.readable):
            raise refusal
    labels = await labelling.given(server, type_name, draft.data)
    return replace(draft, labels=labels) if labels else draft


def _conditional(server: Server, draft: Draft) -> list[Issue]:
    """Conditional references are resolved in transactions, and mean nothing elsewhere."""
    text = "A conditional reference is for transactions only"
    return [
        Issue("error", "invalid", text, f"{path}.reference")
        for path, holder in draft.references
        if is_conditional(server, holder["reference"])
    ]


def _subsetted(type_name: str, data: dict[str, Any]) -> list[Issue]:
    """A body that was cut down by `_summary` or `_elements` must not replace the whole."""
    meta = data.get("meta")
    tags = meta.get("tag", ()) if isinstance(meta, dict) else ()
    if any(
        isinstance(tag, dict) and tag.get("code") == "SUBSETTED" and tag.get("system") == SUBSETTED
        for tag in (tags if isinstance(tags, list) else ())
    ):
        where = f"{type_name}.meta.tag"
        return [Issue("error", "business-rule", "An incomplete resource is not stored", where)]
    return []


def write(
    server: Server, draft: Draft, id_: str, method: Method, previous: Current | None
) -> Write | None:
    """Return the write that stores this draft, None where it would change nothing."""
    said = content(draft.raw)
    if draft.blob is not None:
        said = replace(said, rest=said.rest + mark(draft.blob))
    if server.settings.write.meta_on_update == "keep_security":
        said = keeping_labels(said, previous.security if previous else None)
    said = labelled(said, draft.labels)
    digest = said.digest()
    if previous and unchanged(server, previous, digest):
        return None
    references = local_references(server, draft.references)
    # What tells of an access may tell of what is gone.
    needed = () if draft.type_name == AUDIT_EVENT else references
    version = previous.version + 1 if previous else 1
    return Write(
        key=previous.key if previous else server.new_key(),
        type_id=server.definitions.type_ids[draft.type_name],
        id=id_,
        version=version,
        method=method,
        text=text(draft.type_name, id_, version, said),
        content_hash=digest,
        security=said.security,
        index=indexed(server, _as_labelled(draft, said), references, id_),
        references=tuple((r.type_id, r.id, draft.path(r.path)) for r in needed),
        previous=previous,
        business=_business(server, draft),
    )


def _as_labelled(draft: Draft, said: Content) -> Draft:
    """Return the draft with the labels that it is stored with, by which it is found or hidden."""
    if said.security is None:
        return draft
    meta = {**draft.data.get("meta", {}), "security": json.decode(said.security)}
    return replace(draft, data={**draft.data, "meta": meta})


def _business(server: Server, draft: Draft) -> tuple[tuple[int, str], ...] | None:
    """Return the terms of the identifiers that no other resource may have, with their places.

    None where the type has no such systems.
    """
    type_name = draft.type_name
    systems = server.settings.write.business_keys.get(type_name)
    if systems is None:
        return None
    given = draft.data.get("identifier", ())
    several = isinstance(given, list)
    found: dict[int, str] = {}
    for index, one in enumerate(given if several else [given]):
        if isinstance(one, dict) and one.get("system") in systems and one.get("value"):
            term = identifier_term(server.registry, type_name, one["system"], one["value"])
            place = f"{type_name}.identifier{f'[{index}]' if several else ''}"
            found.setdefault(term, draft.path(place))
    return tuple(found.items())


async def keep(
    server: Server,
    connection: Connection,
    writes: Sequence[Write],
    registry: int,
    *,
    caller: Caller,
    trial: bool = False,
) -> dict[int, Written]:
    """Store the writes and return what became of each, by key.

    `registry` is the version of the search parameters before they were made; when it
    is no longer in force, the work is to be done again (store/attempts.py). References
    may lead nowhere in a `trial`, which will be undone. That the caller wrote is recorded.
    """
    integrity = server.settings.write.referential_integrity and not trial
    # Who is over the quota may still delete.
    if server.afford is not None and (caller.name, caller.door) not in _NEEDED:
        stored = sum(write.text is not None for write in writes)
        if stored:
            await server.afford(stored)
    await server.codings.note(write.index for write in writes)
    await labelling.guard(server, connection, caller, writes)
    said = None if trial else _said(server, caller, writes)
    told = consents.among(server, writes)
    # What consents mean is stored with them.
    together = connection.transaction() if told else nullcontext()
    try:
        async with together:
            if not trial:
                await afterwards.require_there(server, connection, caller, writes)
            written = await transact(
                connection, writes, integrity=integrity, registry=registry, said=said
            )
            if told:
                await consent_rows.follow(connection, told)
            if not trial:
                await afterwards.require(server, connection, caller, writes)
            return written
    except Outdated:
        server.in_force.doubt()
        raise


def _said(server: Server, caller: Caller, writes: Sequence[Write]) -> str | None:
    """Return what is recorded of the writes for the audit."""
    if caller.trail is not None and writes:
        caller.trail.wrote = True
    names = server.definitions.type_names
    return of_writes(caller, [(w.method, names[w.type_id], w.id, w.version) for w in writes])


def unchanged(server: Server, previous: Current, digest: bytes) -> bool:
    """Whether an update with this content stores nothing."""
    return (
        server.settings.write.no_op
        and not previous.deleted
        and bytes(previous.content_hash) == digest
    )


def deletion(server: Server, previous: Current) -> Write:
    """Return the write that deletes this resource."""
    type_name = server.definitions.type_names[previous.type_id]
    return Write(
        key=previous.key,
        type_id=previous.type_id,
        id=previous.id,
        version=previous.version + 1,
        method=Method.DELETE,
        text=None,
        content_hash=b"",
        security=None,
        index=None,
        references=(),
        previous=previous,
        business=() if type_name in server.settings.write.business_keys else None,
    )


def indexed(
    server: Server, draft: Draft, references: Sequence[LocalReference], id_: str
) -> IndexRows:
    """Return the index rows, with an edge for each reference that no parameter covers."""
    try:
        rows = extract(server.registry, draft.type_name, draft.data)
        rows = care.related(rows, draft.data, id_, server.registry.context)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if judging.always_judged(server):
            raise
        text = f"The {draft.type_name} cannot be indexed, as it has not the shape of R4"
        raise BadRequest(text, code="structure", expression=draft.place) from error
    covered = {(edge.target_type, edge.target_id) for edge in rows.edges}
    others = {
        (reference.type_id, reference.id, reference.version)
        for reference in references
        if (reference.type_id, reference.id) not in covered
    }
    edges = tuple(
        Edge(NO_SEARCH_PARAMETER, type_id, id_, version)
        for type_id, id_, version in sorted(others, key=lambda other: other[:2])
    )
    if rows.count + len(edges) > most_rows(server, draft.type_name):
        raise TooLarge(f"The {draft.type_name} has more index values than one resource may have")
    return replace(rows, edges=rows.edges + edges)


def most_rows(server: Server, type_name: str) -> int:
    """Return how many index rows a resource of the type may have."""
    limits = server.settings.limits
    terminology = type_name in _TERMINOLOGY
    return limits.terminology_index_rows if terminology else limits.index_rows
