"""Breaking the glass: emergency access to one patient's record.

Opening, closing and signing write their row, the AuditEvent and the notice in one transaction.

https://profiles.ihe.net/ITI/BALP/content.html
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from fhir_server.access import glass, openers
from fhir_server.access.glass import Asked, Opening
from fhir_server.audit.happening import EMERGENCY_STARTED, EMERGENCY_STOPPED, happened
from fhir_server.caller import Caller, is_service, trusted
from fhir_server.database import Connection
from fhir_server.errors import BadRequest, Forbidden, NotFound
from fhir_server.interactions import fresh_login, glass_mail
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.jobs import enqueue
from fhir_server.rights import ANY
from fhir_server.server import Server
from fhir_server.store import read as store
from fhir_server.store.attempts import atomically

PURPOSES: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
REASONS: Final = frozenset(("BTG", "CAREMGT", "COC", "ETREAT", "PATSFTY", "TREAT"))
"""Codes of `PURPOSES` for which the glass may be broken."""

REVIEW: Final = "break-glass"
"""The operator scope of those who review."""

NOTICE: Final = {"system": "urn:sangam:notice", "code": "break-glass"}
_MOST_WORDS: Final = 2_000


async def open_record(
    server: Server, caller: Caller, patient: str, reason: str, words: str
) -> Opening:
    """Open the record of a patient (an id) to the caller for a while, and tell who is to know.

    Forbidden for who may not, Unauthenticated where the login is not fresh, BadRequest without
    a reason, NotFound where there is no such patient.
    """
    person = _person(server, caller)
    settings = server.settings.security.glass
    if reason not in REASONS:
        known = ", ".join(sorted(REASONS))
        raise BadRequest(f"The reason is one of {known}", code="value", expression="reason")
    words = words.strip()
    if not settings.reason_length <= len(words) <= _MOST_WORDS:
        text = f"The text says why, in {settings.reason_length} to {_MOST_WORDS} characters"
        raise BadRequest(text, code="value", expression="text")

    async def work(connection: Connection) -> Opening:
        await _require(server, connection, patient)
        notice = await _notify(server, connection, person, patient, reason)
        asked = Asked(
            key=server.new_key(),
            actor=person,
            patient=patient,
            reason=reason,
            words=words,
            client=caller.client,
            session=caller.session,
            lasting=timedelta(minutes=settings.minutes),
            notice=notice,
        )
        opening = await glass.open_record(connection, asked)
        await enqueue(connection, glass_mail.jobs_of(server.settings))
        about = [f"Patient/{patient}"]
        await happened(connection, caller, EMERGENCY_STARTED, about=about, detail=words)
        return opening

    opening = await atomically(server.database, work)
    openers.forget(server)
    return opening


async def close_record(server: Server, caller: Caller, patient: str) -> list[Opening]:
    """Close what the caller has open of a patient before its time; NotFound where nothing is."""
    if caller.user is None:
        raise Forbidden("Only a person has opened a record")
    person = caller.user

    async def work(connection: Connection) -> list[Opening]:
        closed = await glass.close_record(connection, person, patient)
        if not closed:
            raise NotFound("You have no such record open")
        await happened(connection, caller, EMERGENCY_STOPPED, about=[f"Patient/{patient}"])
        return closed

    return await atomically(server.database, work)


async def listed(server: Server, caller: Caller, limit: int) -> list[Opening]:
    """Return the openings to review, oldest first; to others what they have open themselves."""
    async with server.database.connection() as connection:
        if reviews(caller):
            return await glass.unsigned(connection, limit)
        if caller.user is None:
            raise Forbidden("Only a person has opened a record")
        return await glass.under_way(connection, caller.user)


async def sign(server: Server, caller: Caller, key: int) -> Opening:
    """Note that the caller has reviewed an opening of another; NotFound where there is no such."""
    if not reviews(caller) or is_service(caller):
        raise Forbidden("Openings are signed by a person who reviews them")

    async def work(connection: Connection) -> Opening:
        signed = await glass.sign(connection, key, caller.user or caller.name)
        if signed is None:
            raise NotFound("There is no such opening to sign")
        return signed

    return await atomically(server.database, work)


def reviews(caller: Caller) -> bool:
    """Return whether somebody reviews what others have opened."""
    return bool(caller.rights.operator & {ANY, REVIEW})


def _person(server: Server, caller: Caller) -> str:
    """Return who asks, if that is a person whose roles allow it and whose login is fresh."""
    if caller.user is None or not glass.may_open(caller.rights, caller.user):
        raise Forbidden("Your roles do not let you break the glass")
    fresh_login.require(server, caller, "to break the glass")
    return caller.user


async def _require(server: Server, connection: Connection, patient: str) -> None:
    found = await store.current(connection, server.definitions.type_ids["Patient"], patient)
    if found is None or found.deleted:
        raise NotFound("There is no such patient")


async def _notify(
    server: Server, connection: Connection, person: str, patient: str, reason: str
) -> str:
    """Tell the privacy officer by a CommunicationRequest, and return its id."""
    to = await _recipients(server, connection)
    notice = _notice(person, patient, reason, to, datetime.now(UTC))
    entry = Entry("POST", "CommunicationRequest", notice)
    told = trusted("break-glass", "worker")
    [outcome] = await transaction(server, connection, told, [entry], bundle=False)
    return outcome.id


async def _recipients(server: Server, connection: Connection) -> Sequence[str]:
    """Return whom the settings name, if they are stored: an emergency does not wait for that."""
    type_name, _, id_ = server.settings.security.glass.notify.partition("/")
    type_id = server.definitions.type_ids.get(type_name)
    found = await store.current(connection, type_id, id_) if type_id else None
    return [] if found is None or found.deleted else [f"{type_name}/{id_}"]


def _notice(
    person: str, patient: str, reason: str, to: Sequence[str], at: datetime
) -> dict[str, Any]:
    """Return what the privacy officer gets: who, whose and when, not why in words."""
    notice: dict[str, Any] = {
        "resourceType": "CommunicationRequest",
        "status": "active",
        "category": [{"coding": [NOTICE], "text": "Emergency access to be reviewed"}],
        "priority": "stat",
        "subject": {"reference": f"Patient/{patient}"},
        "payload": [{"contentString": "The record was opened by breaking the glass."}],
        "authoredOn": at.isoformat(timespec="seconds"),
        "requester": {"reference": person},
        "reasonCode": [{"coding": [{"system": PURPOSES, "code": reason}]}],
    }
    if to:
        notice["recipient"] = [{"reference": one} for one in to]
    return notice
