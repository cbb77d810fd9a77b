"""The job that brings what a study's documents say into FHIR.

A document's row and its job are one transaction (storage/index.py). The job runs again
when the ImagingStudy changes: a report follows it to another patient, and one that is
rejected is withdrawn. It holds the lock of the fold, so that what a document says goes to the
subject that the fold wrote.
"""

import asyncio
import hashlib
import logging
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

import psycopg

from adapters.dicom.dataset.attributes import Attributes, items
from adapters.dicom.dataset.elements import Broken
from adapters.dicom.documents import encapsulated, mapping, rows
from adapters.dicom.documents.draft import Json, Made, Surroundings
from adapters.dicom.documents.files import Read, read
from adapters.dicom.documents.key_objects import key_objects
from adapters.dicom.documents.report import predecessors
from adapters.dicom.documents.rows import Known, Result, Stored
from adapters.dicom.documents.surroundings import surroundings
from adapters.dicom.documents.tree import named
from adapters.dicom.documents.values import agreed
from adapters.dicom.documents.withdraw import withdraw
from adapters.dicom.storage.index import DOCUMENTS, documents_job
from adapters.dicom.storage.tiered import archive_blobs
from adapters.dicom.studies.project import lock
from adapters.dicom.studies.reading import CALLER
from fhir_server import jobs
from fhir_server.database import Connection
from fhir_server.errors import (
    Conflict,
    PreconditionFailed,
    SangamError,
    TooLarge,
    Unavailable,
    Unprocessable,
)
from fhir_server.interactions import binary
from fhir_server.interactions.entry import Entry, Outcome
from fhir_server.interactions.transaction import transaction
from fhir_server.r4 import json
from fhir_server.server import Server

log = logging.getLogger(__name__)

KIND = DOCUMENTS

# What changed meanwhile is looked at once more before less is written.
_WHOLE, _ONCE_MORE, _RENDERED = _ATTEMPTS = range(3)
_FIRST_WAIT, _LONGEST_WAIT = 2.0, 600.0
_REPORTS = UUID("c1a5ad0e-2f0c-4f0e-8a35-0a3d54d1c9f4")
_EXTENDS = "http://hl7.org/fhir/StructureDefinition/diagnosticReport-extends"


async def run(server: Server, payload: dict[str, Any]) -> None:
    """Bring the documents of `payload["study"]` up to date, or come back later."""
    study, tries = str(payload["study"]), int(payload.get("tries", 0))
    async with server.database.statement() as connection:
        found = await rows.of_study(connection, study)
        lost = await rows.gone(connection, study)
    for known in lost:
        async with server.database.transaction() as connection:
            await lock(connection, study)
            await _withdraw(server, connection, known, "It is no longer in the archive")
    complete = [await _one(server, one) for one in found]
    if not all(complete):
        delay = min(_FIRST_WAIT * 2 ** min(tries, 10), _LONGEST_WAIT)
        later = replace(documents_job(study, delay), payload={"study": study, "tries": tries + 1})
        async with server.database.transaction() as connection:
            await jobs.enqueue(connection, [later])


async def _one(server: Server, one: Stored) -> bool:
    """Bring one document up to date; return whether that could be done yet."""
    if one.state != "live":
        await _hidden(server, one)
        return True
    archive = archive_blobs(server.blobs, server.settings.dicom)
    found = await asyncio.to_thread(read, archive, server.blobs, one)
    schemes = server.settings.dicom.coding_schemes
    found = replace(found, attributes=agreed(found.attributes, schemes))
    selected = key_objects(found.attributes)
    if selected is not None and selected.rejection:  # one that was itself rejected, and restored
        await _hidden(server, replace(one, state="note"))
        return True
    refused: SangamError | None = None
    for attempt in _ATTEMPTS:
        if attempt == _ONCE_MORE and not isinstance(refused, Conflict | PreconditionFailed):
            continue
        whole = attempt != _RENDERED
        try:
            async with server.database.transaction() as connection:
                await lock(connection, one.study_instance_uid)
                why = None if whole else refused
                return await _apply(server, connection, one, found, why)
        except Unavailable:
            raise
        except psycopg.errors.QueryCanceled:
            refused = TooLarge("The document takes too long to write")
        except SangamError as error:
            refused = error
        log.warning("document %s was refused: %s", one.sop_instance_uid, _reason(refused))
    await _failed(server, one, _reason(refused))
    return True


async def _failed(server: Server, one: Stored, reason: str) -> None:
    """Note that nothing new could be written; what was before stays, and is known."""
    async with server.database.transaction() as connection:
        known = (await rows.known(connection, [one.sop_instance_uid])).get(one.sop_instance_uid)
        result = Result(rows.FAILED, reason)
        if known is not None:
            result = replace(
                result,
                title=known.title,
                predecessors=known.predecessors,
                resources=known.resources,
            )
        await rows.keep(connection, one, b"", result)


async def _hidden(server: Server, one: Stored) -> None:
    """Take back what a document that is rejected said; a rejection note says nothing in FHIR."""
    async with server.database.transaction() as connection:
        await lock(connection, one.study_instance_uid)
        known = (await rows.known(connection, [one.sop_instance_uid])).get(one.sop_instance_uid)
        if one.state == "note":
            if known is None:
                await rows.keep(connection, one, b"", Result(rows.NOTE, "It rejects instances"))
        elif known is None:
            result = Result(rows.WITHDRAWN, "The instance is rejected")
            await rows.keep(connection, one, b"", result)
        elif known.state != rows.WITHDRAWN:
            await _withdraw(server, connection, known, "The instance is rejected")


async def _withdraw(server: Server, connection: Connection, known: Known, reason: str) -> None:
    uid = known.sop_instance_uid
    shared = await rows.claimed(connection, known.resources, [uid])
    await withdraw(server, connection, [one for one in known.resources if one not in shared])
    await rows.set_state(connection, [uid], rows.WITHDRAWN, reason)
    # What it took the place of is in force again.
    before = await rows.known(connection, known.predecessors)
    freed = [one.sop_instance_uid for one in before.values() if one.state == rows.SUPERSEDED]
    studies = await rows.set_state(connection, freed, rows.SUPERSEDED)
    await jobs.enqueue(connection, [documents_job(one) for one in studies])


async def _apply(
    server: Server,
    connection: Connection,
    one: Stored,
    found: Read,
    refused: SangamError | None,
) -> bool:
    """Write what one document says, inside the open transaction; False while it is too early.

    Only its rendering, once the whole was `refused`.
    """
    around = await surroundings(server, connection, found.attributes, one)
    if around is None:
        return False
    uid = one.sop_instance_uid
    earlier = predecessors(found.attributes)
    present = await rows.known(connection, [uid, *earlier])
    title = _title(found.attributes)
    after = [
        each
        for each in await rows.successors(connection, uid)
        if each.title == title and uid not in earlier and each.sop_instance_uid not in earlier
    ]
    replaced = [present[each] for each in earlier if each in present and each != uid]
    same = [each for each in replaced if each.title == title]
    schemes = sorted(server.settings.dicom.coding_schemes.items())
    fingerprint = _fingerprint(
        one, around, [*(each.title for each in replaced), bool(after), schemes]
    )
    before = present.get(uid)
    if before is not None and before.fingerprint == fingerprint and refused is None:
        return True
    if after:
        await _supersede(server, connection, one, before, after[-1], fingerprint, title)
        return True
    made, result = await asyncio.to_thread(_made, found, around, one, whole=refused is None)
    _relate(made, before, replaced, same)
    outcomes = await _write(server, connection, made, found)
    references = [f"{outcome.type}/{outcome.id}" for outcome in outcomes]
    await _retire(server, connection, [*same, *([before] if before else [])], references, uid)
    if refused is not None:
        result = replace(result, state=rows.RENDERED, reason=_reason(refused))
    result = replace(
        result, title=title, resources=references, predecessors=[e for e in earlier if e != uid]
    )
    await rows.keep(connection, one, fingerprint, result)
    return True


async def _supersede(
    server: Server,
    connection: Connection,
    one: Stored,
    before: Known | None,
    successor: Known,
    fingerprint: bytes,
    title: str,
) -> None:
    """Leave a document out that came after the one which takes its place."""
    if before is not None and before.resources:
        kept = await rows.claimed(connection, before.resources, [one.sop_instance_uid])
        await withdraw(server, connection, [e for e in before.resources if e not in kept])
    reason = f"{successor.sop_instance_uid} takes its place"
    await rows.keep(connection, one, fingerprint, Result(rows.SUPERSEDED, reason, title))


def _relate(
    made: Sequence[Made], before: Known | None, replaced: Sequence[Known], same: Sequence[Known]
) -> None:
    """Let a report take the place of those it replaces: it becomes their next version.

    One that goes on from a document of another title, such as a measurement that it quotes,
    leaves that in force and says that it extends it.
    """
    report = made[0]
    if report.resource["resourceType"] != "DiagnosticReport":
        return
    own = [each for each in (before, *same) if each is not None and each.resources]
    report.url = own[0].resources[0] if own else f"DiagnosticReport/{_report_id(made)}"
    report.resource["id"] = report.url.partition("/")[2]
    if replaced and not same:
        for each in made:
            if each.resource.get("status") == "amended":
                each.resource["status"] = "final"
        report.resource["identifier"] = report.resource["identifier"][:1]
        report.resource["extension"] = [
            {"url": _EXTENDS, "valueReference": {"reference": each.resources[0]}}
            for each in replaced
            if each.resources
        ]
        if not report.resource["extension"]:
            del report.resource["extension"]


def _report_id(made: Sequence[Made]) -> str:
    """Return the id of a document's own report: identifiers also name what it replaces."""
    return str(uuid5(_REPORTS, made[0].resource["identifier"][0]["value"]))


async def _retire(
    server: Server,
    connection: Connection,
    replaced: Sequence[Known],
    references: Sequence[str],
    uid: str,
) -> None:
    """Take back what was said before and is not said any more."""
    others = [each.sop_instance_uid for each in replaced if each.sop_instance_uid != uid]
    old = {reference for each in replaced for reference in each.resources} - set(references)
    kept = await rows.claimed(connection, sorted(old), [uid, *others])
    await withdraw(server, connection, sorted(old - kept))
    await rows.set_state(connection, others, rows.SUPERSEDED, f"{uid} takes its place")


def _made(
    found: Read, around: Surroundings, one: Stored, *, whole: bool
) -> tuple[list[Made], Result]:
    if encapsulated.is_encapsulated(one.sop_class_uid):
        return _reference(found, around, one)
    state, reason = (rows.MAPPED, "") if whole else (rows.RENDERED, "")
    try:
        mapped = mapping.mapped(found.attributes, around, whole=whole)
    except Broken as error:
        found = replace(found, broken=str(error))
    except Exception as error:  # noqa: BLE001  (what it stumbles over must not hide the rest)
        kind = type(error).__name__  # its text may hold values
        log.error("document %s could not be mapped: %s", one.sop_instance_uid, kind)  # noqa: TRY400
        if whole:
            raise Unprocessable(f"The mapping failed ({kind})") from None
        found = replace(found, broken=f"It cannot be shown ({kind})")
    if found.broken:
        state, reason = rows.RENDERED, found.broken
        mapped = mapping.unreadable(found.attributes, around, found.broken)
    return list(mapped.resources), Result(
        state, reason, items=len(mapped.lines), unmapped=mapped.unmapped, flags=mapped.flags
    )


def _reference(found: Read, around: Surroundings, one: Stored) -> tuple[list[Made], Result]:
    """Return a DocumentReference, and the Binary that it leads to.

    One whose bytes cannot be read leads to the instance itself.
    """
    document, content = found.attributes, found.content
    if content is None:
        url = (
            f"{around.endpoint}/studies/{one.study_instance_uid}"
            f"/series/{one.series_instance_uid}/instances/{one.sop_instance_uid}"
        )
        attachment: Json = {"contentType": "application/dicom", "url": url}
        made = encapsulated.document_reference(document, around, attachment)
        reason = found.broken or "It holds no document"
        return [made], Result(rows.RENDERED, reason)
    holder = encapsulated.binary(document)
    attachment = {
        "contentType": holder.resource["contentType"],
        "url": holder.url,
        "size": content.size,
        "hash": content.sha1,
    }
    if content.data is not None:
        holder.resource["data"] = b64encode(content.data).decode()
    made = encapsulated.document_reference(document, around, attachment)
    return [made, holder], Result(rows.MAPPED)


async def _write(
    server: Server, connection: Connection, made: Sequence[Made], found: Read
) -> list[Outcome]:
    entries = [await _entry(server, one, found) for one in made]
    return await transaction(server, connection, CALLER, entries)


async def _entry(server: Server, one: Made, found: Read) -> Entry:
    method = "POST" if one.if_none_exist else "PUT"
    blob = None
    if one.resource["resourceType"] == "Binary" and "data" not in one.resource and found.content:
        blob = found.content.blob
    entry = Entry(
        method,
        one.url,
        one.resource,
        full_url=one.full_url,
        if_none_exist=one.if_none_exist,
        blob=blob,
    )
    if blob is None:
        entry = await binary.set_aside(server, entry)
    return entry


def _title(document: Attributes) -> str:
    return named(next(iter(items(document, "ConceptNameCodeSequence")), {}))


def _fingerprint(one: Stored, around: Surroundings, others: Sequence[object]) -> bytes:
    """Return what tells whether a document would become the same again."""
    said = [
        *(mapping.VERSION, one.blob, one.study_instance_uid, list(others), around.subject),
        *(around.study, around.encounter, list(around.based_on), list(around.procedures)),
        *(list(around.modalities), list(around.dose_codes), around.endpoint, str(around.zone)),
    ]
    return hashlib.sha256(json.encode(said)).digest()


def _reason(error: SangamError | None) -> str:
    """Return what the FHIR server refused, and where; such texts hold no values."""
    if error is None:
        return ""
    issue = error.issues[0]
    return f"{issue.text} ({issue.expression})" if issue.expression else issue.text
