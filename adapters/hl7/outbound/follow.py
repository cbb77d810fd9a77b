"""Changes turned into messages for each destination.

How far the change feed was read, and the messages made of it, are one transaction.
"""

import logging
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from adapters.hl7.acknowledgement.ack import control_id
from adapters.hl7.outbound import queue
from adapters.hl7.outbound.events import Event, events
from adapters.hl7.outbound.gather import CALLER, gather, searched, source
from adapters.hl7.outbound.messages import Draft, adt, oml, oru, oul, written
from adapters.hl7.outbound.peer import Peer, peer_of
from adapters.hl7.outbound.record import Json, Record, literal
from adapters.hl7.profiles.read import Loaded
from fhir_server import changes
from fhir_server.changes import Change, Cursor
from fhir_server.database import Connection
from fhir_server.interactions.vread import versions_on
from fhir_server.r4 import json
from fhir_server.server import Server

_ONCE: Final = 200
_TYPES: Final = ("Patient", "Encounter", "ServiceRequest", "DiagnosticReport", "Observation")
_TELLS: Final = {
    "ADT": ("Patient", "Encounter"),
    "OML": ("ServiceRequest",),
    "ORU": ("DiagnosticReport", "Observation"),
    "OUL": ("DiagnosticReport", "Observation"),
}
# What a new version of these says hangs on the one before it (outbound/events).
_COMPARED: Final = frozenset(("Patient", "Encounter", "ServiceRequest"))
_QC: Final = "qc"

_AT: Final = "SELECT feed_xid, position FROM hl7_outbound_feed WHERE id = 1 FOR UPDATE"
_REACHED: Final = """
INSERT INTO hl7_outbound_feed (id, feed_xid, position) VALUES (1, %s, %s)
ON CONFLICT (id) DO UPDATE SET feed_xid = excluded.feed_xid, position = excluded.position
"""

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
    async with server.database.transaction() as connection:
        row = await (await connection.execute(_AT)).fetchone()
        if row is None:
            await _reached(connection, await changes.latest(connection))
            return False
        found, reached = await changes.read(connection, Cursor(*row), _ONCE)
        if not found:
            return False
        names = server.definitions.type_names
        wanted = {kind for peer in peers for kind in _wanted(peer)}
        own = [one for one in found if names[one.type_id] in wanted]
        if own:
            await _each(server, connection, base, peers, own)
        await _reached(connection, reached)
        return len(found) == _ONCE


def _wanted(peer: Peer) -> Iterator[str]:
    """Yield the types whose changes a destination may be told of."""
    messages = {one.partition("^")[0] for one in peer.settings.triggers}
    for message, types in _TELLS.items():
        if message in messages:
            yield from types


async def _reached(connection: Connection, place: Cursor) -> None:
    await connection.execute(_REACHED, (place.feed_xid, place.position))


async def _each(
    server: Server,
    connection: Connection,
    base: str,
    peers: Sequence[Peer],
    found: Sequence[Change],
) -> None:
    ids = await changes.named(connection, found)
    names = server.definitions.type_names
    own = [
        (names[one.type_id], ids[one.key], one.version)
        for one in _in_order(server, found)
        if one.key in ids
    ]
    before = [(kind, id_, at - 1) for kind, id_, at in own if kind in _COMPARED]
    stored = await versions_on(server, connection, CALLER, [*own, *before])
    reported: set[str] = set()
    for kind, id_, at in own:
        if (kind, id_, at) not in stored or f"{kind}/{id_}" in reported:
            continue
        now: Json = json.decode_keeping(stored[kind, id_, at].body)
        if kind == "DiagnosticReport":
            reported |= {each["reference"] for each in now.get("result", ()) if "reference" in each}
        earlier = stored.get((kind, id_, at - 1)) if kind in _COMPARED else None
        was = json.decode_keeping(earlier.body) if earlier else None
        for told in await _subjects(server, connection, now):
            await _tell(server, connection, base, peers, told, was, now)


def _in_order(server: Server, found: Sequence[Change]) -> list[Change]:
    """Return changes in their order, the results of a transaction after its reports.

    Of a person and what belongs to him, whatever one transaction wrote, he comes first.
    """
    rank = {name: at for at, name in enumerate(_TYPES)}
    names = server.definitions.type_names

    def place(one: Change) -> tuple[int, int, int]:
        return one.cursor.feed_xid, rank[names[one.type_id]], one.cursor.position

    return sorted(found, key=place)


async def _subjects(server: Server, connection: Connection, now: Json) -> list[Json]:
    """Return what is told of: of a result the reports that it is in, else itself."""
    if now["resourceType"] != "Observation":
        return [now]
    pairs = [("result", literal(now)), ("_count", "20")]
    return await searched(server, connection, "DiagnosticReport", pairs) or [now]


async def _tell(
    server: Server,
    connection: Connection,
    base: str,
    peers: Sequence[Peer],
    told: Json,
    before: Json | None,
    cause: Json,
) -> None:
    """Queue the messages about a resource, for whom is told of it."""
    if _is_quality_control(told):
        return
    due = list(events(told, before if told is cause else None))
    wanted = [(peer, one) for peer in peers for one in due if peer.settings.wants(one.kind)]
    if not wanted:
        return
    number = f"{literal(cause)}/_history/{cause['meta']['versionId']}"
    origin = await source(server, connection, base, number)
    record = await gather(server, connection, told)
    for peer, one in wanted:
        if origin is None or not is_echo(peer, origin):
            await _queue(connection, peer, one, told, record)


def _is_quality_control(resource: Json) -> bool:
    tags = resource.get("meta", {}).get("tag", ())
    return any(one.get("code") == _QC for one in tags)


def is_echo(peer: Peer, origin: tuple[str, str]) -> bool:
    """Whether a change came from the destination itself, by sender or channel."""
    sender, channel = origin
    return sender == peer.name or channel in peer.settings.not_from


async def _queue(
    connection: Connection, peer: Peer, event: Event, told: Json, record: Record
) -> None:
    number = control_id()
    digest, payload, problem = b"", b"", ""
    try:
        draft = drafted(event, told, record, peer)
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
    await queue.put(connection, message)


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
    yield str(told.get("subject", {}).get("reference", "")) or literal(told)


def drafted(event: Event, told: Json, record: Record, peer: Peer) -> Draft:
    """Return the message of an event."""
    kind, _, name = event.kind.partition("^")
    if kind == "ADT":
        return adt(name, told, record, peer, str(told["meta"]["lastUpdated"]))
    if kind == "OML":
        return oml(event.kind, event.control, told, record, peer)
    return (oul if kind == "OUL" else oru)(told, record, peer)
