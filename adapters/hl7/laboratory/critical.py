"""Critical results that are told in the transaction that stores them.

One alert follows a result through all its versions: a repeat raises nothing new, a
correction to what is not critical withdraws it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from adapters.hl7.laboratory import alerts
from adapters.hl7.laboratory.alerts import Critical, Json, State
from adapters.hl7.laboratory.rules import NOBODY, Level, Person, asks_for_person, judge
from adapters.hl7.mapping import sender_rules
from adapters.hl7.mapping.context import Write
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Gone, NotFound
from fhir_server.interactions.entry import Entry, Outcome
from fhir_server.interactions.read import read_on
from fhir_server.interactions.transaction import transaction
from fhir_server.jobs import Job, enqueue
from fhir_server.r4 import json
from fhir_server.server import Server

FOLLOW: Final = "hl7.critical"
IDENTIFIER: Final = "/hl7/critical"

# What somebody has ended is not ended in another way.
_OVER: Final[Mapping[str, frozenset[str]]] = {
    "Flag": frozenset(("entered-in-error",)),
    "CommunicationRequest": frozenset(("completed", "revoked", "entered-in-error")),
    "Task": frozenset(("completed", "cancelled", "rejected", "failed", "entered-in-error")),
}
_KNOWN: Final = """
SELECT observation_id, state, level, flag_id, request_id, task_id
FROM hl7_critical WHERE observation_id = ANY(%s) FOR UPDATE
"""
_RAISED: Final = """
INSERT INTO hl7_critical
    (observation_id, level, state, flag_id, request_id, task_id, recipient, raised_at)
SELECT r.observation_id, r.level, 'open', r.flag_id, r.request_id, r.task_id, r.recipient,
    date_trunc('milliseconds', now())  -- by the clock, and as exact, as `meta.lastUpdated`
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
    AS r(observation_id, level, flag_id, request_id, task_id, recipient)
ON CONFLICT (observation_id) DO UPDATE SET
    level = excluded.level, state = 'open', flag_id = excluded.flag_id,
    request_id = excluded.request_id, task_id = excluded.task_id,
    recipient = excluded.recipient, raised_at = excluded.raised_at, ended_at = NULL
"""
_ENDED: Final = """
UPDATE hl7_critical SET state = %s, ended_at = %s, task_id = NULL WHERE observation_id = %s
"""


@dataclass(frozen=True, slots=True)
class Written:
    """An Observation that was just written: as mapped, what came of it, what is agreed."""

    resource: Json
    outcome: Outcome
    agreed: sender_rules.Critical


@dataclass(frozen=True, slots=True)
class Alert:
    """What was raised for an Observation before."""

    observation_id: str
    state: State
    level: Level
    flag_id: str
    request_id: str
    task_id: str | None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where alerts are written: the server, the open transaction, in whose name and when."""

    server: Server
    connection: Connection
    caller: Caller
    identifier_system: str
    now: datetime


def results(
    writes: Iterable[Write], outcomes: Mapping[str, Outcome], agreed: sender_rules.Critical
) -> list[Written]:
    """Return the Observations among the writes of a message; outcomes are by full URL."""
    return [
        Written(write.resource, outcomes[write.full_url], agreed)
        for write in writes
        if write.resource["resourceType"] == "Observation" and write.full_url in outcomes
    ]


def cancelled(outcome: Outcome, agreed: sender_rules.Critical) -> Written:
    """Return an Observation that was cancelled."""
    return Written(json.decode(outcome.body or b"{}"), outcome, agreed)


async def follow(
    server: Server, connection: Connection, caller: Caller, base: str, written: Sequence[Written]
) -> list[Level]:
    """Raise, open again and withdraw the alerts of results; return what was raised.

    `base` begins the identifiers. Nothing is asked of the database for new results
    that are not critical.
    """
    settings = server.settings.hl7
    if not settings.critical_alerts:
        return []
    # Several results of a group may have made one version.
    found = list({one.outcome.id: one for one in written if _concerns(one)}.values())
    if not found:
        return []
    known = await _known(connection, [one.outcome.id for one in found if _changed(one)])
    place = _Place(server, connection, caller, base + IDENTIFIER, datetime.now(UTC))
    wanted = [critical for one in found if (critical := await _follow(place, one, known))]
    if wanted:
        await _raise(place, wanted, known)
        later = settings.critical_poll_seconds
        await enqueue(connection, [Job(FOLLOW, {}, FOLLOW, delay_seconds=later)])
    return [critical.level for critical in wanted]


def _concerns(one: Written) -> bool:
    """Whether the result may be critical, or may have been."""
    if not one.outcome.written or one.outcome.body is None:
        return False
    if "subject" not in one.resource or "tag" in one.resource.get("meta", ()):  # quality control
        return False
    return (
        _changed(one)
        or judge(one.resource, one.agreed) is not None
        or asks_for_person(one.resource, one.agreed)
    )


def _changed(one: Written) -> bool:
    return one.outcome.version > 1


async def _known(connection: Connection, ids: Sequence[str]) -> dict[str, Alert]:
    if not ids:
        return {}
    cursor = await connection.execute(_KNOWN, (list(ids),))
    return {row[0]: Alert(*row) for row in await cursor.fetchall()}


async def _follow(place: _Place, one: Written, known: Mapping[str, Alert]) -> Critical | None:
    """Withdraw what a new version of a result takes back; return it where it is to be told."""
    assert one.outcome.body is not None
    resource: Json = json.decode_keeping(one.outcome.body)
    person = NOBODY
    if asks_for_person(resource, one.agreed):
        person = await _person(place, resource)
    level = judge(resource, one.agreed, person)
    alert = known.get(one.outcome.id)
    step = alerts.step(alert.state if alert else None, alert.level if alert else None, level)
    if step == "withdraw" and alert is not None:
        await withdraw(place, alert, error=resource.get("status") == "entered-in-error")
    if level is None or step not in {"raise", "reopen"}:
        return None
    recipients, contained = await _recipients(place, resource, one.agreed.recipient)
    return Critical(
        observation=f"Observation/{one.outcome.id}",
        resource=resource,
        level=level,
        recipients=recipients,
        contained=contained,
        identifier_system=place.identifier_system,
        at=place.now,
    )


async def _raise(place: _Place, wanted: Sequence[Critical], known: Mapping[str, Alert]) -> None:
    """Write Flags and CommunicationRequests, those that were raised before where there are any."""
    numbers = [critical.observation.partition("/")[2] for critical in wanted]
    before = [known.get(number) for number in numbers]
    pairs = list(zip(wanted, before, strict=True))
    asked = [_entry(alerts.flag(one), alert.flag_id if alert else None) for one, alert in pairs]
    asked += [
        _entry(alerts.request(one), alert.request_id if alert else None) for one, alert in pairs
    ]
    outcomes = await transaction(place.server, place.connection, place.caller, asked)
    ids = [outcome.id for outcome in outcomes]
    flags, requests = ids[: len(wanted)], ids[len(wanted) :]
    tasks = await _tasks(place, wanted, requests)
    owners = [next(iter(critical.recipients), {}).get("reference") for critical in wanted]
    levels = [critical.level for critical in wanted]
    values = (numbers, levels, flags, requests, tasks, owners)
    await place.connection.execute(_RAISED, values)


async def _tasks(
    place: _Place, wanted: Sequence[Critical], requests: Sequence[str]
) -> list[str | None]:
    """Write a Task for each critical result, where that is wanted; return their ids."""
    if not place.server.settings.hl7.critical_result_task:
        return [None] * len(wanted)
    asked = [
        _task(alerts.request(one), id_, one.observation, next(iter(one.recipients), None))
        for one, id_ in zip(wanted, requests, strict=True)
    ]
    outcomes = await transaction(place.server, place.connection, place.caller, asked)
    return [outcome.id for outcome in outcomes]


def _task(request: Json, request_id: str, observation: str, owner: Json | None) -> Entry:
    return _entry(alerts.task(request, request_id, observation, owner, datetime.now(UTC)), None)


async def write_task(
    server: Server,
    connection: Connection,
    caller: Caller,
    request: Json,
    request_id: str,
    observation: str,
    recipient: str | None,
) -> str:
    """Write the Task to have a critical result acknowledged; return its id.

    Its owner is the recipient of the request as it is now, else who was told when it was made,
    if he is still there.
    """
    owner = next((one for one in request.get("recipient", ()) if alerts.may_receive(one)), None)
    if owner is None and recipient is not None:
        kind, _, id_ = recipient.partition("/")
        if id_ and await present(server, connection, caller, kind, id_) is not None:
            owner = {"reference": recipient}
    asked = [_task(request, request_id, observation, owner)]
    (outcome,) = await transaction(server, connection, caller, asked)
    return outcome.id


def _entry(resource: Json, id_: str | None) -> Entry:
    kind = resource["resourceType"]
    if id_ is None:
        return Entry("POST", kind, resource, json.encode(resource))
    resource = {**resource, "id": id_}
    return Entry("PUT", f"{kind}/{id_}", resource, json.encode(resource))


async def withdraw(place: _Place, alert: Alert, *, error: bool) -> None:
    """End what was raised for a result that is not critical after all.

    A request that was acknowledged stays so: somebody was told.
    """
    open_ = alert.state == "open"
    wanted = [("Flag", alert.flag_id, "entered-in-error" if error else "inactive")]
    if open_:
        ending = "entered-in-error" if error else "revoked"
        wanted.append(("CommunicationRequest", alert.request_id, ending))
    if alert.task_id is not None:
        wanted.append(("Task", alert.task_id, "cancelled"))
    await end(place.server, place.connection, place.caller, wanted)
    await place.connection.execute(_ENDED, ("withdrawn", place.now, alert.observation_id))


async def end(
    server: Server,
    connection: Connection,
    caller: Caller,
    wanted: Sequence[tuple[str, str, str]],
) -> None:
    """Give resources, by type and id, the status in which they end; what is gone is left."""
    now = datetime.now(UTC)
    asked = []
    for kind, id_, status in wanted:
        found = await present(server, connection, caller, kind, id_)
        if found is not None and found.get("status") not in {status, *_OVER[kind]}:
            asked.append(_entry(alerts.ended(found, status, now), id_))
    if asked:
        await transaction(server, connection, caller, asked)


async def present(
    server: Server, connection: Connection, caller: Caller, kind: str, id_: str
) -> Json | None:
    """Return a resource as it is stored, None when there is none any more."""
    try:
        found = await read_on(server, connection, caller, kind, id_)
    except (NotFound, Gone):
        return None
    resource: Json = json.decode_keeping(found.body)
    return resource


async def _of_reference(place: _Place, reference: str) -> Json | None:
    kind, _, id_ = reference.partition("/")
    if not id_ or kind not in place.server.definitions.type_ids:
        return None
    return await present(place.server, place.connection, place.caller, kind, id_)


async def _person(place: _Place, observation: Json) -> Person:
    """Return age (at the time of the result) and sex of the patient."""
    patient = await _of_reference(place, observation["subject"].get("reference", ""))
    if patient is None:
        return NOBODY
    at = observation.get("effectiveDateTime") or alerts.instant(place.now)
    return Person(patient.get("gender", ""), alerts.years(patient.get("birthDate", ""), at))


async def _recipients(
    place: _Place, observation: Json, agreed: str
) -> tuple[tuple[Json, ...], tuple[Json, ...]]:
    """Return who is told, and what of them is contained: who ordered, else who is agreed.

    Nobody is named who is not there: the result would wait for a name in a setting.
    """
    for order in observation.get("basedOn", ()):
        request = await _of_reference(place, order.get("reference", ""))
        requester = (request or {}).get("requester")
        if request is None or requester is None or not alerts.may_receive(requester):
            continue
        contained = alerts.contained(request, requester)
        if contained or not requester["reference"].startswith("#"):
            return (requester,), contained
    fallback = agreed or place.server.settings.hl7.critical_recipient
    if await _of_reference(place, fallback) is None:
        return (), ()
    return ({"reference": fallback},), ()
