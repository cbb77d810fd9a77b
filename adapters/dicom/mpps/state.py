"""The states of a performed procedure step, and what each message may do.

    (none) ──N-CREATE──> IN PROGRESS ──N-SET──> COMPLETED | DISCONTINUED
                          └──N-SET──┘

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_F.7.2
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from adapters.dicom.dataset import datetimes
from adapters.dicom.dataset.codes import DCM, coding
from adapters.dicom.dataset.identifier import Key, Keys, tag_of
from adapters.dicom.dataset.performed import COMPLETED, DISCONTINUED, IN_PROGRESS
from adapters.dicom.mpps.content import CHARACTER_SET, by_keyword
from adapters.dicom.network.statuses import (
    INVALID_VALUE,
    LIST_ERROR,
    MISSING_ATTRIBUTE,
    MISSING_VALUE,
    OPTIONAL_NOT_SUPPORTED,
    OUT_OF_RANGE,
    PROCESSING_FAILURE,
    SUCCESS,
)

FINAL: Final = frozenset((COMPLETED, DISCONTINUED))
STATES: Final = FINAL | {IN_PROGRESS}

MAY_NO_LONGER_BE_UPDATED: Final = 0xA710
"""Error ID of an N-SET after the end (PS3.4, F.7.2.2.2)."""

_STATUS = tag_of("PerformedProcedureStepStatus")
_SCHEDULED = tag_of("ScheduledStepAttributesSequence")
_STUDY = tag_of("StudyInstanceUID")
_SERIES = tag_of("PerformedSeriesSequence")
_REQUIRED = tuple(
    tag_of(name)
    for name in (
        "PerformedProcedureStepID",
        "PerformedStationAETitle",
        "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
        "Modality",
    )
)
_AT_END = tuple(
    tag_of(name) for name in ("PerformedProcedureStepEndDate", "PerformedProcedureStepEndTime")
)
# What Table F.7.2-1 does not allow in an N-SET: relationship, and where and when it began.
_FIXED = frozenset(
    tag_of(name)
    for name in (
        "SOPClassUID",
        "SOPInstanceUID",
        "ScheduledStepAttributesSequence",
        "PatientName",
        "PatientID",
        "IssuerOfPatientID",
        "IssuerOfPatientIDQualifiersSequence",
        "PatientBirthDate",
        "PatientSex",
        "ReferencedPatientSequence",
        "AdmissionID",
        "IssuerOfAdmissionIDSequence",
        "ServiceEpisodeID",
        "IssuerOfServiceEpisodeIDSequence",
        "ServiceEpisodeDescription",
        "PerformedProcedureStepID",
        "PerformedStationAETitle",
        "PerformedStationName",
        "PerformedLocation",
        "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
        "Modality",
        "StudyID",
    )
)
_DAYS = (tag_of("PerformedProcedureStepStartDate"), tag_of("PerformedProcedureStepEndDate"))
_TIMES = (tag_of("PerformedProcedureStepStartTime"), tag_of("PerformedProcedureStepEndTime"))
_ANY_DAY = "20000101"
_INCORRECT_WORKLIST_ENTRY = {"system": DCM, "code": "110514"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a message: a status, and the step as it is then; None: as before.

    `tags` are the attributes that the status is about; `flags` name what was irregular and
    is let pass.
    """

    status: int
    keys: Keys | None = None
    comment: str = ""
    error_id: int = 0
    tags: tuple[int, ...] = ()
    flags: tuple[str, ...] = ()


def created(sent: Keys, *, strict: bool) -> Verdict:
    """Return the verdict on an N-CREATE (PS3.4, F.7.2.1)."""
    status = _only(sent.get(_STATUS))
    if not status:
        code = MISSING_VALUE if _STATUS in sent else MISSING_ATTRIBUTE
        return Verdict(code, comment="There is no status", tags=(_STATUS,))
    if status != IN_PROGRESS:
        return Verdict(INVALID_VALUE, comment="A step begins as IN PROGRESS", tags=(_STATUS,))
    absent, empty = _lacking(sent)
    if strict and absent:
        return Verdict(MISSING_ATTRIBUTE, comment="Required attributes are absent", tags=absent)
    if strict and empty:
        return Verdict(MISSING_VALUE, comment="Required attributes are empty", tags=empty)
    return _taken(sent, sent, flags=("incomplete",) if absent or empty else (), strict=strict)


def changed(before: Keys, sent: Keys, *, strict: bool) -> Verdict:
    """Return the verdict on an N-SET of a step that is as `before` (PS3.4, F.7.2.2).

    Attributes are replaced whole, sequences too.
    """
    if state(before) in FINAL:
        return Verdict(
            PROCESSING_FAILURE,
            comment="The step may no longer be updated",
            error_id=MAY_NO_LONGER_BE_UPDATED,
        )
    status = _only(sent.get(_STATUS))
    if _STATUS in sent and status not in STATES:
        return Verdict(INVALID_VALUE, comment="There is no such status", tags=(_STATUS,))
    fixed = tuple(sorted(_FIXED & sent.keys()))
    kept = {tag: key for tag, key in sent.items() if tag not in _FIXED and tag != CHARACTER_SET}
    after = {**before, **kept}
    flags: tuple[str, ...] = ()
    if status == COMPLETED and (lacking := _lacking_at_end(after)):
        if strict:
            return Verdict(MISSING_VALUE, comment="The end or the series are absent", tags=lacking)
        flags = ("incomplete",)
    return _taken(after, kept, flags=flags, strict=strict, fixed=fixed)


def state(keys: Keys) -> str:
    """Return the state that a step says it is in."""
    return _only(keys.get(_STATUS))


def is_withdrawn(keys: Keys) -> bool:
    """Return whether it ended since the wrong worklist entry had been selected."""
    if state(keys) != DISCONTINUED:
        return False
    reasons = by_keyword(keys).get("PerformedProcedureStepDiscontinuationReasonCodeSequence", ())
    found = (coding(one) or {} for one in reasons)
    return any(_INCORRECT_WORKLIST_ENTRY.items() <= one.items() for one in found)


def selected(keys: Keys, wanted: Sequence[int]) -> tuple[Verdict, dict[int, Key]]:
    """Return what an N-GET answers: these attributes, all if none is named (PS3.4, F.8.2)."""
    if not wanted:
        return Verdict(SUCCESS), dict(keys)
    unknown = tuple(tag for tag in dict.fromkeys(wanted) if tag not in keys)
    status = OPTIONAL_NOT_SUPPORTED if unknown else SUCCESS
    return Verdict(status, tags=unknown), {tag: keys[tag] for tag in wanted if tag in keys}


def _taken(
    after: Keys,
    sent: Keys,
    *,
    flags: tuple[str, ...],
    strict: bool,
    fixed: tuple[int, ...] = (),
) -> Verdict:
    """Return a verdict that takes the message; a date or time that cannot be is told of."""
    wrong = _impossible(sent)
    if wrong and strict:
        return Verdict(INVALID_VALUE, comment="A date or time cannot be", tags=wrong)
    if wrong:
        flags = (*flags, "time")
    if fixed:
        comment = "Attributes of the creation were left as they are"
        return Verdict(LIST_ERROR, after, comment, tags=fixed, flags=flags)
    if wrong:
        return Verdict(OUT_OF_RANGE, after, "A date or time cannot be", tags=wrong, flags=flags)
    return Verdict(SUCCESS, after, flags=flags)


def _lacking(sent: Keys) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return which required attributes are absent, and which are empty."""
    absent = [tag for tag in _REQUIRED if tag not in sent]
    empty = [tag for tag in _REQUIRED if tag in sent and not _only(sent[tag])]
    steps = sent.get(_SCHEDULED)
    if steps is None:
        return (_SCHEDULED, *absent), tuple(empty)
    items: Iterable[Mapping[int, Key]] = steps.values
    if not steps.values or any(_STUDY not in item for item in items):
        absent.append(_STUDY)
    elif any(not _only(item[_STUDY]) for item in steps.values):
        empty.append(_STUDY)
    return tuple(absent), tuple(empty)


def _lacking_at_end(after: Keys) -> tuple[int, ...]:
    lacking = [tag for tag in _AT_END if not _only(after.get(tag))]
    series = after.get(_SERIES)
    return (*lacking, *(() if series and series.values else (_SERIES,)))


def _impossible(sent: Keys) -> tuple[int, ...]:
    days = [tag for tag in _DAYS if (value := _only(sent.get(tag))) and not datetimes.day(value)]
    times = [tag for tag in _TIMES if (value := _only(sent.get(tag))) and not _is_time(value)]
    return (*days, *times)


def _is_time(value: str) -> bool:
    made = datetimes.date_time(_ANY_DAY, value)
    hours = value.strip()
    return "T" in (made or "") or (len(hours) == 2 and hours.isdigit() and int(hours) < 24)  # noqa: PLR2004


def _only(key: Key | None) -> str:
    return str(key.values[0]).strip() if key and key.values else ""
