"""Mapped messages written into the open transaction.

One statement looks up all identifiers of a group, one reads what they name, and one
transaction creates and changes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from adapters.hl7.inbox import matching, times, waiting
from adapters.hl7.inbox.links import Waiting, parts
from adapters.hl7.inbox.plan import Item, Plan, Told, is_new
from adapters.hl7.inbox.provenance import document, provenances, row_identifier
from adapters.hl7.inbox.snapshot import MOST_MERGES, Named, Snapshot
from adapters.hl7.mapping.context import Json, Write
from adapters.hl7.mapping.transform import Mapped
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.hl7_settings import Hl7Settings
from fhir_server.interactions.entry import Entry, Outcome
from fhir_server.interactions.held import current, named
from fhir_server.interactions.transaction import Outside, transaction
from fhir_server.r4 import json
from fhir_server.server import Server

_OF_SERVER: Final = ("versionId", "lastUpdated")
# Most of these come for the first time with a message, and are of its patient alone: to hold
# their identifiers keeps nobody waiting whom the order of messages would not keep.
_MOSTLY_NEW: Final = frozenset(("DiagnosticReport", "Observation", "ServiceRequest", "Specimen"))


@dataclass(frozen=True, slots=True)
class Given:
    """A mapped message with its row; `trust` tells by system who an identifier is good for."""

    row: int
    mapped: Mapped
    trust: Mapping[str, str]


@dataclass(slots=True)
class Written:
    """What was written: outcomes by the full URLs of the messages, and what each message did."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    done: dict[int, Told] = field(default_factory=dict)
    versions: dict[int, list[str]] = field(default_factory=dict)
    new: dict[int, list[str]] = field(default_factory=dict)


async def write(
    server: Server, connection: Connection, caller: Caller, group: Sequence[Given]
) -> Written:
    """Write what the messages say, in their order; raises Refusal where it is open what.

    Conflict where another process wrote the same meanwhile.
    """
    settings = server.settings.hl7
    writes = [write for one in group for write in one.mapped.writes]
    known = await times.reports(connection, (w.within for w in writes if w.within))
    snapshot = await _look(server, connection, group, known)
    within = _within(writes, settings, snapshot, group)
    told, cleared = await times.told(connection, within, known)
    plan = Plan(snapshot, settings, known, told, cleared)
    done = {one.row: plan.add(one.mapped, one.trust) for one in group}
    await _link(server, connection, plan)
    by_reference = await _carry_out(server, connection, caller, plan)
    written = _written(group, plan, done, by_reference)
    await times.claim(connection, _claims(group, written.outcomes), known)
    made = {ref: f"{out.type}/{out.id}" for ref, out in by_reference.items()}
    await times.note(connection, done.values(), made, known, told)
    await waiting.add(connection, [_of(one, made) for d in done.values() for one in d.waiting])
    return written


async def _look(
    server: Server,
    connection: Connection,
    group: Sequence[Given],
    known: Mapping[str, times.Known],
) -> Snapshot:
    """Read all that the messages name, and lock what they will change."""
    settings = server.settings.hl7
    order, any_ = settings.patient_match, settings.patient_update == "all"
    wanted: list[Named] = []
    changing: set[Named] = set()
    for one in group:
        for write in one.mapped.writes:
            if is_new(write, known):
                continue
            kind = write.resource["resourceType"]
            names = [(kind, token) for token in matching.tokens(write, order, one.trust)]
            wanted += names
            if write.method == "PUT" or (any_ and kind == "Patient"):
                changing.update(names)
        links = [(link.type, token) for link in one.mapped.links for token in link.identity]
        wanted += links
        changing.update(links)
    asked = {(kind, *parts(token)): (kind, token) for kind, token in wanted}
    there = await named(server, connection, asked, _MOSTLY_NEW)
    ids = {asked[one]: found for one, found in there.items()}
    locked = {f"{kind}/{id_}" for kind, token in changing for id_ in ids.get((kind, token), ())}
    found = {f"{kind}/{id_}" for (kind, _), some in ids.items() for id_ in some}
    snapshot = Snapshot(ids, dict(await current(server, connection, found, locked)))
    await _follow(server, connection, snapshot)
    return snapshot


async def _follow(server: Server, connection: Connection, snapshot: Snapshot) -> None:
    """Read those who took the place of merged Patients."""
    for _ in range(MOST_MERGES):
        patients = [one for one in snapshot.held if one.startswith("Patient/")]
        survivors = {snapshot.replaced_by(one) for one in patients} - {"", *snapshot.held}
        if not survivors:
            return
        more = await current(server, connection, survivors, survivors)
        snapshot.held |= more
        if not more:
            return


def _within(
    writes: Iterable[Write], settings: Hl7Settings, snapshot: Snapshot, group: Sequence[Given]
) -> dict[str, str]:
    """Return the report of each stored resource that may be updated, "" without one."""
    trust = {write.full_url: one.trust for one in group for write in one.mapped.writes}
    found: dict[str, str] = {}
    for write in writes:
        kind = write.resource["resourceType"]
        if write.event_time is None or (write.method != "PUT" and kind != "Patient"):
            continue
        for token in matching.tokens(write, settings.patient_match, trust[write.full_url]):
            found |= dict.fromkeys(snapshot.references(kind, token), write.within)
    return found


async def _link(server: Server, connection: Connection, plan: Plan) -> None:
    """Make links literal that waited for what is created now."""
    arrived = await waiting.take(connection, plan.fresh)
    if not arrived:
        return
    sources = {one.source for one in arrived} - plan.snapshot.held.keys()
    plan.snapshot.held |= await current(server, connection, sources, sources)
    for one in arrived:
        plan.arrived(one)


async def _carry_out(
    server: Server, connection: Connection, caller: Caller, plan: Plan
) -> dict[str, Outcome]:
    """Create and change what the plan says; return what lies at each reference of it."""
    items = [item for item in plan.items.values() if item.changed]
    entries = [_entry(item) for item in items]
    literals = {url: other for url, other in plan.literals.items() if url != other}
    outcomes = await transaction(
        server, connection, caller, entries, outside=Outside(literals=literals)
    )
    found = {item.reference: out for item, out in zip(items, outcomes, strict=True)}
    for item in plan.items.values():
        if not item.changed:
            kind, _, id_ = item.reference.partition("/")
            found[item.reference] = Outcome(200, kind, id_, item.version, None, None)
    return found


def _entry(item: Item) -> Entry:
    resource = item.resource
    kind = resource["resourceType"]
    if not item.stored:
        # With its text at hand, the transaction replaces references there.
        raw = json.encode(resource)
        return Entry("POST", kind, resource=resource, raw=raw, full_url=item.reference)
    meta = {k: said for k, said in resource.get("meta", {}).items() if k not in _OF_SERVER}
    resource = {name: said for name, said in resource.items() if name != "meta"}
    if meta:
        resource["meta"] = meta
    return Entry("PUT", item.reference, resource=resource, raw=json.encode(resource))


def _written(
    group: Sequence[Given],
    plan: Plan,
    done: Mapping[int, Told],
    by_reference: Mapping[str, Outcome],
) -> Written:
    found = Written(done=dict(done))
    for one in group:
        for write in one.mapped.writes:
            if write.full_url in plan.literals:
                found.outcomes[write.full_url] = by_reference[plan.literals[write.full_url]]
        touched = [by_reference[ref] for ref in done[one.row].references]
        versions = (f"{out.type}/{out.id}/_history/{out.version}" for out in touched)
        found.versions[one.row] = list(dict.fromkeys(versions))
        changed = [by_reference[ref] for ref, news in done[one.row].changed.items() if news]
        found.new[one.row] = [literal for out in changed for literal in out.written]
    return found


def _claims(group: Sequence[Given], outcomes: Mapping[str, Outcome]) -> list[times.Claim]:
    return [
        times.Claim(
            write.within or write.identity[0],
            _subject(write.resource, outcomes),
            one.row,
            write.event_time,
        )
        for one in group
        for write in one.mapped.writes
        if write.resource["resourceType"] == "DiagnosticReport"
    ]


def _subject(resource: Json, outcomes: Mapping[str, Outcome]) -> str:
    """Return the id of the Patient of a report, "" where it is of none."""
    url = str(resource.get("subject", {}).get("reference", ""))
    return outcomes[url].id if url in outcomes else url.partition("/")[2]


def _of(one: Waiting, made: Mapping[str, str]) -> Waiting:
    source = made.get(one.source, one.source)
    return Waiting(source, one.element, one.type, one.identity, one.inverse)


async def trace(
    server: Server,
    connection: Connection,
    caller: Caller,
    base: str,
    said: Iterable[tuple[int, bytes, Mapping[str, Any], Sequence[str]]],
) -> None:
    """Store a Provenance of each (row, bytes, what it says of itself, versions) that wrote any."""
    now = datetime.now(UTC)
    entries: list[Entry] = []
    for row, raw, members, versions in said:
        if not versions:
            continue
        source: Json = {"identifier": row_identifier(base, row)}
        if server.settings.hl7.raw_as_document:
            url = f"urn:uuid:{server.new_id()}"
            source["reference"] = url
            entries.append(_new(document(base, row, raw, now), url))
        entries += (_new(one) for one in provenances(versions, members, now, source))
    if entries:
        await transaction(server, connection, caller, entries)


def _new(resource: Json, url: str | None = None) -> Entry:
    kind = resource["resourceType"]
    return Entry("POST", kind, resource=resource, raw=json.encode(resource), full_url=url)
