"""transaction: several writes and reads, all or nothing.

The order of entries does not matter: deletions come first, then creates,
updates, and reads last; conditional references see the state that results.

https://hl7.org/fhir/R4/http.html#trules
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import (
    BadRequest,
    Conflict,
    Gone,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
    SangamError,
)
from fhir_server.interactions import match
from fhir_server.interactions.draft import ID, NEVER_STORED, Draft, checked, deletion, write
from fhir_server.interactions.entry import Entry, Outcome, Target, placed, target
from fhir_server.interactions.match import Criteria
from fhir_server.interactions.patching import patched
from fhir_server.interactions.precondition import require
from fhir_server.interactions.references import PlacedReference, literal_references
from fhir_server.interactions.retrieve import retrieve
from fhir_server.interactions.rewrite import Known, known_literals, rewritten
from fhir_server.r4 import json
from fhir_server.server import Server
from fhir_server.store import read as store
from fhir_server.store.attempts import changed_meanwhile
from fhir_server.store.transact import Current, Method, Write, transact

WRITES = frozenset(("POST", "PUT", "PATCH", "DELETE"))
READS = frozenset(("GET", "HEAD"))


@dataclass(slots=True)
class Step:
    """An entry on its way: what it addresses, and what becomes of it.

    `existing` says that a conditional create found a match and writes nothing;
    `fresh` that a conditional update found none and makes a resource.
    """

    index: int
    entry: Entry
    target: Target
    criteria: Criteria | None
    id: str | None
    existing: bool = False
    fresh: bool = False
    write: Write | None = None
    present: Current | None = None
    references: Sequence[PlacedReference] = ()

    @property
    def method(self) -> str:
        """Return the HTTP method."""
        return self.entry.method

    @property
    def literal(self) -> str:
        """Return `Type/id`."""
        return f"{self.target.type}/{self.id}"


async def transaction(
    server: Server,
    connection: Connection,
    caller: Caller,
    entries: Sequence[Entry],
    *,
    bundle: bool = True,
    linked: bool = True,
) -> list[Outcome]:
    """Carry out all entries inside the open transaction; outcomes in their order.

    Conditional references are for `linked` entries, those of a transaction.

    Raises the refusal of the first entry that cannot be carried out, which is
    placed at `Bundle.entry[i]` unless this is no `bundle` but a single request;
    the caller's transaction is then to be rolled back.
    """
    steps = [_step(server, index, entry, bundle=bundle) for index, entry in enumerate(entries)]
    writes = [step for step in steps if step.method in WRITES]
    await _resolve(server, connection, caller, writes, bundle=bundle)
    _refuse_overlap(writes)
    conditional = (
        await _conditional_references(server, connection, caller, writes)
        if bundle and linked
        else {}
    )
    known = known_literals(_full_urls(writes), conditional, complete=bundle)
    await _lock(server, connection, writes)
    for step in writes:
        with _place(step, bundle=bundle):
            _refuse_collision(step)
    for step in writes:
        if step.method == "PATCH":
            with _place(step, bundle=bundle):
                await _patch(server, connection, step)
    for step in writes:
        with _place(step, bundle=bundle):
            step.write = _write(server, step, known, bundle=bundle)
    await _refuse_orphans(server, connection, writes, bundle=bundle)
    done = await transact(
        connection,
        [step.write for step in writes if step.write],
        integrity=server.settings.write.referential_integrity,
    )
    times = {key: written.last_updated for key, written in done.items()}
    return [await _outcome(server, connection, caller, step, times) for step in steps]


def _step(server: Server, index: int, entry: Entry, *, bundle: bool) -> Step:
    step = Step(index, entry, Target("", None, None, ()), None, None)
    with _place(step, bundle=bundle):
        if entry.method not in WRITES | READS:
            raise BadRequest("request.method is not one of GET, HEAD, POST, PUT, PATCH, DELETE")
        step.target = target(server.definitions.type_ids, entry)
        step.id = step.target.id
        if entry.method in WRITES:
            _refuse_shape(step)
            _refuse_body(step)
            step.criteria = _criteria(step)
        if entry.resource is not None and entry.method != "PATCH":
            step.references = literal_references(server, step.target.type, entry.resource)
    return step


def _refuse_shape(step: Step) -> None:
    """Refuse a write whose URL has no meaning for its method."""
    where, entry = step.target, step.entry
    if not where.type or where.rest:
        raise BadRequest("The URL does not name a resource type", code="value")
    if entry.method == "POST" and (where.id or where.query):
        raise BadRequest("POST goes to a resource type", code="value")
    if entry.method != "POST" and bool(where.id) == bool(where.query):
        raise BadRequest("The URL needs an id, or criteria", code="value")
    if entry.method != "DELETE" and entry.resource is None:
        raise BadRequest("The entry has no resource", code="required")


def _refuse_body(step: Step) -> None:
    """Refuse a resource that is not stored, or not of the URL's type, or has no FHIR id."""
    data, method = step.entry.resource, step.method
    if method in {"PATCH", "DELETE"} or data is None:
        return
    if step.target.type in NEVER_STORED:
        raise MethodNotAllowed(f"{step.target.type} is not stored")
    if data.get("resourceType") != step.target.type:
        raise BadRequest("The resource is not of the URL's type", code="structure")
    named = data.get("id")
    if method == "PUT" and named is not None and not (isinstance(named, str) and ID.match(named)):
        raise BadRequest("This is no FHIR id", code="value", expression=f"{step.target.type}.id")


def _criteria(step: Step) -> Criteria | None:
    query = step.entry.if_none_exist if step.method == "POST" else step.target.query
    return match.criteria(step.target.type, query.lstrip("?")) if query else None


async def _resolve(
    server: Server, connection: Connection, caller: Caller, writes: Sequence[Step], *, bundle: bool
) -> None:
    """Give every write its id: from the URL, from what matches, or a new one."""
    conditional = [step for step in writes if step.criteria]
    wanted = [step.criteria for step in conditional if step.criteria]
    await match.lock(connection, wanted)
    found = await match.match(server, connection, caller, wanted)
    created: dict[Criteria, str] = {}
    for step, ids in zip(conditional, found, strict=True):
        with _place(step, bundle=bundle):
            _settle(server, step, ids, created)
    for step in writes:
        if step.id is None and step.method == "POST":
            step.id = server.new_id()


def _settle(server: Server, step: Step, ids: list[str], created: dict[Criteria, str]) -> None:
    """Decide a conditional write by the number of its matches (section 2 of the note)."""
    if len(ids) > 1:
        raise PreconditionFailed("Several resources match the criteria", code="multiple-matches")
    named = step.entry.resource.get("id") if step.entry.resource else None  # of a PUT
    if step.method == "POST":
        step.existing = bool(ids) or step.criteria in created
        earlier = created.get(step.criteria) if step.criteria else None
        step.id = ids[0] if ids else earlier or server.new_id()
        if step.criteria:
            created[step.criteria] = step.id
    elif ids:
        if step.method == "PUT" and named not in {None, ids[0]}:
            raise BadRequest("The id in the body is not that of the match", expression="id")
        step.id = ids[0]
    elif step.method == "PUT":
        earlier = created.get(step.criteria) if step.criteria else None
        step.id, step.fresh = earlier or named or server.new_id(), True
        if step.criteria:
            created[step.criteria] = step.id
    elif step.method == "PATCH":
        raise NotFound("No resource matches the criteria")


def _refuse_collision(step: Step) -> None:
    """Compare what the criteria found with what is stored now that the rows are locked."""
    stored = step.present is not None and not step.present.deleted
    if step.fresh and stored:
        raise Conflict("The id in the body is that of a resource that does not match")
    if step.existing and step.present is not None and not stored:
        raise changed_meanwhile()


def _refuse_overlap(writes: Iterable[Step]) -> None:
    """Two writes of one resource, or two equal fullUrls, have no defined result."""
    seen: set[str] = set()
    urls: set[str] = set()
    for step in writes:
        if step.id is not None and not step.existing:
            if step.literal in seen:
                error = BadRequest("Two entries write the same resource", code="invalid")
                raise placed(error, step.index)
            seen.add(step.literal)
    others = {step.literal for step in writes if step.method != "POST" and step.id is not None}
    for step in writes:
        if step.existing and step.literal in others:
            error = BadRequest("An entry changes what another finds by its criteria")
            raise placed(error, step.index)
        url = step.entry.full_url
        if url:
            if url in urls:
                raise placed(BadRequest("Two entries have this fullUrl"), step.index)
            urls.add(url)


def _full_urls(writes: Iterable[Step]) -> dict[str, str]:
    return {
        step.entry.full_url: step.literal
        for step in writes
        if step.entry.full_url and step.method != "DELETE"
    }


async def _conditional_references(
    server: Server, connection: Connection, caller: Caller, writes: Sequence[Step]
) -> dict[str, str]:
    """Return `Type?criteria` → `Type/id` for every conditional reference in the entries."""
    asked: dict[str, tuple[Criteria, str, int]] = {}
    for step in writes:
        for path, holder in step.references:
            text = holder["reference"]
            type_name, mark, query = text.partition("?")
            if mark and type_name in server.definitions.type_ids and text not in asked:
                asked[text] = (match.criteria(type_name, query), path, step.index)
    if not asked:
        return {}
    found = await match.match(server, connection, caller, [c for c, _, _ in asked.values()])
    own = _own_identifiers(writes)
    gone = {step.literal for step in writes if step.method == "DELETE"}
    known: dict[str, str] = {}
    for (text, (one, path, index)), ids in zip(asked.items(), found, strict=True):
        matches = {f"{one.type}/{id_}" for id_ in ids} - gone
        matches |= own.get((one.type, *one.identifier), set()) if one.identifier else set()
        if len(matches) != 1:
            error = PreconditionFailed(
                "The conditional reference has no match"
                if not matches
                else "The conditional reference has several matches",
                code="multiple-matches" if matches else "not-found",
                expression=f"{path}.reference",
            )
            raise placed(error, index)
        known[text] = matches.pop()
    return known


def _own_identifiers(writes: Iterable[Step]) -> dict[tuple[str, str, str], set[str]]:
    """Return (type, system, value) → literals of the resources that the entries store."""
    own: dict[tuple[str, str, str], set[str]] = {}
    for step in writes:
        identifiers = (step.entry.resource or {}).get("identifier", ())
        if step.existing or step.method == "DELETE":
            continue
        for one in identifiers if isinstance(identifiers, list) else (identifiers,):
            if isinstance(one, dict) and "system" in one and "value" in one:
                key = (step.target.type, str(one["system"]), str(one["value"]))
                own.setdefault(key, set()).add(step.literal)
    return own


async def _lock(server: Server, connection: Connection, writes: Sequence[Step]) -> None:
    """Lock the present rows; a bundle with a deletion locks all rows as for deletion."""
    type_ids = server.definitions.type_ids
    addressed = {
        step.index: (type_ids[step.target.type], step.id)
        for step in writes
        if step.id is not None and (step.existing or step.method != "POST")
    }
    deleting = any(step.method == "DELETE" for step in writes)
    present = await store.lock(connection, addressed.values(), deleting=deleting)
    for step in writes:
        step.present = present.get(addressed.get(step.index, (0, "")))


async def _patch(server: Server, connection: Connection, step: Step) -> None:
    """Make an update of a patch: the stored resource with the patch applied."""
    type_name, present = step.target.type, step.present
    if present is None:
        raise NotFound(f"There is no such {type_name}")
    if present.deleted:
        raise Gone(f"The {type_name} was deleted", headers={"ETag": f'W/"{present.version}"'})
    require(present, if_match=step.entry.if_match, if_none_match=None)
    stored = await store.current(connection, present.type_id, present.id)
    asked = step.entry.resource
    if stored is None or asked is None:
        raise BadRequest("The entry has no resource", code="required")
    raw = json.encode(patched(server, type_name, stored.body, asked))
    data = json.decode(raw)
    step.entry = replace(step.entry, resource=data, raw=raw)
    step.references = literal_references(server, type_name, data)


def _write(server: Server, step: Step, known: Known, *, bundle: bool) -> Write | None:
    """Return what the step stores, None when it stores nothing."""
    entry, type_name = step.entry, step.target.type
    if step.method != "POST":
        require(step.present, if_match=entry.if_match, if_none_match=entry.if_none_match)
    if step.method == "DELETE":
        stored = step.present is not None and not step.present.deleted
        return deletion(step.present) if step.present and stored else None
    if step.existing or entry.resource is None or step.id is None:
        return None
    chosen = step.present is None and step.method == "PUT" and entry.resource.get("id") is not None
    if chosen and not server.settings.write.update_create:
        raise MethodNotAllowed("An update does not create here", headers={"Allow": "GET, HEAD"})
    data = entry.resource
    if step.method == "PUT" and step.criteria is None and data.get("id") != step.id:
        raise BadRequest("The id in the body is not the one in the URL", expression="id")
    place = f"Bundle.entry[{step.index}]" if bundle else None
    draft = Draft(type_name, data, entry.raw or b"", step.references, place)
    with rewritten(server.definitions, draft, known, entry.full_url) as final:
        return write(server, checked(server, final), step.id, Method[entry.method], step.present)


async def _refuse_orphans(
    server: Server, connection: Connection, writes: Sequence[Step], *, bundle: bool
) -> None:
    """Refuse to delete what others still refer to."""
    if not server.settings.write.referential_integrity:
        return
    going = [step for step in writes if step.method == "DELETE" and step.write]
    replaced = [step.write.key for step in writes if step.write and step.write.previous]
    for step in going:
        type_id = server.definitions.type_ids[step.target.type]
        left = await store.referrers(connection, type_id, step.id or "", besides=replaced)
        if left:
            names = server.definitions.type_names
            error = Conflict(
                "Other resources refer to it: "
                + ", ".join(f"{names[type_id]}/{id_}" for type_id, id_ in left)
            )
            raise placed(error, step.index) if bundle else error


async def _outcome(
    server: Server,
    connection: Connection,
    caller: Caller,
    step: Step,
    times: dict[int, Any],
) -> Outcome:
    if step.method in READS:
        return await retrieve(server, connection, caller, step.entry, step.target)
    type_name, id_, new = step.target.type, step.id or "", step.write
    if step.method == "DELETE":
        version = new.version if new else step.present.version if step.present else 0
        return Outcome(204, type_name, id_, version, times.get(new.key) if new else None, None)
    if new is None or new.text is None:
        return await _unchanged(server, connection, step)
    created = new.previous is None or new.previous.deleted
    at = times[new.key]
    status = 201 if created else 200
    return Outcome(status, type_name, id_, new.version, at, new.text.at(at))


async def _unchanged(server: Server, connection: Connection, step: Step) -> Outcome:
    """Return the version that stands: a no-op, or the match of a conditional create."""
    type_id = server.definitions.type_ids[step.target.type]
    found = await store.current(connection, type_id, step.id or "")
    if found is None:
        raise Conflict("The match of a conditional create is gone")
    return Outcome(
        200, step.target.type, step.id or "", found.version, found.last_updated, found.body
    )


@contextmanager
def _place(step: Step, *, bundle: bool) -> Iterator[None]:
    """Say in a refusal which entry it is about."""
    try:
        yield
    except SangamError as error:
        raise (placed(error, step.index) if bundle else error) from None
