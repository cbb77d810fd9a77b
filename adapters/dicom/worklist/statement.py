"""The SELECT of a worklist query.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_K.2.2
"""

from collections.abc import Iterator, Mapping

from adapters.dicom.query.conditions import NOTHING, Condition, in_array, in_items, on_column
from adapters.dicom.query.conditions import in_range as within
from adapters.dicom.query.matching import (
    Between,
    Criterion,
    Exact,
    Universal,
    Within,
    date,
    high_time,
    low_time,
)
from adapters.dicom.query.statement import Statement
from adapters.dicom.worklist.keywords import ENTRY, NAMES, STATUS, STEP, STEPS

_START_DATE = "ScheduledProcedureStepStartDate"
_START_TIME = "ScheduledProcedureStepStartTime"
_STATIONS = "ScheduledStationAETitle"
_COLUMNS = {
    "PatientID": "w.patient_id",
    "StudyInstanceUID": "w.study_instance_uid",
    "AccessionNumber": "w.accession_number",
    "RequestedProcedureID": "w.requested_procedure_id",
}
_STEP_COLUMNS = {
    "ScheduledProcedureStepID": "w.step_id",
    "Modality": "w.modality",
    STATUS: "w.status",
}
# These say how the query itself is to be read.
_OF_QUERY = frozenset(("SpecificCharacterSet", "TimezoneOffsetFromUTC"))
_LISTED = "w.status <> '' AND (w.shown_until IS NULL OR w.shown_until > now())"


def matches(keys: Mapping[str, Criterion]) -> Statement:
    """Return the SELECT of the steps that match, by their start.

    Its rows have the attributes of the entry, those of the step's item (JSON texts),
    the step's status, and the id of its ServiceRequest.
    """
    found = [*_entry(keys)]
    where = " AND ".join([*(one.sql for one in found), _LISTED])
    sql = (
        "SELECT w.attributes::text, w.step::text, w.status, w.service_request FROM worklist_step w "
        f"WHERE {where} ORDER BY w.start_date, w.start_time, w.id"
    )
    return Statement(sql, tuple(value for one in found for value in one.values))


def _entry(keys: Mapping[str, Criterion]) -> Iterator[Condition]:
    for name, criterion in keys.items():
        if name not in ENTRY - _OF_QUERY or isinstance(criterion.match, Universal):
            continue
        if name == STEPS and isinstance(criterion.match, Within):
            yield from _step(criterion.match.keys)
        elif name in _COLUMNS:
            yield on_column(_COLUMNS[name], criterion)
        else:
            yield _stored("attributes", "folded", name, criterion)


def _step(keys: Mapping[str, Criterion]) -> Iterator[Condition]:
    start = {name: keys[name] for name in (_START_DATE, _START_TIME) if name in keys}
    yield from _start(start)
    for name, criterion in keys.items():
        if name not in STEP or name in start or isinstance(criterion.match, Universal):
            continue
        if name == _STATIONS:
            yield _station(criterion)
        elif name in _STEP_COLUMNS:
            yield on_column(_STEP_COLUMNS[name], criterion)
        else:
            yield _stored("step", "step_folded", name, criterion)


def _stored(column: str, folded: str, name: str, criterion: Criterion) -> Condition:
    if isinstance(criterion.match, Within):
        return in_items(f"w.{column} -> '{name}'", criterion.match)
    if name in NAMES:
        return in_array(f"w.{folded} -> '{name}'", criterion, name=True)
    return in_array(f"w.{column} -> '{name}'", criterion)


def _station(criterion: Criterion) -> Condition:
    """Return the condition that one of a step's stations matches."""
    if isinstance(criterion.match, Exact):
        return Condition("w.stations && %s::text[]", (list(criterion.match.values),))
    inner = on_column("t.v", criterion)
    return Condition(
        f"EXISTS (SELECT FROM unnest(w.stations) AS t(v) WHERE {inner.sql})", inner.values
    )


def _start(keys: Mapping[str, Criterion]) -> Iterator[Condition]:
    """Yield the conditions of start date and time.

    Ranges of both are one range, from the first day's time to the last day's (Table K.6-1).
    """
    days = _range(keys.get(_START_DATE))
    times = _range(keys.get(_START_TIME))
    if days:
        yield within("w.start_date", days[0], days[1])
    elif not _open(keys.get(_START_DATE)):
        yield NOTHING
    if not times:
        if not _open(keys.get(_START_TIME)):
            yield NOTHING
        return
    low, high = low_time(times[0]), high_time(times[1])
    if days and days[0] != days[1]:
        yield within(
            "(w.start_date || w.start_time)",
            days[0] + low if days[0] else "",
            days[1] + high if days[1] else "",
        )
    else:
        yield within("w.start_time", low, high)


def _range(criterion: Criterion | None) -> tuple[str, str] | None:
    match = criterion.match if criterion else None
    return (date(match.low), date(match.high)) if isinstance(match, Between) else None


def _open(criterion: Criterion | None) -> bool:
    return criterion is None or isinstance(criterion.match, Universal)
