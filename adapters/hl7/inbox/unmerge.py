"""A merge of two Patients taken back.

What the merge moved goes back, and what came since under the prior patient's numbers
follows. Nothing is guessed: where both had a part in a resource it stays, and is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from psycopg.types.json import Jsonb

from adapters.hl7.inbox import joined
from adapters.hl7.inbox.joined import REPLACED_BY, REPLACES, Json
from adapters.hl7.inbox.merge import LINKS, Joining, Merging, Present, provenance
from adapters.hl7.inbox.provenance import MOST_TARGETS
from fhir_server.errors import Conflict, Gone, NotFound
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.referring import hold, repointed
from fhir_server.r4 import json
from fhir_server.server import Server

_MERGE: Final = """
SELECT message_id, survivor, retired, versions, keys, old_keys FROM hl7_merge
WHERE id = %s AND undone IS NULL FOR UPDATE
"""
_UNDONE: Final = "UPDATE hl7_merge SET undone = %s WHERE id = %s"
_SINCE: Final = """
SELECT partition_keys && %(keys)s::text[], result_versions FROM hl7_message
WHERE id > %(message)s AND state = 'done' AND result_versions IS NOT NULL
  AND partition_keys && %(both)s::text[]
"""
# Of these a Patient has none of its own.
_NOBODYS: Final = frozenset(("Patient", "Provenance", "AuditEvent"))


@dataclass(frozen=True, slots=True)
class Merged:
    """A merge as it is recorded: what it wrote, and the partitions of both sides."""

    message: int
    survivor: str
    retired: str
    versions: Sequence[str]
    keys: Sequence[str]
    old_keys: Sequence[str]


@dataclass(slots=True)
class Unmerged:
    """The versions that took a merge back, and what a person has to look at, by reference."""

    versions: list[str] = field(default_factory=list)
    review: list[str] = field(default_factory=list)


async def unmerge(server: Server, base: str, merge: int, actor: str) -> Unmerged:
    """Take back the merge of this number; `base` begins the systems that are made here.

    NotFound where there is no such merge of two Patients, or it is taken back already.
    Conflict where the survivor was merged itself since: that one is to be taken back first.
    """
    async with server.database.transaction() as connection:
        row = await (await connection.execute(_MERGE, (merge,))).fetchone()
        if row is None:
            raise NotFound("There is no such merge, or it was taken back")
        merged = Merged(*row)
        now = datetime.now(UTC)
        joining = Joining(merged.message, (), now, confirmed=True)
        merging = Merging(server, connection, base, joining, now.isoformat(timespec="seconds"))
        await hold(server, connection, (merged.survivor, merged.retired))
        done = Unmerged()
        await _part(merging, merged)
        await _give_back(merging, merged, done)
        await _follow(merging, merged, done)
        await _record(merging)
        said = {"by": actor, "at": merging.at, "review": done.review}
        await connection.execute(_UNDONE, (Jsonb(said), merge))
        done.versions += merging.versions
    return done


async def _part(merging: Merging, merged: Merged) -> None:
    """Make two Patients of the two again."""
    survivor, retired = await merging.read(merged.survivor), await merging.read(merged.retired)
    if joined.replacement(retired.data) != merged.survivor:
        raise NotFound("This is no merge of two patients that holds")
    if joined.replacement(survivor.data):
        raise Conflict("The survivor was merged itself since; take that back first")
    before = await _before(merging, merged, merged.survivor)
    active = (await _before(merging, merged, merged.retired)).get("active")
    back = joined.unlinked(retired.data, merged.survivor, REPLACED_BY)
    back = {name: value for name, value in back.items() if name != "active"}
    if active is not None:
        back["active"] = active
    left = joined.unlinked(survivor.data, merged.retired, REPLACES)
    left = joined.disinherited(left, before, retired.data)
    await merging.put([(retired, back), (survivor, _without_gains(left, before, retired.data))])


def _without_gains(survivor: Json, before: Json, retired: Json) -> Json:
    """Return the survivor without the identifiers and old names that it had not before."""
    own = {joined.token(one) for one in before.get("identifier", ())}
    others = {joined.token(one) for one in retired.get("identifier", ())} - own
    kept = {
        "identifier": [
            one for one in survivor.get("identifier", ()) if joined.token(one) not in others
        ],
        "name": [
            one
            for one in survivor.get("name", ())
            if one.get("use") != "old" or one in before.get("name", ())
        ],
    }
    left = {name: value for name, value in survivor.items() if name not in kept}
    return {**left, **{name: values for name, values in kept.items() if values}}


async def _before(merging: Merging, merged: Merged, literal: str) -> Json:
    """Return the resource as it was before the merge, empty where that made it."""
    for version in merged.versions:
        reference, _, number = version.partition("/_history/")
        if reference == literal and int(number) > 1:
            url = f"{reference}/_history/{int(number) - 1}"
            [outcome] = await merging.ask(Entry("GET", url))
            body: Json = json.decode_keeping(outcome.body or b"{}")
            return body
    return {}


async def _give_back(merging: Merging, merged: Merged, done: Unmerged) -> None:
    """Let what the merge moved refer to the retired Patient again."""
    for version in merged.versions:
        literal, _, _ = version.partition("/_history/")
        if literal.partition("/")[0] in _NOBODYS:
            continue
        before = await _before(merging, merged, literal)
        if _refers_to(merging, before, merged.survivor):
            await _restore(merging, version, before, done)
        else:
            await _return(merging, merged, literal)


def _refers_to(merging: Merging, data: Json, literal: str) -> bool:
    copy = json.decode(json.encode(data))
    return repointed(merging.server, data["resourceType"], copy, {literal: literal}) > 0


async def _restore(merging: Merging, version: str, before: Json, done: Unmerged) -> None:
    """Put a resource of both back as it was, unless it has changed since."""
    literal, _, number = version.partition("/_history/")
    present = await merging.read(literal)
    if present.version == int(number):
        await merging.put([(present, before)])
    else:
        done.review.append(literal)


async def _follow(merging: Merging, merged: Merged, done: Unmerged) -> None:
    """Let follow what came since under the numbers of the retired Patient alone."""
    asked = {
        "keys": list(merged.keys),
        "both": [*merged.keys, *merged.old_keys],
        "message": merged.message,
    }
    old: dict[str, None] = {}
    new: set[str] = set()
    for is_survivors, versions in await (
        await merging.connection.execute(_SINCE, asked)
    ).fetchall():
        literals = [one.partition("/_history/")[0] for one in versions]
        own = [one for one in literals if one.partition("/")[0] not in _NOBODYS]
        if is_survivors:
            new.update(own)
        else:
            old.update(dict.fromkeys(own))
    moved = {one.partition("/_history/")[0] for one in merged.versions}
    for literal in old:
        if literal in new:
            done.review.append(literal)
        elif literal not in moved:
            await _return(merging, merged, literal)


async def _return(merging: Merging, merged: Merged, literal: str) -> None:
    try:
        present: Present = await merging.read(literal)
    except (Gone, NotFound):
        return
    kind = literal.partition("/")[0]
    moves = {merged.survivor: merged.retired}
    if repointed(merging.server, kind, present.data, moves, LINKS):
        await merging.put([(present, present.data)])


async def _record(merging: Merging) -> None:
    versions = list(merging.versions)
    for start in range(0, len(versions), MOST_TARGETS):
        resource = provenance(merging, "unmerge", versions[start : start + MOST_TARGETS])
        [outcome] = await merging.ask(Entry("POST", "Provenance", resource, json.encode(resource)))
        merging.versions += outcome.written
