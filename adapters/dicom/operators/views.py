"""What operators ask of the archive, in SQL; lists name no patients."""

from collections.abc import Mapping
from typing import Any, Final

from fhir_server.database import Connection

Row = dict[str, Any]

_OF_STUDY: Final = """
SELECT study_instance_uid AS study, s.subject AS match, s.patient, s.study_date AS date,
    s.accession_number AS accession, s.attributes -> 'StudyDescription' ->> 0 AS description,
    (SELECT array_agg(DISTINCT modality) FROM dicom_series AS e
     WHERE e.study_instance_uid = s.study_instance_uid) AS modalities,
    s.instances, s.folds, s.received_at, s.folded_at, s.unmatched_at,
    s.overlay IS NOT NULL AS corrected,
    (SELECT count(*) FROM dicom_rejection AS r
     WHERE r.study_instance_uid = s.study_instance_uid) AS rejected
FROM dicom_study AS s
"""
STUDIES: Final = f"""
{_OF_STUDY}
WHERE (%(match)s::text IS NULL OR s.subject = %(match)s)
  AND (%(before)s::timestamptz IS NULL OR s.received_at < %(before)s)
ORDER BY s.received_at DESC LIMIT %(limit)s
"""
STUDY: Final = f"{_OF_STUDY} WHERE study_instance_uid = %(study)s"
UNMATCHED: Final = f"""
{_OF_STUDY} WHERE s.unmatched_at IS NOT NULL ORDER BY s.unmatched_at LIMIT %(limit)s
"""
SERIES: Final = """
SELECT i.series_instance_uid AS series, e.series_number AS number, e.modality,
    e.attributes -> 'SeriesDescription' ->> 0 AS description,
    count(*) FILTER (WHERE i.state = 'live') AS instances,
    count(*) FILTER (WHERE i.state IN ('hidden', 'rejected')) AS rejected,
    sum(i.size)::bigint AS bytes, min(i.calling_ae) AS calling_ae
FROM dicom_instance AS i
LEFT JOIN dicom_series AS e USING (study_instance_uid, series_instance_uid)
WHERE study_instance_uid = %(study)s GROUP BY 1, 2, 3, 4 ORDER BY 2 NULLS LAST, 1
"""
REJECTED: Final = """
SELECT r.study_instance_uid AS study, r.code, r.rejected_by, r.approved_by, r.reason,
    min(r.rejected_at) AS rejected_at, count(*) AS instances,
    count(i.sop_instance_uid) AS present
FROM dicom_rejection AS r LEFT JOIN dicom_instance AS i USING (sop_instance_uid)
WHERE %(study)s::text IS NULL OR r.study_instance_uid = %(study)s
GROUP BY 1, 2, 3, 4, 5 ORDER BY 6 DESC LIMIT %(limit)s
"""
ACTIONS: Final = """
SELECT id, study_instance_uid AS study, action, actor, at, detail, undone_by, undone_at
FROM dicom_action
WHERE %(study)s::text IS NULL OR study_instance_uid = %(study)s
ORDER BY id DESC LIMIT %(limit)s
"""
PEERS: Final = """
SELECT ae_title, host, port, services, tls, heard_at, reached_at, failure
FROM dicom_peer ORDER BY ae_title
"""
COUNTS: Final = """
SELECT (SELECT count(*) FROM dicom_study WHERE attributes IS NOT NULL) AS studies,
    (SELECT count(*) FROM dicom_study WHERE unmatched_at IS NOT NULL) AS unmatched,
    (SELECT count(*) FROM dicom_conflict WHERE state = 'open') AS conflicts,
    (SELECT count(*) FROM dicom_rejection) AS rejected,
    (SELECT count(*) FROM dicom_rejection WHERE approved_by IS NULL) AS to_approve,
    (SELECT count(*) FROM dicom_study WHERE received_at > now() - interval '1 day') AS today
"""


async def rows(connection: Connection, query: str, **asked: object) -> list[Row]:
    """Return the rows of a query by the names of their columns."""
    cursor = await connection.execute(query, asked)
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in await cursor.fetchall()]


def undoable(row: Mapping[str, Any]) -> bool:
    """Return whether an action can be taken back."""
    return row["undone_at"] is None and row["action"] in {"link", "correct", "split", "reject"}
