"""transaction: several writes and reads, all or nothing.

The order of entries does not matter: deletions come first, then creates,
updates, and reads last; conditional references see the state that results.

https://hl7.org/fhir/R4/http.html#trules
"""

import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Final

from fhir_server.access.queries import Walls
from fhir_server.access.reach import within
from fhir_server.access.restriction import required
from fhir_server.audit.record import AUDIT_EVENT
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Conflict, TooLarge
from fhir_server.interactions import (
    attaching,
    beforehand,
    coded,
    conditional_reference,
    identity,
    search_parameter,
    writing,
)
from fhir_server.interactions.conditional_reference import Trial
from fhir_server.interactions.draft import keep
from fhir_server.interactions.entry import Entry, Outcome
from fhir_server.interactions.profiling import Moment
from fhir_server.interactions.retrieve import Metadata, is_plain_read, plain_read, retrieve
from fhir_server.interactions.rewrite import known_literals
from fhir_server.interactions.step import READS, WRITES, Step, step
from fhir_server.server import Server
from fhir_server.store import coverage, walls
from fhir_server.store import read as store
from fhir_server.store.attempts import changed_meanwhile
from fhir_server.store.read import Stored
from fhir_server.store.transact import Method, Write, Written


@dataclass(frozen=True, slots=True)
class Outside:
    """Urns that are fullUrls of no entry here.

    An entry of a batch must not refer to those that stand `beside` it. `literals` are
    those that stand for what is stored, or for the fullUrl of an entry.
    """

    beside: Collection[str] = ()
    literals: Mapping[str, str] = field(default_factory=dict)


NOTHING_OUTSIDE: Final = Outside()


async def transaction(
    server: Server,
    connection: Connection,
    caller: Caller,
    entries: Sequence[Entry],
    *,
    bundle: bool = True,
    linked: bool = True,
    outside: Outside = NOTHING_OUTSIDE,
    metadata: Metadata | None = None,
) -> list[Outcome]:
    """Carry out all entries inside the open transaction; outcomes in their order.

    Conditional references are for `linked` entries, those of a transaction. `outside` are
    urns that are no fullUrls of these entries. `metadata` gives the CapabilityStatement to
    who reads it.

    Raises the refusal of the first entry that cannot be carried out, which is
    placed at `Bundle.entry[i]` unless this is no `bundle` but a single request;
    the caller's transaction is then to be rolled back.
    """
    registry, moment = await coverage.refresh(server, connection, after=math.inf), Moment(server)
    entries = attaching.placed(caller, entries) if linked and bundle else entries
    steps = [step(server, index, entry, bundle=bundle) for index, entry in enumerate(entries)]
    asked = [one for one in steps if one.method in WRITES]
    await coded.answer_rights(server, connection, caller)
    beforehand.require_letters(server, caller, asked)
    for one in asked:
        if not one.criteria and one.method != "PATCH":
            await writing.check(server, caller, one, moment, linked=linked)
    writes = await identity.identified(server, connection, caller, asked)
    identity.refuse_overlap(steps, writes)
    for one in asked:
        if one.criteria and one.method != "PATCH":
            await writing.check(server, caller, one, moment, linked=linked)
    await identity.lock(server, connection, caller, writes)
    await beforehand.require(server, connection, caller, writes)
    for one in writes:
        writing.require_present(server, one)
    patches = [one for one in writes if one.method == "PATCH"]
    await writing.patch(server, connection, caller, patches, moment, linked=linked)
    urls = identity.full_urls(writes)
    urls |= {one: urls.get(other, other) for one, other in outside.literals.items()}
    known = known_literals(urls, {}, complete=bundle, beside=outside.beside)
    if linked and bundle:
        trial = Trial(known, registry.version)
        literals = await conditional_reference.resolved(server, connection, caller, writes, trial)
        known = known_literals(urls, literals, complete=bundle, beside=outside.beside)
    for one in writes:
        if one.write is None or conditional_reference.has_any(server, one):
            one.write = writing.made(server, one, known)
    await _refuse_orphans(server, connection, caller, writes)
    written = await _write(server, connection, caller, writes, registry.version)
    await search_parameter.follow(server, connection, writes)
    return await _outcomes(server, connection, caller, steps, written, metadata)


async def _write(
    server: Server, connection: Connection, caller: Caller, writes: Sequence[Step], registry: int
) -> dict[int, Written]:
    """Write all; what makes a row under a client's id comes in the order of ids, as locks do."""
    made = [one.write for one in writes if one.write]
    if sum(_rows(one) for one in made) > server.settings.limits.bundle_index_rows:
        raise TooLarge("The resources have more index values than one request may have")
    made.sort(key=_place)
    try:
        return await keep(server, connection, made, registry, caller=caller)
    except Conflict as error:
        # Its condition found nothing just before, and would find what is in its way now.
        if any(one.criteria and not one.found for one in writes):
            raise changed_meanwhile(error) from error
        raise


def _rows(one: Write) -> int:
    return one.index.count if one.index else 0


def _place(one: Write) -> tuple[bool, int, str]:
    named = one.previous is None and one.method is Method.PUT
    return (True, one.type_id, one.id) if named else (False, 0, "")


async def _refuse_orphans(
    server: Server, connection: Connection, caller: Caller, writes: Sequence[Step]
) -> None:
    """Refuse to delete what others still refer to; those that are hidden are not named."""
    going = {
        (one.write.type_id, one.write.id): one
        for one in writes
        if one.method == "DELETE" and one.write
    }
    if not going or not server.settings.write.referential_integrity:
        return
    replaced = [one.write.key for one in writes if one.write and one.write.previous]
    # What tells of an access does not keep its object.
    audits = [server.definitions.type_ids[AUDIT_EVENT]]
    left = await store.referrers(connection, going, besides=replaced, types=audits)
    names = server.definitions.type_names
    for place, one in going.items():
        if place in left:
            shown = await _shown(server, connection, caller, left[place])
            literals = ", ".join(f"{names[type_id]}/{id_}" for type_id, id_ in shown)
            with one.refusals():
                text = "Other resources refer to it"
                raise Conflict(f"{text}: {literals}" if literals else text)


async def _shown(
    server: Server, connection: Connection, caller: Caller, places: Sequence[tuple[int, str]]
) -> list[tuple[int, str]]:
    """Return those of the places that the caller may know of."""
    types = sorted({server.definitions.type_names[type_id] for type_id, _ in places})
    wall = Walls(server, caller.rights, types, "s").any
    if wall is None:
        return list(places)
    seen = await walls.there(connection, places, wall)
    return [one for one in places if one in seen]


async def _outcomes(
    server: Server,
    connection: Connection,
    caller: Caller,
    steps: Sequence[Step],
    written: Mapping[int, Written],
    metadata: Metadata | None,
) -> list[Outcome]:
    """Return what came of each step; what only stands there is read by one statement."""
    standing = {one.index: _address(server, one) for one in steps if _only_stands(one)}
    present = await _standing_there(server, connection, caller, steps, standing)
    hidden = await beforehand.unreadable(server, connection, caller, steps)
    outcomes = []
    for one in steps:
        with one.refusals():
            if one.index in standing:
                stands = present.get(standing[one.index])
                outcomes.append(await _standing(server, caller, one, stands))
            elif one.method in READS:
                async with within(server, connection, caller):
                    found = await retrieve(
                        server, connection, caller, one.entry, one.target, metadata
                    )
                outcomes.append(found)
            else:
                outcomes.append(_outcome(one, written))
    return [
        replace(outcome, body=None) if one.index in hidden else outcome
        for one, outcome in zip(steps, outcomes, strict=True)
    ]


async def _standing_there(
    server: Server,
    connection: Connection,
    caller: Caller,
    steps: Sequence[Step],
    standing: Mapping[int, tuple[int, str]],
) -> dict[tuple[int, str], Stored]:
    """Return what lies at the addresses, of plain reads as far as the caller may read it."""
    if not caller.rights.walls:
        return await store.currents(connection, standing.values())
    read = [one for one in steps if one.index in standing and one.method in READS]
    for one in read:
        with one.refusals():
            required(server, caller.rights, one.target.type, "r")
    types = sorted({one.target.type for one in read})
    places = [standing[one.index] for one in read]
    wall = Walls(server, caller.rights, types, "r").any
    async with within(server, connection, caller) if places else nullcontext():
        found = await store.currents(connection, places, wall)
    others = [place for place in standing.values() if place not in set(places)]
    if others:
        async with within(server, connection, caller, changing=True):
            found |= await store.currents(connection, others)
    return found


def _only_stands(one: Step) -> bool:
    """Whether a plain read, a no-op or the match of a conditional create."""
    if one.method in READS:
        return is_plain_read(one.target)
    return one.method != "DELETE" and one.write is None


def _address(server: Server, one: Step) -> tuple[int, str]:
    return server.definitions.type_ids[one.target.type], one.id or ""


async def _standing(server: Server, caller: Caller, one: Step, found: Stored | None) -> Outcome:
    if one.method in READS:
        return await plain_read(server, caller, one.entry, one.target, found)
    if found is None:
        raise Conflict("The match of a conditional create is gone")
    type_name, id_ = one.target.type, one.id or ""
    return Outcome(200, type_name, id_, found.version, found.last_updated, found.body)


def _outcome(one: Step, written: Mapping[int, Written]) -> Outcome:
    type_name, id_, new = one.target.type, one.id or "", one.write
    stored = tuple(
        f"{each.literal}/_history/{each.write.version}" for each in (one, *one.others) if each.write
    )
    if one.others:
        return Outcome(204, type_name, "", 0, None, None, stored)
    at = written[new.key].last_updated if new else None
    if new is None or new.text is None or at is None:
        version = new.version if new else one.present.version if one.present else 0
        return Outcome(204, type_name, id_, version, at, None, stored)
    created = new.previous is None or new.previous.deleted
    status = 201 if created else 200
    return Outcome(status, type_name, id_, new.version, at, new.text.at(at), stored)
