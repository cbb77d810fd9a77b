"""The erasure of a patient: asked for, approved by another, carried out by a job.

    asked ──approve──> approved ──job──> done
      └──withdraw──> withdrawn

Every step comes to the same when it is done twice, so that a job that was killed goes on.
The patient goes last, as it tells which messages and images are his.
"""

import asyncio
import json as reports
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from fhir_server import feed_readers
from fhir_server.audit import ledger
from fhir_server.audit.happening import ERASURE, happened
from fhir_server.audit.record import AUDIT_EVENT
from fhir_server.caller import Caller, is_service, trusted
from fhir_server.database import Connection
from fhir_server.errors import Conflict, Forbidden, NotFound
from fhir_server.interactions import auditing, redaction
from fhir_server.interactions.concerned import patients_of
from fhir_server.jobs import Job, enqueue
from fhir_server.rights import ANY
from fhir_server.server import Server
from fhir_server.store import erase
from fhir_server.store import read as store
from fhir_server.store.erase import Version
from fhir_server.store.mark import marked

KIND: Final = "erasure"
PATIENT: Final = "Patient"
SCOPE: Final = "expunge"
CALLER: Final = trusted("erasure", "worker")
_AT_ONCE: Final = 200
# They stay when one of those whom they name goes.
_SHARED: Final = frozenset(("Group",))
_BINARY: Final = re.compile(r'"url":"[^"]*?Binary/([A-Za-z0-9\-.]{1,64})["/]')

_IN_DUTY: Final = """
SELECT EXISTS (
    SELECT FROM edge e JOIN resource r ON r.key = e.source_key
    WHERE e.target_type = %s AND e.target_id = %s AND r.type_id = %s
      AND r.last_updated > now() - %s * interval '1 day')
"""
_FOLDED: Final = """
DELETE FROM audit_record WHERE (feed_xid, position) <= (%s::text::xid8, %s)
"""


@dataclass(frozen=True, slots=True)
class Erased:
    """Whose traces go: the patient's id and identifier values, the references to what is his."""

    patient: str
    identifiers: frozenset[str]
    literals: frozenset[str]


Eraser: TypeAlias = Callable[[Server, Erased], Awaitable[int]]
"""Removes what an adapter keeps of a patient; returns how much that was."""


@dataclass(slots=True)
class _Found:
    """What names the patient: what is his, what tells of him, what audits."""

    own: set[int] = field(default_factory=set)
    literals: set[str] = field(default_factory=set)
    other: set[int] = field(default_factory=set)
    audit: set[int] = field(default_factory=set)
    binaries: set[str] = field(default_factory=set)


def require_operator(caller: Caller) -> None:
    """Refuse who may not erase."""
    if not {ANY, SCOPE} & caller.rights.operator:
        raise Forbidden("Only operators with the scope `expunge` may do this")


def person(caller: Caller) -> str:
    """Return who acts, for the rule that two persons do; Forbidden for an app by itself."""
    if is_service(caller):
        raise Forbidden("Persons ask for an erasure and approve it")
    return caller.user or caller.name


async def ask(server: Server, caller: Caller, patient: str, reason: str) -> int:
    """Ask for an erasure and return the request's number.

    NotFound without such a patient, Conflict where a hold or a duty keeps it.
    """
    require_operator(caller)
    async with server.database.transaction() as connection:
        type_id = server.definitions.type_ids[PATIENT]
        if await store.current(connection, type_id, patient) is None:
            raise NotFound("There is no Patient with this id")
        await _require_free(server, connection, patient)
        number = await ledger.ask(connection, patient, reason, person(caller))
        about = [f"{PATIENT}/{patient}"]
        await happened(connection, caller, ERASURE, about=about, detail="asked")
        return number


async def approve(server: Server, caller: Caller, patient: str) -> int:
    """Approve what another person asked for, and have it carried out; return its number."""
    require_operator(caller)
    async with server.database.transaction() as connection:
        asked = await ledger.open_of(connection, patient)
        if asked is None:
            raise NotFound("Nobody asked for the erasure of this patient")
        await _require_free(server, connection, patient)
        await ledger.approve(connection, asked, person(caller))
        about = [f"{PATIENT}/{patient}"]
        await happened(connection, caller, ERASURE, about=about, detail="approved")
        await enqueue(connection, [Job(KIND, {"id": asked.id}, str(asked.id))])
        return asked.id


async def withdraw(server: Server, caller: Caller, patient: str) -> int:
    """Take back a request that nobody approved; return its number."""
    require_operator(caller)
    async with server.database.transaction() as connection:
        asked = await ledger.open_of(connection, patient)
        if asked is None:
            raise NotFound("Nobody asked for the erasure of this patient")
        await ledger.withdraw(connection, asked)
        about = [f"{PATIENT}/{patient}"]
        await happened(connection, caller, ERASURE, about=about, detail="withdrawn")
        return asked.id


async def _require_free(server: Server, connection: Connection, patient: str) -> None:
    if await ledger.is_held(connection, patient):
        raise Conflict("A legal hold keeps this patient", code="business-rule")
    ids = server.definitions.type_ids
    for type_name, days in server.settings.retention.duty_days.items():
        given = (ids[PATIENT], patient, ids[type_name], days)
        row = await (await connection.execute(_IN_DUTY, given)).fetchone()
        if row and row[0]:
            text = f"A {type_name} of this patient has to be kept for {days} days"
            raise Conflict(text, code="business-rule")


def job(erasers: Sequence[Eraser]) -> Callable[[Server, dict[str, Any]], Awaitable[None]]:
    """Return the job's function; `erasers` are those of the adapters."""

    async def run(server: Server, payload: dict[str, Any]) -> None:
        await carry_out(server, int(payload["id"]), erasers)

    return run


async def carry_out(server: Server, id_: int, erasers: Sequence[Eraser]) -> None:
    """Carry out an approved request; one that is done, or held meanwhile, is left."""
    async with server.database.transaction() as connection:
        asked = await ledger.one(connection, id_)
        if asked.state != "approved":
            return
        await _require_free(server, connection, asked.patient)
    report = await erase_patient(server, asked.patient, erasers)
    async with server.database.transaction() as connection:
        literal = f"{PATIENT}/{asked.patient}"
        name = ledger.pseudonym(server.registry.context.page_key, literal)
        await happened(connection, CALLER, ERASURE, about=[name], detail="carried out")
        await ledger.done(connection, id_, reports.dumps(report))


async def erase_patient(server: Server, patient: str, erasers: Sequence[Eraser]) -> dict[str, int]:
    """Remove all that is stored of a patient; return how much of each kind that was."""
    await auditing.settle(server)
    found = await _find(server, patient)
    literal = f"{PATIENT}/{patient}"
    texts = await _texts(server, patient)
    identifiers = frozenset(one for text in texts for one in redaction.identifiers(text))
    names = {one for text in texts for one in redaction.names(text)}
    words = [one for one in {*identifiers, *names} if len(one) >= redaction.SHORTEST]
    async with server.database.transaction() as connection:
        passing = await erase.remove_passing(connection, redaction.needles(patient), sorted(words))
        await erase.remove_access(connection, patient)
    erased = Erased(patient, identifiers, frozenset({literal, *found.literals}))
    report = {eraser.__module__: await eraser(server, erased) for eraser in erasers}
    last = await _key(server, patient)
    own = [*sorted(found.own.difference(last)), *last]
    for piece in _pieces(own):
        await _remove(server, piece, erased)
    for piece in _pieces(sorted(found.other)):
        await _redact(server, piece, erased)
    for piece in _pieces(sorted(found.audit)):
        await _pseudonymise(server, piece, erased)
    await _end_of_audit(server, erased)
    counts = {"resources": len(own), "redacted": len(found.other), "audit": len(found.audit)}
    return {**counts, "passing": passing, **report}


async def _end_of_audit(server: Server, erased: Erased) -> None:
    """Forget the records of which AuditEvents were made, and name nobody in later ones."""
    async with server.database.keeping() as connection:
        reached = await feed_readers.place(connection, auditing.READER)
        if reached is not None:
            await connection.execute(_FOLDED, (str(reached.feed_xid), reached.position))
    await auditing.settle(server)
    # They are of who asked for him meanwhile.
    async with server.database.statement() as connection:
        place = (server.definitions.type_ids[PATIENT], erased.patient)
        late = await erase.referring(connection, [place], ())
    await _pseudonymise(server, sorted(late), erased)
    await auditing.settle(server)


async def _find(server: Server, patient: str) -> _Found:
    """Return what names the patient in any version."""
    found = _Found()
    async for keys in erase.naming(server.database, redaction.needles(patient)):
        for piece in _pieces(keys):
            async with server.database.statement() as connection:
                for versions in (await erase.versions(connection, piece)).values():
                    _sort(server, found, patient, versions)
    async with server.database.statement() as connection:
        binaries = await store.lock(connection, _places(server, found.binaries), "KEY SHARE")
    for one in binaries.values():
        found.own.add(one.key)
        found.literals.add(f"Binary/{one.id}")
    return found


def _places(server: Server, binaries: Iterable[str]) -> list[tuple[int, str]]:
    return [(server.definitions.type_ids["Binary"], id_) for id_ in binaries]


def _sort(server: Server, found: _Found, patient: str, versions: Sequence[Version]) -> None:
    first = versions[0]
    type_name = server.definitions.type_names[first.type_id]
    if type_name == AUDIT_EVENT:
        found.audit.add(first.key)
        return
    texts = [one.text for one in versions if one.text]
    if (type_name, first.id) != (PATIENT, patient) and not _is_own(
        server, type_name, first.id, patient, texts[-1] if texts else ""
    ):
        found.other.add(first.key)
        return
    found.own.add(first.key)
    found.literals.add(f"{type_name}/{first.id}")
    found.binaries.update(id_ for text in texts for id_ in _BINARY.findall(text))


def _is_own(server: Server, type_name: str, id_: str, patient: str, text: str) -> bool:
    """Whether a resource is of this patient alone: in the compartment, and of nobody else."""
    compartment = server.definitions.compartments[PATIENT]
    if type_name in _SHARED or type_name == PATIENT or not compartment.get(type_name):
        return False
    return patients_of(server.bases, type_name, id_, text) == [patient]


async def _texts(server: Server, patient: str) -> list[str]:
    """Return the texts of all versions of the Patient."""
    keys = await _key(server, patient)
    async with server.database.statement() as connection:
        found = await erase.versions(connection, keys)
    return [one.text for versions in found.values() for one in versions if one.text]


async def _key(server: Server, patient: str) -> list[int]:
    place = (server.definitions.type_ids[PATIENT], patient)
    async with server.database.statement() as connection:
        return [one.key for one in (await store.lock(connection, [place], "KEY SHARE")).values()]


def _pieces(keys: Sequence[int]) -> list[Sequence[int]]:
    return [keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE)]


async def _remove(server: Server, keys: Sequence[int], erased: Erased) -> None:
    """Remove resources; what refers to them does so no more."""
    secret, names = server.registry.context.page_key, server.definitions.type_names
    async with server.database.transaction() as connection:
        found = await erase.versions(connection, keys)
        places = {(one[0].type_id, one[0].id) for one in found.values()}
        audits = [server.definitions.type_ids[AUDIT_EVENT]]
        referring = await erase.referring(connection, places, audits) - found.keys()
        await redaction.redact(server, connection, CALLER, sorted(referring), erased.literals)
        literals = [f"{names[type_id]}/{id_}" for type_id, id_ in places]
        await ledger.add(
            connection, server.settings.data_dir, [ledger.digest(secret, one) for one in literals]
        )
        await erase.remove(connection, list(found))
        # Nothing comes back of an erasure that was approved: a blob may go before the commit.
        await drop_blobs(server, connection, found.values())


async def drop_blobs(
    server: Server, connection: Connection, removed: Iterable[Sequence[Version]]
) -> None:
    """Remove the blobs of Binaries that were removed, unless another has the same."""
    type_id = server.definitions.type_ids["Binary"]
    texts = [one.text.encode() for versions in removed for one in versions]
    for blob in {found[1].digest for text in texts if (found := marked(text))}:
        if not await erase.is_held(connection, type_id, blob):
            await asyncio.to_thread(server.blobs.remove, blob)


async def _redact(server: Server, keys: Sequence[int], erased: Erased) -> None:
    async with server.database.transaction() as connection:
        await redaction.redact(server, connection, CALLER, keys, erased.literals)


async def _pseudonymise(server: Server, keys: Sequence[int], erased: Erased) -> None:
    async with server.database.keeping() as connection:
        await redaction.pseudonymise(server, connection, CALLER, keys, erased.patient)


async def apply(server: Server, erasers: Sequence[Eraser]) -> int:
    """Erase again what a restored database brought back; return how many resources that was."""
    secret, names = server.registry.context.page_key, server.definitions.type_names
    async with server.database.statement() as connection:
        gone = await ledger.known(connection, server.settings.data_dir)
        cursor = await connection.execute("SELECT type_id, id, key FROM resource WHERE key > 0")
        back = [
            (names[type_id], id_, key)
            for type_id, id_, key in await cursor.fetchall()
            if ledger.digest(secret, f"{names[type_id]}/{id_}") in gone
        ]
    for patient in [id_ for type_name, id_, _ in back if type_name == PATIENT]:
        await erase_patient(server, patient, erasers)
    nobody = Erased("", frozenset(), frozenset(f"{name}/{id_}" for name, id_, _ in back))
    for piece in _pieces([key for _, _, key in back]):
        await _remove(server, piece, nobody)
    return len(back)
