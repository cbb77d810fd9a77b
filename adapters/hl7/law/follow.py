"""What became of work: answers of analyzers, their results, and orders that changed.

IHE Laboratory Technical Framework, volume 2b, transactions LAB-28 and LAB-29.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from adapters.hl7.laboratory import specimen_orders
from adapters.hl7.law import giving, outcomes, steps
from adapters.hl7.law.giving import Analyzer
from adapters.hl7.law.outcomes import Outcome
from adapters.hl7.law.steps import Step
from adapters.hl7.outbound.gather import source, version
from adapters.hl7.outbound.record import Json, literal
from fhir_server import changes
from fhir_server.changes import Change
from fhir_server.database import Connection
from fhir_server.feed_readers import take
from fhir_server.server import Server

_ONCE: Final = 200
_TYPES: Final = ("ServiceRequest", "DiagnosticReport")
_DONE: Final = frozenset(("final", "amended", "corrected", "appended"))
_UNDER_WAY: Final = frozenset(("registered", "partial", "preliminary"))
_WITHDRAWN: Final = frozenset(("revoked", "entered-in-error"))

_READER: Final = "hl7.law"
_ANSWERED: Final = """
SELECT id, destination, state, reply, attempts FROM hl7_outbound
WHERE kind = 'law' AND NOT noted AND state IN ('done', 'dead') ORDER BY id LIMIT %s
FOR UPDATE SKIP LOCKED
"""
_NOTED: Final = "UPDATE hl7_outbound SET noted = true WHERE id = %s"


async def look(server: Server, base: str, analyzers: Mapping[str, Analyzer]) -> bool:
    """Follow what happened since the last look; return whether there may be more."""
    async with server.database.transaction() as connection:
        answered = await _answers(server, connection)
    return await _changes(server, base, analyzers) or answered


async def _answers(server: Server, connection: Connection) -> bool:
    """Move the steps of messages that were answered."""
    cursor = await connection.execute(_ANSWERED, (_ONCE,), binary=True)
    rows: Sequence[Any] = await cursor.fetchall()
    for id_, analyzer, state, reply, attempts in rows:
        said = outcomes.outcome(bytes(reply)) if reply else None
        said = said or Outcome("", "", {})
        named = await steps.of_ids(connection, said.steps.keys())
        own = [one for one in named if one.analyzer == analyzer]
        for step in own or await steps.of_message(connection, id_):
            told = said.steps.get(step.id)
            new = became(step.state, told, well=state == "done", again=attempts > 1)
            await steps.move(server, connection, step, new)
        await connection.execute(_NOTED, (id_,))
    return len(rows) == _ONCE


def became(state: str, told: outcomes.State | None, *, well: bool, again: bool) -> str:
    """Return the state of a step after an answer that says `told` of it, if anything.

    `well`: the message was accepted as a whole. A step that was sent `again`, as its
    answer was lost, is refused by an analyzer that has it.
    """
    if state == "requested":
        refused = told == "rejected" if told else not well
        return "rejected" if refused and not again else "accepted"
    if state == "cancelling":
        done = told in {"cancelled", "rejected"} if told else well
        return "cancelled" if done else "in-progress"
    return state


async def _changes(server: Server, base: str, analyzers: Mapping[str, Analyzer]) -> bool:
    types = [server.definitions.type_ids[kind] for kind in _TYPES]
    async with server.database.transaction() as connection:
        page = await take(connection, _READER, types, _ONCE)
        ids = await changes.named(connection, page.changes)
        for one in page.changes:
            if one.key in ids:
                kind = server.definitions.type_names[one.type_id]
                await _follow(server, connection, base, analyzers, kind, ids[one.key], one)
        return page.more


async def _follow(
    server: Server,
    connection: Connection,
    base: str,
    analyzers: Mapping[str, Analyzer],
    kind: str,
    id_: str,
    change: Change,
) -> None:
    now = await version(server, connection, kind, id_, change.version)
    if now is None:
        if kind == "ServiceRequest":
            await _removed(server, connection, analyzers, f"{kind}/{id_}")
        return
    if kind == "ServiceRequest":
        await _ordered(server, connection, base, analyzers, now)
    else:
        await _reported(server, connection, base, analyzers, now)


async def _ordered(
    server: Server,
    connection: Connection,
    base: str,
    analyzers: Mapping[str, Analyzer],
    request: Json,
) -> None:
    """Offer a new order to the analyzers that have work sent; take back one that is withdrawn."""
    given = await steps.of_requests(connection, [literal(request)])
    current = await giving.request(server, connection, literal(request)) if given else request
    if current.get("meta") == request.get("meta"):
        await steps.rename(server, connection, base, request, given)
    if request.get("status") in _WITHDRAWN:
        await _take_back(server, connection, analyzers, given)
        return
    if request.get("status") != "active":
        return
    wanted = [one for one in analyzers.values() if one.loaded.profile.law.download]
    if wanted:
        found = await specimen_orders.of(server, [("_id", str(request["id"]))])
        for one in wanted:
            await giving.give(server, connection, one, found)


async def _removed(
    server: Server, connection: Connection, analyzers: Mapping[str, Analyzer], reference: str
) -> None:
    """Take back an order that was deleted, unless it was stored again since."""
    given = await steps.of_requests(connection, [reference])
    if given and "meta" not in await giving.request(server, connection, reference):
        await _take_back(server, connection, analyzers, given)


async def _reported(
    server: Server,
    connection: Connection,
    base: str,
    analyzers: Mapping[str, Analyzer],
    report: Json,
) -> None:
    """Move the steps of the analyzer that reported; a result ends those of the others."""
    told_of = (str(one.get("reference", "")) for one in report.get("basedOn", ()))
    based = [one.partition("/_history/")[0] for one in told_of]
    requests = [one for one in based if one.startswith("ServiceRequest/")]
    given = await steps.of_requests(connection, requests) if requests else []
    if not given:
        return
    told = f"{literal(report)}/_history/{report['meta']['versionId']}"
    origin = await source(server, connection, base, told)
    sender = origin[0] if origin else ""
    status = report.get("status")
    own = [one for one in given if one.analyzer == sender]
    if status in _UNDER_WAY:
        for one in own:
            await steps.move(server, connection, one, "in-progress")
    elif status in _DONE:
        for one in own:
            await steps.move(server, connection, one, "completed")
        others = [one for one in given if one not in own]
        await _take_back(server, connection, analyzers, others)


async def _take_back(
    server: Server,
    connection: Connection,
    analyzers: Mapping[str, Analyzer],
    given: Sequence[Step],
) -> None:
    for name in {one.analyzer for one in given}:
        own = [one for one in given if one.analyzer == name]
        if name in analyzers:
            await giving.take_back(server, connection, analyzers[name], own)
        else:  # nobody is there to be told
            for one in own:
                await steps.move(server, connection, one, "cancelled")
