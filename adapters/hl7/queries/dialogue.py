"""What queries are answered, and by whom.

HL7 v2.9 chapter 5, section 5.3.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import psycopg

from adapters.hl7 import metrics
from adapters.hl7.inbox.received import Received
from adapters.hl7.law.answering import KIND as WORK
from adapters.hl7.law.answering import Work
from adapters.hl7.law.query import response
from adapters.hl7.message.tokenizer import Message
from adapters.hl7.mllp.dialogue import Dialogue
from adapters.hl7.mllp.opening import Opened, open_message
from adapters.hl7.outbound.er7 import Encoding
from adapters.hl7.outbound.gather import searched
from adapters.hl7.outbound.peer import Peer, peer_of
from adapters.hl7.outbound.record import Json
from adapters.hl7.profiles.agreements import agreements
from adapters.hl7.profiles.destination import Outbound
from adapters.hl7.profiles.model import SourceProfile
from adapters.hl7.profiles.origin import Origin
from adapters.hl7.queries import demographics as asked_for
from adapters.hl7.queries.demographics import Question, Unanswerable
from adapters.hl7.recorded import asked, system
from adapters.hl7.uri_base import uri_base
from fhir_server.audit.peers import DEMOGRAPHICS, IDENTIFIERS, OTHER, System
from fhir_server.audit.peers import WORK as WORK_ASKED
from fhir_server.errors import SangamError
from fhir_server.server import Server

_KINDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "Q11": WORK,
    "Q22": ("RSP", "K22", "RSP_K21"),
    "Q23": ("RSP", "K23", "RSP_K23"),
}
_CODES: Final = {"Q11": WORK_ASKED, "Q22": DEMOGRAPHICS, "Q23": IDENTIFIERS}
_OTHERS: Final = ("RSP", "K11", "RSP_K11")
_NO_PROFILE: Final = SourceProfile(version="0")

_log = logging.getLogger(__name__)


def dialogue(server: Server) -> Dialogue:
    """Return what the channels of a server are answered."""
    work = Work(server)

    async def answer(received: Received, origin: Origin) -> bytes:
        return await _answer(server, work, received, origin)

    return Dialogue(answer, work.following, work.replied)


async def _answer(server: Server, work: Work, received: Received, origin: Origin) -> bytes:
    """Return the response to a query; one that cannot be answered says so (AE, AR)."""
    settings = server.settings.hl7.of(origin.channel)
    opened = open_message(received.raw, settings, origin, agreements(server).profiles)
    assert opened.message is not None  # it was examined
    now = datetime.now(UTC)
    kind = _KINDS.get(opened.header.event, _OTHERS)
    asker = system(opened.sender, origin)
    try:
        if not _may_ask(server, opened):
            return await _refused(server, opened, asker, now)
        if opened.header.event == "Q11":
            loaded = opened.attribution.profile if opened.attribution else None
            return await work.answer(opened.header, opened.message, loaded, now, asker)
        if opened.header.event in _KINDS:
            return await _patients(server, opened, now, asker)
    except (SangamError, psycopg.Error) as error:
        _log.warning("A query was not answered: %s", type(error).__name__)
        problem = "The answer cannot be looked up now"
        return response(opened.header, opened.message, now, "AE", kind, problem=problem)
    problem = "The query is not supported"
    return response(opened.header, opened.message, now, "AR", kind, problem=problem, code="201")


def _may_ask(server: Server, opened: Opened) -> bool:
    """Return whether a sender is told of patients: one that an agreement names (`profiles_dir`)."""
    known = opened.attribution is not None and opened.attribution.profile is not None
    return known or server.settings.demo


async def _refused(server: Server, opened: Opened, asker: System, now: datetime) -> bytes:
    header, message = opened.header, opened.message
    assert message is not None
    code = _CODES.get(header.event, OTHER)
    async with server.database.statement() as connection:
        await asked(connection, asker, code, _query(message), refused=True)
    _count(header.event if header.event in _KINDS else "other", "AR")
    kind = _KINDS.get(header.event, _OTHERS)
    problem = "Only senders with a profile are answered"
    return response(header, message, now, "AR", kind, problem=problem)


def _query(message: Message) -> str:
    """Return QPD as it came, "" where it is missing."""
    found = message.named("QPD")
    return "|".join(found[0].fields) if found else ""


async def _patients(server: Server, opened: Opened, now: datetime, asker: System) -> bytes:
    """Return RSP^K22 or RSP^K23."""
    header, message = opened.header, opened.message
    assert message is not None
    event = header.event
    base = await uri_base(server)
    peer = _peer(server, base, opened)
    agreed = {**server.settings.hl7.authorities, **_reverse(peer)}
    system_of = asked_for.system_of(agreed, base, opened.sender)
    encoding = Encoding(header.field + header.marks, header.codec)
    by = asked_for.by_demographics if event == "Q22" else asked_for.by_identifier
    try:
        question = by(asked_for.qpd_of(message), system_of)
    except Unanswerable as unanswerable:
        _count(event, "AE")
        problem = str(unanswerable)
        return response(header, message, now, "AE", _KINDS[event], problem=problem, code="204")
    patients = await _found(server, question)
    if event == "Q22":
        told = asked_for.told(patients, question, peer, encoding)
    else:
        lines = [(one, _numbers(one, question, peer, encoding)) for one in patients]
        patients = [one for one, numbers in lines if numbers]
        told = [line for _, numbers in lines for line in numbers]
    async with server.database.statement() as connection:
        places = [("Patient", str(one["id"])) for one in patients]
        await asked(connection, asker, _CODES[event], _query(message), places)
    status = "OK" if told else "NF"
    _count(event, status)
    return response(header, message, now, status, _KINDS[event], segments=tuple(told))


def _numbers(patient: Json, question: Question, peer: Peer, encoding: Encoding) -> list[str]:
    return asked_for.identifiers(patient, question, peer, encoding)


async def _found(server: Server, question: Question) -> list[Json]:
    """Return patients that were not replaced by others."""
    pairs = [*question.pairs, ("_sort", "_id"), ("_count", str(asked_for.MOST))]
    async with server.database.connection() as connection:
        found = await searched(server, connection, "Patient", pairs)
    return [
        one
        for one in found
        if not any(link.get("type") == "replaced-by" for link in one.get("link", ()))
    ]


def _peer(server: Server, base: str, opened: Opened) -> Peer:
    """Return the asker as a destination: what it calls things, in its version."""
    loaded = opened.attribution.profile if opened.attribution else None
    profile = loaded.profile if loaded else _NO_PROFILE
    said = profile.outbound or Outbound()
    known = profile.model_copy(update={"outbound": said})
    return peer_of(opened.sender, base, known, server.settings.hl7.authorities)


def _reverse(peer: Peer) -> dict[str, str]:
    return {name: system for system, name in peer.authorities.items()}


def _count(event: str, status: str) -> None:
    metrics.queries.labels(event, status).inc()
