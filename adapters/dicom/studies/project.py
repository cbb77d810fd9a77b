"""One ImagingStudy brought up to date with what is known of its study, in one transaction.

https://hl7.org/fhir/R4/imagingstudy.html
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from psycopg.types.json import Jsonb

from adapters.dicom.dataset.attributes import items, text
from adapters.dicom.dataset.rejections import WRONG_WORKLIST_ENTRY
from adapters.dicom.storage.index import documents_job, fold_job, is_document, parents
from adapters.dicom.studies import ids, overlay, tasks
from adapters.dicom.studies.expected import Expected, expected
from adapters.dicom.studies.imaging_study import imaging_study, study_identifier
from adapters.dicom.studies.matched import CHOSEN, CREATED, MIXED, UNMATCHED
from adapters.dicom.studies.overlay import Overlay
from adapters.dicom.studies.patients import as_attributes, held
from adapters.dicom.studies.reading import CALLER, Json, literal, read, search, tokens
from adapters.dicom.studies.rejection import LIVE, STATE_OF_CODE
from adapters.dicom.studies.series import Instance, merged
from adapters.dicom.studies.status import status
from adapters.dicom.studies.subject import (
    Subject,
    agreed_issuers,
    names_several,
    subject,
)
from adapters.dicom.studies.ties import Place, announced, found, orders, rules_of
from fhir_server import jobs
from fhir_server.database import OWN, Connection
from fhir_server.interactions.entry import Entry, Outcome
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server

# One at a time for a study, and each reads after the one before it has committed.
_LOCK: Final = f"SELECT pg_advisory_xact_lock(hashtextextended(%s, 0) # {OWN})"

# What came while it was being rejected, or its series moved, was not seen by who did that.
_REJECT: Final = f"""
UPDATE dicom_instance AS i SET state = {STATE_OF_CODE}
FROM dicom_rejection AS r
WHERE r.sop_instance_uid = i.sop_instance_uid AND i.study_instance_uid = %s AND i.state = 'live'
"""
_MOVE: Final = """
UPDATE dicom_instance AS i SET study_instance_uid = s.into_study
FROM dicom_split AS s
WHERE s.study_instance_uid = %s AND i.study_instance_uid = s.study_instance_uid
  AND i.series_instance_uid = s.series_instance_uid
RETURNING s.into_study
"""
_ROWS: Final = """
SELECT i.sop_instance_uid, i.series_instance_uid, sop_class_uid, attributes::text, state,
    coalesce(code, '')
FROM dicom_instance AS i LEFT JOIN dicom_rejection AS r USING (sop_instance_uid)
WHERE i.study_instance_uid = %s AND state <> 'note'
ORDER BY received_at, i.sop_instance_uid
"""
_GONE: Final = "SELECT DISTINCT code FROM dicom_tombstone WHERE study_instance_uid = %s"
_STUDY: Final = """
SELECT corrections, overlay, link, unmatched_at, attributes IS NOT NULL
FROM dicom_study WHERE study_instance_uid = %s
"""
# A series whose row was removed with its last instance, while another came.
_SERIES: Final = """
SELECT DISTINCT ON (i.series_instance_uid) i.series_instance_uid, i.attributes
FROM dicom_instance AS i
LEFT JOIN dicom_series AS s USING (study_instance_uid, series_instance_uid)
WHERE i.study_instance_uid = %s AND s.study_instance_uid IS NULL AND i.indexed > 0
ORDER BY i.series_instance_uid, i.received_at, i.sop_instance_uid
"""
_SERIES_AGAIN: Final = """
INSERT INTO dicom_series (study_instance_uid, series_instance_uid, modality, series_number,
    folded, attributes)
VALUES (%(study_instance_uid)s, %(series_instance_uid)s, %(modality)s, %(series_number)s,
    %(series_folded)s::text::jsonb, %(series_attributes)s::text::jsonb)
ON CONFLICT DO NOTHING
"""
_SHOWN: Final = """
INSERT INTO dicom_study AS s (study_instance_uid, folded_to, folded_at, folds, instances, subject,
    patient, matched, unmatched_at, imaging_study)
SELECT %(study)s, max(received_at), clock_timestamp(), 1, %(instances)s, %(match)s, %(patient)s,
    %(matched)s, %(unmatched_at)s::timestamptz, %(imaging_study)s
FROM dicom_instance WHERE study_instance_uid = %(study)s
ON CONFLICT (study_instance_uid) DO UPDATE
SET folded_to = excluded.folded_to, folded_at = excluded.folded_at, folds = s.folds + 1,
    instances = excluded.instances, subject = excluded.subject, patient = excluded.patient,
    matched = excluded.matched, unmatched_at = excluded.unmatched_at,
    imaging_study = excluded.imaging_study
"""
_OVERLAID: Final = """
UPDATE dicom_study SET overlay = %(overlay)s, overlay_version = overlay_version + 1,
    other_patient_ids = %(others)s, patient_id = %(patient_id)s,
    patient_issuer = %(patient_issuer)s, patient_name = %(patient_name)s,
    patient_ideographic = %(patient_ideographic)s, patient_phonetic = %(patient_phonetic)s,
    study_date = %(study_date)s, accession_number = %(accession_number)s,
    folded = %(study_folded)s::text::jsonb, attributes = %(study_attributes)s::text::jsonb
WHERE study_instance_uid = %(study_instance_uid)s
"""


@dataclass(frozen=True, slots=True)
class _Known:
    """What the index has of a study.

    `live` are the instances that are shown, `all` those that are there, in order of arrival;
    `codes` are why others are not shown.
    """

    live: Sequence[Instance]
    all: Sequence[Instance]
    codes: frozenset[str]
    corrections: Mapping[str, Sequence[Any]] | None = None
    overlay: Overlay | None = None
    link: str | None = None
    unmatched_at: datetime | None = None
    told: Expected = field(default_factory=Expected)
    status: str | None = None
    indexed: bool = True


@dataclass(frozen=True, slots=True)
class _Shown:
    """What is to be shown of it: the overlay, the subject, and the resources to write."""

    overlay: Overlay | None
    subject: Subject
    resource: Json
    entries: Sequence[Entry]


async def lock(connection: Connection, study: str) -> None:
    """Let nobody else bring this study up to date until the transaction ends."""
    await connection.execute(_LOCK, (study,))


async def bring_up_to_date(server: Server, connection: Connection, study: str) -> None:
    """Write the ImagingStudy of a study, and what belongs to it, as it is to be now.

    Inside the caller's transaction; nothing is written where nothing has changed.
    """
    await lock(connection, study)
    await _settle(connection, study)
    known = await _known(connection, study)
    if known.status is None:
        return
    if not known.all and known.codes:
        await withdraw(server, connection, study, known.status)
        await jobs.enqueue(connection, [documents_job(study)])
        return
    now = datetime.now(UTC)
    shown = await _shown(Place(server, connection, study), known, now)
    since = (known.unmatched_at or now) if _is_unmatched(known, shown.subject) else None
    work = [*shown.entries, _write(study, shown.resource)]
    work += _tasks(study, shown, known, since)
    outcomes = await transaction(server, connection, CALLER, work)
    # Reports go where their study goes: to another patient, or out of sight.
    if any(is_document(one.sop_class_uid) for one in known.all):
        await jobs.enqueue(connection, [documents_job(study)])
    if known.all:
        await _note(connection, study, known, shown, outcomes, since)


async def _settle(connection: Connection, study: str) -> None:
    await connection.execute(_REJECT, (study,))
    moved = await (await connection.execute(_MOVE, (study,))).fetchall()
    others = sorted({row[0] for row in moved})
    await jobs.enqueue(connection, [fold_job(one, 0) for one in others])
    missing = await (await connection.execute(_SERIES, (study,))).fetchall()
    for series, attributes in missing:
        await connection.execute(_SERIES_AGAIN, parents(study, series, attributes))


async def _known(connection: Connection, study: str) -> _Known:
    rows = await (await connection.execute(_ROWS, (study,))).fetchall()
    gone = await (await connection.execute(_GONE, (study,))).fetchall()
    row = await (await connection.execute(_STUDY, (study,))).fetchone()
    said, over, link, since, indexed = row or (None, None, None, None, False)
    told = await expected(connection, study)
    every = [
        (Instance(uid, series, sop_class, msgspec.json.decode(attributes)), state, code)
        for uid, series, sop_class, attributes, state, code in rows
    ]
    live = [one for one, state, _ in every if state == LIVE]
    codes = frozenset(code for _, _, code in every if code) | {one[0] for one in gone}
    return _Known(
        live,
        [one for one, _, _ in every],
        codes,
        said,
        overlay.parsed(over),
        link,
        since,
        told or Expected(),
        status(len(live), codes, told),
        indexed,
    )


async def _shown(place: Place, known: _Known, now: datetime) -> _Shown:
    received = merged([one.attributes for one in known.live or known.all])
    live = [replace(one, attributes=_renumbered(one, known.corrections)) for one in known.live]
    several = [_renumbered(one, known.corrections) for one in known.live or known.all]
    stated, told = merged(several), dict(known.told.attributes)
    corrected = "PatientID" in (known.corrections or ())
    said = {**told, **overlay.corrected(stated, _only(known.corrections))}
    ordered = await announced(place, [said, *several], known.told)
    who = await subject(
        place.server,
        place.connection,
        said,
        ordered,
        told=known.told.subject,
        link=known.link,
        corrected=corrected,
    )
    if who.match != CHOSEN and not corrected and names_several(several):
        who = Subject(MIXED, held({}, None), matched=who.matched)
    over = overlay.made(
        received, known.corrections, _of_patient(place.server, who), known.overlay, now.isoformat()
    )
    said = {**told, **overlay.corrected(stated, over)}
    mine = await orders(place, [said, *several], ordered, who)
    released = WRONG_WORKLIST_ENTRY in known.codes and not known.live
    if released:
        said, mine = _released(said), ()
    ties, entries = await found(place, said, live, who, mine, known.told)
    if released:
        entries += await _mistaken(place, ties.procedures)
    rules = rules_of(place.server.settings.dicom)
    assert known.status is not None, "nothing is known of the study"
    made = imaging_study(place.study, said, live, ties, rules, status=known.status)
    resource = {**made, "id": await _id(place)}
    return _Shown(over, who, resource, [*who.entries, *entries])


def _only(corrections: Mapping[str, Sequence[Any]] | None) -> Overlay | None:
    return Overlay(corrections, "") if corrections else None


def _renumbered(
    one: Instance, corrections: Mapping[str, Sequence[Any]] | None
) -> Mapping[str, Any]:
    """Return what an instance says, without the accession number that was corrected.

    Nor have its requests that number: it would lead to the order of somebody else.
    """
    said = one.attributes
    if "AccessionNumber" not in (corrections or {}):
        return said
    wrong = text(said, "AccessionNumber")
    requests = items(said, "RequestAttributesSequence")
    kept = [each for each in requests if not wrong or text(each, "AccessionNumber") != wrong]
    without = {"AccessionNumber", "RequestAttributesSequence"}
    rest = {keyword: values for keyword, values in said.items() if keyword not in without}
    return {**rest, "RequestAttributesSequence": kept} if kept else rest


def _of_patient(server: Server, who: Subject) -> dict[str, list[str]] | None:
    """Return what a Patient says who is another than the one that was sent.

    Of one that an operator chose, also what is unknown: what was sent is somebody else's.
    """
    if who.patient is None:
        return None
    said = as_attributes(who.patient, agreed_issuers(server.settings.dicom))
    if who.match == CHOSEN:
        return said
    if literal(who.patient) in who.matched:
        return None
    return {name: values for name, values in said.items() if values}


def _released(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a study says without the order that it was wrongly given."""
    gone = {"AccessionNumber", "IssuerOfAccessionNumberSequence", "RequestAttributesSequence"}
    return {name: values for name, values in said.items() if name not in gone}


async def _mistaken(place: Place, procedures: Sequence[str]) -> list[Entry]:
    """Return the writes that tell that procedures were performed for the wrong entry."""
    entries = []
    for one in procedures:
        present = await read(place.server, place.connection, one)
        if present and present.get("status") != "entered-in-error":
            present.pop("meta", None)
            entries.append(Entry("PUT", one, {**present, "status": "entered-in-error"}))
    return entries


async def _id(place: Place) -> str:
    """Return the id of the ImagingStudy: the one it has, else that which follows from its UID."""
    asked = tokens([study_identifier(place.study)])
    url = f"ImagingStudy?identifier={asked}&_count=2"
    present = await search(place.server, place.connection, url)
    return str(present[0]["id"]) if present else ids.imaging_study_id(place.study)


def _write(study: str, resource: Json) -> Entry:
    asked = tokens([study_identifier(study)])
    return Entry("PUT", f"ImagingStudy?identifier={asked}", resource)


async def withdraw(server: Server, connection: Connection, study: str, state: str) -> None:
    """Take everything out of an ImagingStudy of whose instances none is left."""
    asked = tokens([study_identifier(study)])
    for one in await search(server, connection, f"ImagingStudy?identifier={asked}&_count=1"):
        kept = {name: value for name, value in one.items() if name not in {"meta", "series"}}
        empty = {**kept, "status": state, "numberOfSeries": 0, "numberOfInstances": 0}
        await transaction(server, connection, CALLER, [_write(study, empty)])


def _is_unmatched(known: _Known, who: Subject) -> bool:
    return bool(known.live) and who.match in UNMATCHED


def _tasks(study: str, shown: _Shown, known: _Known, since: datetime | None) -> list[Entry]:
    url, of = f"Task/{ids.task_id(study)}", literal(shown.resource)
    if since:
        return [Entry("PUT", url, tasks.task(study, of, shown.subject.match, since.isoformat()))]
    if known.unmatched_at:
        began, linked = known.unmatched_at.isoformat(), shown.subject.match not in UNMATCHED
        return [Entry("PUT", url, tasks.ended(study, of, began, linked=linked))]
    return []


async def _note(
    connection: Connection,
    study: str,
    known: _Known,
    shown: _Shown,
    outcomes: Sequence[Outcome],
    since: datetime | None,
) -> None:
    """Keep in the index what was shown, and have queries find what was corrected."""
    who = shown.subject
    if who.match == CREATED:
        made = f"Patient/{outcomes[0].id}"
        who = replace(who, matched=(made,), reference={"reference": made})
    given = {
        "study": study,
        "instances": len(known.live),
        "match": who.match,
        "patient": who.reference.get("reference"),
        "imaging_study": shown.resource["id"],
        "matched": list(who.matched),
        "unmatched_at": since,
    }
    await connection.execute(_SHOWN, given)
    if shown.overlay == known.overlay and known.indexed:
        return
    received = known.all[0].attributes
    said = overlay.corrected(received, shown.overlay)
    columns = parents(study, "", said)
    sent = str((received.get("PatientID") or [""])[0])
    others = [sent] if sent and sent != columns["patient_id"] else []
    kept = overlay.as_json(shown.overlay)
    await connection.execute(
        _OVERLAID, {**columns, "overlay": Jsonb(kept) if kept else None, "others": others}
    )
