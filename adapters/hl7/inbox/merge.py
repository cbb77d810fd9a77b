"""Merges, moves and links of what is stored, in the transaction of their message.

All that refers to what is retired refers to the survivor afterwards, in versions that a
Provenance lists. HL7 v2.9 chapter 3, sections 3.3.18 to 3.3.51; docs/decisions/0030.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from psycopg.types.json import Jsonb

from adapters.hl7.inbox import joined
from adapters.hl7.inbox.joined import Json
from adapters.hl7.inbox.links import parts
from adapters.hl7.inbox.provenance import MOST_TARGETS, US, participant, row_identifier
from adapters.hl7.mapping.context import Merge, Refusal
from adapters.hl7.mapping.messages.merge import MOVES
from fhir_server.caller import trusted
from fhir_server.database import Connection
from fhir_server.errors import Conflict, PreconditionFailed
from fhir_server.interactions.entry import Entry, Outcome
from fhir_server.interactions.referring import count, hold, referring, repointed
from fhir_server.interactions.transaction import transaction
from fhir_server.r4 import json
from fhir_server.server import Server

CALLER: Final = trusted("hl7", "hl7")
# Both tell of versions that were, and of who was meant then.
HISTORY_OF: Final = ("Provenance", "AuditEvent")
LINKS: Final = ("Patient.link[",)
_LIFECYCLE: Final = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle"
_PIECE: Final = 100
_SEARCHED: Final = 20

_ALIASES: Final = """
WITH names AS (
    SELECT DISTINCT name FROM hl7_alias WHERE key = ANY(%(keys)s::text[])
), renamed AS (
    UPDATE hl7_alias SET name = %(name)s WHERE name IN (SELECT name FROM names)
        AND key <> ALL(%(keys)s::text[])
)
INSERT INTO hl7_alias (key, name) SELECT DISTINCT unnest(%(keys)s::text[]), %(name)s
ON CONFLICT (key) DO UPDATE SET name = excluded.name
"""
_RECORD: Final = """
INSERT INTO hl7_merge (message_id, event, survivor, retired, versions, keys, old_keys)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""


@dataclass(frozen=True, slots=True)
class Joining:
    """What a message joins: its row, its merges, when it says that they were made.

    `confirmed`: an operator wants them, however much they move. `wrote` are the versions that
    the message wrote before them.
    """

    message: int
    merges: Sequence[Merge]
    at: datetime | None
    confirmed: bool
    wrote: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class Present:
    """A stored resource: its version, and its JSON with numbers as they were written."""

    literal: str
    version: int
    data: Json


@dataclass(slots=True)
class Merging:
    """One merge under way: where it is carried out, and the versions that it wrote."""

    server: Server
    connection: Connection
    base: str
    joining: Joining
    at: str
    versions: list[str] = field(default_factory=list)

    async def ask(self, *entries: Entry) -> list[Outcome]:
        """Carry out entries inside the transaction, as a transaction of their own."""
        return await transaction(self.server, self.connection, CALLER, entries)

    async def read(self, literal: str) -> Present:
        """Return the current version of `Type/id`."""
        [outcome] = await self.ask(Entry("GET", literal))
        return Present(literal, outcome.version, json.decode_keeping(outcome.body or b"{}"))

    async def search(self, type_name: str, tokens: Sequence[str]) -> list[Json]:
        """Return the resources with one of these identifiers."""
        asked = quote(",".join(tokens), safe="|:/.-_~,\\")
        url = f"{type_name}?identifier={asked}&_count={_SEARCHED}"
        [outcome] = await self.ask(Entry("GET", url))
        entries = json.decode(outcome.body or b"{}").get("entry", ())
        return [one["resource"] for one in entries if one["search"]["mode"] == "match"]

    async def put(self, changes: Iterable[tuple[Present, Json]]) -> None:
        """Write what each resource becomes; Conflict where one was changed meanwhile."""
        entries = [
            Entry(
                "PUT",
                present.literal,
                resource=json.decode(raw),
                raw=raw,
                if_match=f'W/"{present.version}"',
            )
            for present, data in changes
            if (raw := json.encode(data))
        ]
        if not entries:
            return
        try:
            outcomes = await self.ask(*entries)
        except PreconditionFailed as error:
            raise Conflict("A resource was changed meanwhile") from error
        self.versions += [literal for one in outcomes for literal in one.written]

    async def require_few(self, literal: str) -> None:
        """Raise Refusal MERGE_TOO_LARGE where more refers to it than may move unconfirmed."""
        if self.joining.confirmed:
            return
        limit = self.server.settings.hl7.merge_limit
        found = await count(self.server, self.connection, CALLER, literal, besides=HISTORY_OF)
        if found > limit:
            text = f"The merge moves more than {limit} references and is not confirmed"
            raise Refusal("MERGE_TOO_LARGE", text, "MRG-1")

    async def repoint(self, old: str, new: str) -> None:
        """Let everything that refers to the one refer to the other."""
        after = 0
        while found := await referring(
            self.server, self.connection, CALLER, old, besides=HISTORY_OF, after=after, most=_PIECE
        ):
            after = found[-1].key
            changes = []
            for one in found:
                data = json.decode_keeping(one.body)
                if repointed(self.server, one.type, data, {old: new}, LINKS):
                    changes.append((Present(f"{one.type}/{one.id}", one.version, data), data))
            await self.put(changes)


async def merge(
    server: Server, connection: Connection, base: str, joinings: Sequence[Joining]
) -> dict[int, list[str]]:
    """Carry out what messages join, after their own writes; return the versions by message.

    `base` begins the systems that are made here. Raises Refusal with a reason of the inbox.
    """
    written: dict[int, list[str]] = {}
    for joining in joinings:
        at = (joining.at or datetime.now(UTC)).isoformat(timespec="seconds")
        for one in joining.merges:
            merging = Merging(server, connection, base, joining, at)
            survivor, retired = await _HOW.get(one.event, _resources)(merging, one)
            await _name(merging, one)
            if merging.versions:
                await _record(merging, one, survivor, retired)
                written.setdefault(joining.message, []).extend(merging.versions)
    return written


async def _found(merging: Merging, type_name: str, tokens: Sequence[str]) -> list[Json]:
    found = await merging.search(type_name, tokens)
    return joined.owners(found, _tokens(tokens))


def _tokens(tokens: Iterable[str]) -> set[tuple[str, str]]:
    """Return (system, value) of token searches."""
    return {parts(one) for one in tokens}


async def _last(merging: Merging, patient: Json) -> str:
    """Return the reference of the Patient who is in place of this one, itself where none is."""
    literal = f"Patient/{patient['id']}"
    seen = {literal}
    while next_ := joined.replacement(patient):
        if next_ in seen:
            raise Refusal("MERGE_CYCLE", "The patients replace one another", "MRG-1")
        seen.add(next_)
        literal = next_
        patient = (await merging.read(literal)).data
    return literal


async def _one_patient(
    merging: Merging, tokens: Sequence[str], place: str
) -> tuple[str, str] | None:
    """Return the references of the Patient with these identifiers, and of who replaced it.

    None where nobody has them; Refusal AMBIGUOUS_PATIENT where several have.
    """
    found = await _found(merging, "Patient", tokens)
    if not found:
        return None
    last = [await _last(merging, one) for one in found]
    if len(set(last)) > 1:
        raise Refusal("AMBIGUOUS_PATIENT", "Several patients have these identifiers", place, "204")
    first = next((one for one in found if not joined.replacement(one)), found[0])
    return f"Patient/{first['id']}", last[0]


async def _patients(merging: Merging, said: Merge) -> tuple[str, str]:
    """Join one Patient to another."""
    survivor = await _one_patient(merging, said.survivor, "PID-3")
    retired = await _one_patient(merging, said.retired, "MRG-1")
    if survivor is None:
        raise Conflict("The survivor of a merge is gone")
    if retired is None:
        retired = await _created(merging, said)
    (kept, keeper), (gone, last) = survivor, retired
    if keeper == last:
        # The survivor itself was given to the one that it is to take over now.
        if kept not in {gone, keeper} and gone == last:
            raise Refusal("MERGE_CYCLE", "The survivor was replaced by the prior patient", "MRG-1")
        return keeper, gone
    if gone != last:
        text = "The prior patient was merged into another one"
        raise Refusal("PATIENT_CONFLICT", text, "MRG-1", "204")
    await hold(merging.server, merging.connection, (keeper, gone))
    await merging.require_few(gone)
    old, new = await merging.read(gone), await merging.read(keeper)
    surviving = joined.surviving(new.data, old.data, said.said, merging.at)
    if f"{keeper}/_history/1" in merging.joining.wrote:
        # The message is the first to know the new number: it says who has it, and what it
        # does not repeat is known under the prior number alone.
        surviving = joined.inheriting(surviving, old.data)
    await merging.put([(old, joined.replaced(old.data, keeper)), (new, surviving)])
    await merging.repoint(gone, keeper)
    return keeper, gone


async def _created(merging: Merging, said: Merge) -> tuple[str, str]:
    """Make the Patient of whom nothing is known but that another replaces it."""
    raw = json.encode(said.said)
    entry = Entry("POST", said.type, resource=json.decode(raw), raw=raw)
    [outcome] = await merging.ask(entry)
    literal = f"{outcome.type}/{outcome.id}"
    merging.versions += outcome.written
    return literal, literal


async def _identifiers(merging: Merging, said: Merge) -> tuple[str, str]:
    """Give identifiers of one Patient to another."""
    survivor = await _one_patient(merging, said.survivor, "PID-3")
    retired = await _one_patient(merging, said.retired, "MRG-1")
    if survivor is None:
        raise Conflict("The patient of a move is gone")
    taker = survivor[1]
    if retired is not None and retired[1] == taker:
        return taker, taker
    giver = taker if retired is None else retired[1]
    await hold(merging.server, merging.connection, {giver, taker})
    new = await merging.read(taker)
    if retired is None:
        known = {joined.token(one) for one in new.data.get("identifier", ())}
        gained = [one for one in said.said["identifier"] if joined.token(one) not in known]
        identifiers = [*new.data.get("identifier", ()), *gained]
        await merging.put([(new, {**new.data, "identifier": identifiers})])
        return taker, taker
    old = await merging.read(giver)
    left, gaining = joined.moved(old.data, new.data, _tokens(said.retired))
    await merging.put([(old, left), (new, gaining)])
    return taker, giver


async def _links(merging: Merging, said: Merge) -> tuple[str, str]:
    """Link two Patients as the same person, or take that back."""
    first = await _one_patient(merging, said.survivor, "PID-3")
    second = await _one_patient(merging, said.retired, "PID-3")
    if first is None or second is None:
        raise Conflict("A patient of a link is gone")
    one, other = first[1], second[1]
    if one == other:
        return one, other
    await hold(merging.server, merging.connection, (one, other))
    change = joined.linked if said.event == "A24" else joined.unlinked
    here, there = await merging.read(one), await merging.read(other)
    await merging.put(
        [
            (here, change(here.data, other, joined.SEE_ALSO)),
            (there, change(there.data, one, joined.SEE_ALSO)),
        ]
    )
    return one, other


async def _resources(merging: Merging, said: Merge) -> tuple[str, str]:
    """Join one Account or Encounter to another, and give it to the Patient of the message."""
    kept = await _one(merging, said.type, said.survivor)
    if kept is None:
        raise Conflict("The survivor of a merge is gone")
    gone = await _one(merging, said.type, said.retired) or kept
    await hold(merging.server, merging.connection, {kept, gone})
    await merging.require_few(gone)
    new = await merging.read(kept)
    if gone != kept:
        old = await merging.read(gone)
        await merging.put([(old, joined.absorbed(old.data))])
        await merging.put([(new, joined.absorbing(new.data, old.data, merging.at))])
        await merging.repoint(gone, kept)
        before = _subjects(old.data)
    else:
        # The prior number alone: it ended, unless it is the one that goes on.
        ending = _tokens(said.retired) - _tokens(said.survivor)
        added = joined.with_old_identifiers(new.data, _only(said.said, ending), merging.at)
        await merging.put([(new, joined.ended(added, ending, merging.at))])
        before = _subjects(new.data)
    if said.event in MOVES:
        await _move(merging, kept, before, said)
    return kept, gone


async def _one(merging: Merging, type_name: str, tokens: Sequence[str]) -> str | None:
    """Return the reference of the one with these numbers; Refusal where several have them."""
    found = await _found(merging, type_name, tokens)
    if len(found) > 1:
        text = f"Several resources of type {type_name} have these numbers"
        raise Refusal("AMBIGUOUS_ORDER", text, "MRG", "204")
    return f"{type_name}/{found[0]['id']}" if found else None


def _only(said: Json, tokens: set[tuple[str, str]]) -> Json:
    kept = [one for one in said.get("identifier", ()) if joined.token(one) in tokens]
    return {"identifier": kept}


def _subjects(data: Json) -> list[str]:
    subject = data.get("subject", [])
    subjects = subject if isinstance(subject, list) else [subject]
    return [one["reference"] for one in subjects if "reference" in one]


async def _move(merging: Merging, moved: str, before: Sequence[str], said: Merge) -> None:
    """Give a resource, and what is of it, from its Patients to the one of the message."""
    found = await _one_patient(merging, said.patient, "PID-3")
    if found is None:
        raise Conflict("The patient of a move is gone")
    taker = found[1]
    if not before:
        await _give_first(merging, moved, taker)
        return
    moves = {one: taker for one in before if one.startswith("Patient/") and one != taker}
    if not moves:
        return
    pending, seen = [moved], {moved}
    while pending:
        place = pending.pop(0)
        await _give(merging, [await merging.read(place)], moves)
        for one in await _all_referring(merging, place):
            if one.literal not in seen:
                seen.add(one.literal)
                await _give(merging, [one], moves)
                # An Account has Encounters, and those have what happened during them.
                if one.literal.startswith("Encounter/"):
                    pending.append(one.literal)


async def _give_first(merging: Merging, moved: str, taker: str) -> None:
    """Give to a Patient what was nobody's, as the message is the first to tell of it."""
    present = await merging.read(moved)
    reference = {"reference": taker}
    subject = [reference] if moved.startswith("Account/") else reference
    await merging.put([(present, {**present.data, "subject": subject})])


async def _all_referring(merging: Merging, literal: str) -> list[Present]:
    found: list[Present] = []
    after = 0
    while page := await referring(
        merging.server,
        merging.connection,
        CALLER,
        literal,
        besides=HISTORY_OF,
        after=after,
        most=_PIECE,
    ):
        after = page[-1].key
        found += [
            Present(f"{one.type}/{one.id}", one.version, json.decode_keeping(one.body))
            for one in page
        ]
    return found


async def _give(merging: Merging, places: Sequence[Present], moves: Mapping[str, str]) -> None:
    changes = []
    for one in places:
        type_name = one.literal.partition("/")[0]
        if repointed(merging.server, type_name, one.data, moves, LINKS):
            changes.append((one, one.data))
    await merging.put(changes)


async def _name(merging: Merging, said: Merge) -> None:
    """Let the partitions of both sides be one from now on."""
    if said.keys and said.event not in {"A24", "A37"}:
        keys = sorted({*said.keys, *said.old_keys})
        await merging.connection.execute(_ALIASES, {"keys": keys, "name": keys[0]})


async def _record(merging: Merging, said: Merge, survivor: str, retired: str) -> None:
    """Store the Provenance of the versions that were written, and the merge with them."""
    pieces = range(0, len(merging.versions), MOST_TARGETS)
    versions = list(merging.versions)
    for start in pieces:
        resource = provenance(
            merging, _activity(said.event), versions[start : start + MOST_TARGETS]
        )
        [outcome] = await merging.ask(Entry("POST", "Provenance", resource, json.encode(resource)))
        merging.versions += outcome.written
    await merging.connection.execute(
        _RECORD,
        (
            *(merging.joining.message, said.event, survivor, retired, Jsonb(versions)),
            *(list(said.keys), list(said.old_keys)),
        ),
    )


def _activity(event: str) -> str:
    return {"A24": "link", "A37": "unlink"}.get(event, "merge")


def provenance(merging: Merging, activity: str, versions: Sequence[str]) -> Json:
    """Return the Provenance of versions; `activity` is a code of ISO 21089."""
    row = row_identifier(merging.base, merging.joining.message)
    return {
        "resourceType": "Provenance",
        "target": [{"reference": one} for one in versions],
        "occurredDateTime": merging.at,
        "recorded": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "activity": {"coding": [{"system": _LIFECYCLE, "code": activity}]},
        "agent": [{"type": participant("assembler"), "who": US}],
        "entity": [{"role": "source", "what": {"identifier": row}}],
    }


_How = Callable[[Merging, Merge], Awaitable[tuple[str, str]]]


async def _patients_or_resources(merging: Merging, said: Merge) -> tuple[str, str]:
    return await (_patients if said.type == "Patient" else _resources)(merging, said)


_HOW: Final[Mapping[str, _How]] = {
    **dict.fromkeys(("A18", "A34", "A36", "A39", "A40", "A46", "A47"), _patients_or_resources),
    "A43": _identifiers,
    "A24": _links,
    "A37": _links,
}
