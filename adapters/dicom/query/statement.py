"""The SELECT of a query at one level.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_C.6.1.1
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adapters.dicom.dataset.levels import LEVEL_OF, Level
from adapters.dicom.query.conditions import COMPUTED, Condition, conditions
from adapters.dicom.query.matching import Criterion

_LIVE = "n.state = 'live'"
_OF_STUDY = f"dicom_instance n WHERE n.study_instance_uid = s.study_instance_uid AND {_LIVE}"
_OF_SERIES = (
    "dicom_instance n WHERE n.study_instance_uid = e.study_instance_uid "
    f"AND n.series_instance_uid = e.series_instance_uid AND {_LIVE}"
)
_OF_PATIENT = (
    "dicom_study p JOIN dicom_instance n USING (study_instance_uid) WHERE "
    f"p.patient_id = s.patient_id AND p.patient_issuer = s.patient_issuer AND {_LIVE}"
)
_MODALITIES = (
    "SELECT array_agg(DISTINCT e.modality) FROM dicom_series e "
    "WHERE e.study_instance_uid = s.study_instance_uid "
    f"AND (SELECT true FROM {_OF_SERIES} LIMIT 1)"
)

COUNTED: Mapping[str, tuple[Level, str]] = {
    "NumberOfPatientRelatedStudies": (
        Level.PATIENT,
        f"SELECT count(DISTINCT p.study_instance_uid) FROM {_OF_PATIENT}",
    ),
    "NumberOfPatientRelatedSeries": (
        Level.PATIENT,
        f"SELECT count(DISTINCT (p.study_instance_uid, n.series_instance_uid)) FROM {_OF_PATIENT}",
    ),
    "NumberOfPatientRelatedInstances": (Level.PATIENT, f"SELECT count(*) FROM {_OF_PATIENT}"),
    "NumberOfStudyRelatedSeries": (
        Level.STUDY,
        f"SELECT count(DISTINCT n.series_instance_uid) FROM {_OF_STUDY}",
    ),
    "NumberOfStudyRelatedInstances": (Level.STUDY, f"SELECT count(*) FROM {_OF_STUDY}"),
    "ModalitiesInStudy": (Level.STUDY, _MODALITIES),
    "SOPClassesInStudy": (
        Level.STUDY,
        f"SELECT array_agg(DISTINCT n.sop_class_uid) FROM {_OF_STUDY}",
    ),
    "NumberOfSeriesRelatedInstances": (Level.SERIES, f"SELECT count(*) FROM {_OF_SERIES}"),
}
"""What is computed for each answer, and the level from which on it can be."""

# A scalar subquery, as PostgreSQL would join all instances for an EXISTS.
_SHOWN = {
    Level.PATIENT: f"(SELECT true FROM {_OF_STUDY} LIMIT 1)",
    Level.STUDY: f"(SELECT true FROM {_OF_STUDY} LIMIT 1)",
    Level.SERIES: f"(SELECT true FROM {_OF_SERIES} LIMIT 1)",
    Level.IMAGE: "i.state = 'live'",
}
_SERIES = "JOIN dicom_series e ON e.study_instance_uid = s.study_instance_uid"
_FROM = {
    Level.PATIENT: "dicom_study s",
    Level.STUDY: "dicom_study s",
    Level.SERIES: f"dicom_study s {_SERIES}",
    Level.IMAGE: f"dicom_study s {_SERIES} JOIN dicom_instance i "
    "ON i.study_instance_uid = e.study_instance_uid "
    "AND i.series_instance_uid = e.series_instance_uid",
}
_STUDY_COLUMNS = ("s.study_instance_uid", "s.attributes::text")
_SERIES_COLUMNS = ("e.series_instance_uid", "e.attributes::text")
_IMAGE_COLUMNS = (
    "i.sop_instance_uid",
    "i.sop_class_uid",
    "i.transfer_syntax_uid",
    "i.attributes::text",
)
_COLUMNS = {
    Level.PATIENT: _STUDY_COLUMNS,
    Level.STUDY: _STUDY_COLUMNS,
    Level.SERIES: (*_STUDY_COLUMNS, *_SERIES_COLUMNS),
    Level.IMAGE: (*_STUDY_COLUMNS, *_SERIES_COLUMNS, *_IMAGE_COLUMNS),
}
_NEWEST = "s.study_date DESC NULLS LAST"
# The index gives the days in order, and the studies of one are few enough to be sorted.
_STUDY_ORDER = (
    f"{_NEWEST}, (s.attributes -> 'StudyTime' ->> 0) COLLATE \"C\" DESC NULLS LAST, "
    "s.study_instance_uid"
)
_SERIES_ORDER = f"{_NEWEST}, s.study_instance_uid, e.series_number, e.series_instance_uid"
_ORDER = {
    Level.PATIENT: "s.patient_id, s.patient_issuer, s.received_at DESC",
    Level.STUDY: _STUDY_ORDER,
    Level.SERIES: _SERIES_ORDER,
    Level.IMAGE: f"{_SERIES_ORDER}, i.instance_number, i.sop_instance_uid",
}
_DEPTH = {Level.PATIENT: 0, Level.STUDY: 1, Level.SERIES: 2, Level.IMAGE: 3}


ALWAYS = frozenset(
    ("QueryRetrieveLevel", "RetrieveAETitle", "InstanceAvailability", "SpecificCharacterSet")
)
"""What answers can have that is of the archive, not of the index."""


@dataclass(frozen=True, slots=True)
class Statement:
    """An SQL statement with its parameters.

    Its rows have study UID and attributes (JSON text), from SERIES on series UID and
    attributes, at IMAGE the instance's UID, class, transfer syntax and attributes, and
    then what was counted, in the order of `counted`.
    """

    sql: str
    values: tuple[Any, ...]
    counted: tuple[str, ...] = ()


def matches(
    level: Level,
    keys: Mapping[str, Criterion],
    returned: Collection[str] = (),
    *,
    combined: bool = False,
    wall: Sequence[Condition] = (),
) -> Statement:
    """Return the SELECT of what matches `keys` at `level`, newest studies first.

    Of `returned`, those are computed that are not stored. A patient comes once, with
    what the newest study says of it. Each study `s` also meets the `wall`.
    """
    asked = {name: one for name, one in keys.items() if selectable(name, level)}
    found = [*conditions(asked, combined=combined), *wall]
    counted = tuple(name for name in COUNTED if name in returned and _countable(name, level))
    columns = [*_COLUMNS[level], *(f"({COUNTED[name][1]})" for name in counted)]
    distinct = "DISTINCT ON (s.patient_id, s.patient_issuer) " if level is Level.PATIENT else ""
    sql = (
        f"SELECT {distinct}{', '.join(columns)} FROM {_FROM[level]} "
        f"WHERE {_where(level, found)} ORDER BY {_ORDER[level]}"
    )
    return Statement(sql, _values(found), counted)


def selectable(name: str, level: Level) -> bool:
    """Return whether what matches at `level` can be selected by this attribute."""
    if name in COMPUTED:
        return level is not Level.PATIENT
    return name in LEVEL_OF and _DEPTH[LEVEL_OF[name]] <= _DEPTH[level]


def returnable(name: str, level: Level) -> bool:
    """Return whether an answer at `level` can have this attribute."""
    if name in COUNTED:
        return _countable(name, level)
    return name in ALWAYS or selectable(name, level)


def _countable(name: str, level: Level) -> bool:
    return _DEPTH[COUNTED[name][0]] <= _DEPTH[level]


def _where(level: Level, found: Sequence[Condition]) -> str:
    # A study that was not indexed yet has no attributes to answer with (query/backfill.py).
    return " AND ".join([*(one.sql for one in found), "s.attributes IS NOT NULL", _SHOWN[level]])


def instances(keys: Mapping[str, Criterion]) -> Statement:
    """Return the SELECT of the instances to retrieve: what is below the unique keys given.

    Its rows have SOP class, SOP instance, transfer syntax, blob in hex, data set offset
    and size, the study's overlay (JSON text), the offset of the pixels and the study, in the
    order of series and instances.
    """
    found = conditions(keys)
    sql = (
        "SELECT i.sop_class_uid, i.sop_instance_uid, i.transfer_syntax_uid, "
        "encode(i.blob, 'hex'), i.data_set_offset, i.size, s.overlay::text, i.pixel_offset, "
        "i.study_instance_uid "
        f"FROM {_FROM[Level.IMAGE]} WHERE {_where(Level.IMAGE, found)} "
        f"ORDER BY {_ORDER[Level.IMAGE]}"
    )
    return Statement(sql, _values(found))


def _values(found: Iterable[Condition]) -> tuple[Any, ...]:
    return tuple(value for one in found for value in one.values)
