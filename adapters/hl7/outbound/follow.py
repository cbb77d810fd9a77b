"""Changes turned into messages for each destination.

How far the change feed was read, and the messages made of it, are one transaction.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from adapters.hl7.acknowledgement.ack import control_id
from adapters.hl7.outbound import queue
from adapters.hl7.outbound.disclosing import left
from adapters.hl7.outbound.events import Event, events, of_deletion, of_part, withdrawn
from adapters.hl7.outbound.gather import CALLER, belongings, gather, searched, source
from adapters.hl7.outbound.messages import NOTHING, Draft, adt, oml, oru, oul, written
from adapters.hl7.outbound.peer import Peer, peer_of
from adapters.hl7.outbound.record import Json, Record, literal
from adapters.hl7.outbound.segments.belongings import Belongings
from adapters.hl7.profiles.read import Loaded
from adapters.hl7.recorded import Sent
from fhir_server import changes
from fhir_server.changes import Change
from fhir_server.database import Connection
from fhir_server.feed_readers import take
from fhir_server.interactions.vread import versions_on
from fhir_server.r4 import json
from fhir_server.server import Server

_WHOLE: Final = ("Patient", "Encounter", "ServiceRequest", "DiagnosticReport", "Observation")
# Parts of what is told: of a person, of a visit.
_OF_PERSON: Final = ("Coverage", "RelatedPerson")
_OF_VISIT: Final = ("Condition", "Procedure")
_TYPES: Final = (*_WHOLE, "AllergyIntolerance", *_OF_PERSON, *_OF_VISIT)
_TELLS: Final = {
    "ADT": ("Patient", "Encounter", "AllergyIntolerance", *_OF_PERSON, *_OF_VISIT),
    "OML": ("ServiceRequest",),
    "ORU": ("DiagnosticReport", "Observation"),
    "OUL": ("DiagnosticReport", "Observation"),
}
# What a new version of these says hangs on the one before it (outbound/events).
_COMPARED: Final = frozenset(("Patient", "Encounter", "ServiceRequest"))
_QC: Final = "qc"
_WITH_BELONGINGS: Final = frozenset(
    ("OML^O21", *(f"ADT^{one}" for one in ("A01", "A03", "A08", "A13", "A31")))
)
_READER: Final = "hl7.outbound"

_log = logging.getLogger(__name__)


def destinations(server: Server, base: str, profiles: Sequence[Loaded]) -> list[Peer]:
    """Return the destinations of the profiles that are enabled and have an address."""
    found = [one for one in profiles if one.profile.outbound and one.profile.outbound.enabled]
    authorities = server.settings.hl7.authorities
    return [
        peer_of(one.sender, base, one.profile, authorities)
        for one in found
        if one.profile.outbound and one.profile.outbound.address
    ]


async def look(server: Server, base: str, peers: Sequence[Peer]) -> bool:
    """Queue what changed since the last look; return whether there may be more.

    The first look of all begins with what comes after it.
    """
    wanted = {kind for peer in peers for kind in _wanted(peer)}
    types = [server.definitions.type_ids[kind] for kind in wanted]
    async with server.database.transaction() as connection:
        page = await take(connection, _READER, types)
        if page.changes:
            await _each(server, connection, base, peers, page.changes)
        return page.more


def _wanted(peer: Peer) -> Iterator[str]:
    """Yield the types whose changes a destination may be told of."""
    messages = {one.partition("^")[0] for one in peer.settings.triggers}
    for message, types in _TELLS.items():
        if message in messages:
            yield from types


@dataclass(frozen=True, slots=True)
class _Cause:
    """A version that changed: what it says now, what was said before, and whether it is gone.

    What was deleted says now that it was entered in error.
    """

    now: Json
    before: Json | None
    gone: bool = False

    @property
    def version(self) -> str:
        """The reference to the version."""
        return f"{literal(self.now)}/_history/{self.now['meta']['versionId']}"


@dataclass(frozen=True, slots=True)
class _Look:
    """What comes of one look at the changes.

    `said` has for each destination what it is told of already: with its parts as they are now;
    `sent` is what is to be recorded of it.
    """

    said: set[tuple[str, str]] = field(default_factory=set)
    sent: Sent = field(default_factory=Sent)


async def _each(
    server: Server,
    connection: Connection,
    base: str,
    peers: Sequence[Peer],
    found: Sequence[Change],
) -> None:
    reported: set[str] = set()
    look = _Look()
    causes = await _causes(server, connection, found)
    gone = {literal(one.now): one.now for one in causes if one.gone}
    for cause in causes:
        if literal(cause.now) in reported:
            continue
        if cause.now["resourceType"] == "DiagnosticReport":
            results = cause.now.get("result", ())
            reported |= {each["reference"] for each in results if "reference" in each}
        for told in await _subjects(server, connection, cause):
            await _tell(server, connection, base, peers, told, cause, gone, look)
    await look.sent.record(connection)


async def _causes(server: Server, connection: Connection, found: Sequence[Change]) -> list[_Cause]:
    """Return what changed, in the order in which it is told."""
    ids = await changes.named(connection, found)
    names = server.definitions.type_names
    told = [one for one in _in_order(server, found) if one.key in ids]
    own = [(names[one.type_id], ids[one.key], one.version) for one in told]
    before = [(kind, id_, at - 1) for kind, id_, at in own if kind in _COMPARED]
    stored = await versions_on(server, connection, CALLER, [*own, *before])
    gone = [(kind, id_, at - 1) for kind, id_, at in own if (kind, id_, at) not in stored]
    if gone:
        stored |= await versions_on(server, connection, CALLER, gone)

    def said(kind: str, id_: str, at: int) -> Json | None:
        one = stored.get((kind, id_, at))
        resource: Json | None = json.decode_keeping(one.body) if one else None
        return resource

    causes = []
    for (kind, id_, at), change in zip(own, told, strict=True):
        now, was = said(kind, id_, at), said(kind, id_, at - 1)
        if now is not None:
            causes.append(_Cause(now, was))
        elif was is not None:
            when = change.at.isoformat(timespec="milliseconds")
            meta = {**was["meta"], "versionId": str(at), "lastUpdated": when}
            causes.append(_Cause({**withdrawn(was), "meta": meta}, was, gone=True))
    return causes


def _in_order(server: Server, found: Sequence[Change]) -> list[Change]:
    """Return changes in their order, the results of a transaction after its reports.

    Of a person and what belongs to him, whatever one transaction wrote, he comes first.
    """
    rank = {name: at for at, name in enumerate(_TYPES)}
    names = server.definitions.type_names

    def place(one: Change) -> tuple[int, int, int]:
        return one.cursor.feed_xid, rank[names[one.type_id]], one.cursor.position

    return sorted(found, key=place)


async def _subjects(server: Server, connection: Connection, cause: _Cause) -> list[Json]:
    """Return what is told of: of a result the reports that it is in, of a part the whole."""
    now, kind = cause.now, cause.now["resourceType"]
    if kind == "Observation":
        pairs = [("result", literal(now)), ("_count", "20")]
        return await searched(server, connection, "DiagnosticReport", pairs) or [now]
    if kind in _OF_PERSON:
        named = now.get("beneficiary" if kind == "Coverage" else "patient", {})
        return await _named(server, connection, "Patient", named)
    if kind in _OF_VISIT:
        return await _named(server, connection, "Encounter", now.get("encounter", {}))
    return [now]


async def _named(server: Server, connection: Connection, kind: str, reference: Json) -> list[Json]:
    at = str(reference.get("reference", "")).partition("/_history/")[0]
    of, _, id_ = at.partition("/")
    return await searched(server, connection, kind, [("_id", id_)]) if of == kind and id_ else []


async def _tell(
    server: Server,
    connection: Connection,
    base: str,
    peers: Sequence[Peer],
    told: Json,
    cause: _Cause,
    gone: Mapping[str, Json],
    look: _Look,
) -> None:
    """Queue the messages about a resource, for whom is told of it.

    What is `gone` stands as withdrawn in what refers to it: a report that is deleted with its
    results takes them back.
    """
    if _is_quality_control(told):
        return
    due = _due(told, cause)
    is_part = cause.now["resourceType"] in (*_OF_PERSON, *_OF_VISIT)
    wanted = [
        (peer, one)
        for peer in peers
        for one in due
        if peer.settings.wants(one.kind)
        and not (is_part and not cause.gone and (peer.name, literal(told)) in look.said)
    ]
    if not wanted:
        return
    origin = await source(server, connection, base, cause.version)
    own = await _belongings(server, connection, told, cause, [one.kind for _, one in wanted])
    record = await gather(server, connection, told, own.resources)
    record = Record({**gone, **record.others})
    for peer, one in wanted:
        if origin is None or not is_echo(peer, origin):
            look.said.add((peer.name, literal(told)))
            shown = await left(server, connection, peer, told, record, own, gone)
            if shown is None:
                _log.info("%s is not told: no consent permits it", peer.name)
                continue
            if await _queue(connection, peer, one, told, *shown):
                look.sent.add(peer.name, [*_keys(told), literal(told)], peer.settings.discloses_to)


def _due(told: Json, cause: _Cause) -> list[Event]:
    if told is cause.now:
        assert not cause.gone or cause.before is not None
        if cause.gone and cause.before is not None:
            return list(of_deletion(cause.before))
        return list(events(told, cause.before))
    return list(events(told, None) if told["resourceType"] == "DiagnosticReport" else of_part(told))


async def _belongings(
    server: Server, connection: Connection, told: Json, cause: _Cause, kinds: Sequence[str]
) -> Belongings:
    """Return what the segments beside those of the resource itself are made of."""
    if not any(kind in _WITH_BELONGINGS for kind in kinds):
        return Belongings()
    found = await belongings(server, connection, told)
    gone = [cause.now] if cause.gone and cause.now is not told else []
    return Belongings((*found, *gone))


def _is_quality_control(resource: Json) -> bool:
    tags = resource.get("meta", {}).get("tag", ())
    return any(one.get("code") == _QC for one in tags)


def is_echo(peer: Peer, origin: tuple[str, str]) -> bool:
    """Whether a change came from the destination itself, by sender or channel."""
    sender, channel = origin
    return sender == peer.name or channel in peer.settings.not_from


async def _queue(
    connection: Connection, peer: Peer, event: Event, told: Json, record: Record, own: Belongings
) -> bool:
    """Queue a message; return whether it is sent, as the same was not said before."""
    number = control_id()
    digest, payload, problem = b"", b"", ""
    try:
        draft = drafted(event, told, record, peer, own)
        digest, payload = draft.digest(peer), written(draft, peer, number, datetime.now(UTC))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # Others are told on; an operator sees what is missing.
        _log.exception("A message %s for %s cannot be written", event.kind, peer.name)
        problem = f"It cannot be written: {type(error).__name__}"
    message = queue.Message(
        destination=peer.name,
        event=event.kind,
        control_id=number,
        keys=tuple(sorted(_keys(told))),
        reference=_place(event, told),
        version=int(told["meta"]["versionId"]),
        digest=digest,
        payload=payload,
        problem=problem,
    )
    return await queue.put(connection, message) is not None and not problem


def _place(event: Event, told: Json) -> str:
    """Return under what a message is compared with the one before: its kind of event apart."""
    return f"{literal(told)} {event.kind.partition('^')[0]}"


def _keys(told: Json) -> Iterator[str]:
    """Yield whom a message speaks of: his messages keep their order."""
    if told["resourceType"] == "Patient":
        yield literal(told)
        for one in told.get("link", ()):
            yield str(one.get("other", {}).get("reference", ""))
        return
    holder = told.get("subject") or told.get("patient") or {}
    yield str(holder.get("reference", "")).partition("/_history/")[0] or literal(told)


def drafted(
    event: Event, told: Json, record: Record, peer: Peer, own: Belongings = NOTHING
) -> Draft:
    """Return the message of an event; `own` is what belongs to person and visit."""
    kind, _, name = event.kind.partition("^")
    if kind == "ADT":
        return adt(name, told, record, peer, str(told["meta"]["lastUpdated"]), own)
    if kind == "OML":
        return oml(event.kind, event.control, told, record, peer, own)
    return (oul if kind == "OUL" else oru)(told, record, peer)
