"""Criteria as SQL conditions over the index.

The tables are `s` (dicom_study), `e` (dicom_series) and `i` (dicom_instance). Text that
comes from a query is only ever a parameter, keywords are those of the dictionary.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_C.2.2.2
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from adapters.dicom.dataset.levels import LEVEL_OF, NAMES, Level
from adapters.dicom.query.matching import (
    Between,
    Criterion,
    Empty,
    Exact,
    Fuzzy,
    Universal,
    Wild,
    Within,
    date,
    high_moment,
    high_time,
    low_moment,
    low_time,
    pn,
)

COMPUTED = frozenset(("ModalitiesInStudy", "SOPClassesInStudy"))
"""What is matched although no row holds it: some series or instance of the study has it."""

COLUMNS = {
    "StudyInstanceUID": "s.study_instance_uid",
    "SeriesInstanceUID": "e.series_instance_uid",
    "SOPInstanceUID": "i.sop_instance_uid",
    "SOPClassUID": "i.sop_class_uid",
    "AvailableTransferSyntaxUID": "i.transfer_syntax_uid",
    "PatientID": "s.patient_id",
    "IssuerOfPatientID": "s.patient_issuer",
    "AccessionNumber": "s.accession_number",
    "Modality": "e.modality",
    "StudyDate": "s.study_date",
}
_KEPT_AS_ATTRIBUTES = frozenset(
    ("PatientID", "IssuerOfPatientID", "AccessionNumber", "Modality", "StudyDate")
)
_NUMBERS = {"SeriesNumber": "e.series_number", "InstanceNumber": "i.instance_number"}
_ALIASES = {Level.PATIENT: "s", Level.STUDY: "s", Level.SERIES: "e", Level.IMAGE: "i"}
_PATIENT_NAMES = ("s.patient_name", "s.patient_ideographic", "s.patient_phonetic")

_SOME = "EXISTS (SELECT FROM jsonb_array_elements_text({array}) AS t(v) WHERE {condition})"
_IN_STUDY = {
    "ModalitiesInStudy": "EXISTS (SELECT FROM dicom_series m "
    "WHERE m.study_instance_uid = s.study_instance_uid AND {condition} AND "
    "EXISTS (SELECT FROM dicom_instance n WHERE n.study_instance_uid = m.study_instance_uid "
    "AND n.series_instance_uid = m.series_instance_uid AND n.state = 'live'))",
    "SOPClassesInStudy": "EXISTS (SELECT FROM dicom_instance n "
    "WHERE n.study_instance_uid = s.study_instance_uid AND n.state = 'live' AND {condition})",
}
_IN_STUDY_COLUMNS = {"ModalitiesInStudy": "m.modality", "SOPClassesInStudy": "n.sop_class_uid"}

# What is stored need not be a date or a time: then it is in no range.
_DATE = (
    "(CASE WHEN {0} ~ '^[0-9]{{4}}[.]?[0-9]{{2}}[.]?[0-9]{{2}}$' THEN replace({0}, '.', '') END)"
)
_TIME = (
    "(CASE WHEN replace({0}, ':', '') ~ '^([0-9]{{2}}){{1,3}}([.][0-9]{{1,6}})?$' THEN "
    "replace({0}, ':', '') || substr('000000.000000', length(replace({0}, ':', '')) + 1) END)"
)
_MOMENT = (
    "(CASE WHEN {0} ~ '^[0-9]{{4,14}}([.][0-9]{{1,6}})?([+-][0-9]{{4}})?$' THEN "
    "regexp_replace({0}, '[+-][0-9]{{4}}$', '') || substr('00000101000000.000000', "
    "length(regexp_replace({0}, '[+-][0-9]{{4}}$', '')) + 1) END)"
)
_INTEGER = "(CASE WHEN {0} ~ '^ *[+-]?[0-9]{{1,18}} *$' THEN {0}::bigint END)"

_COMBINED = (
    ("StudyDate", "StudyTime"),
    ("SeriesDate", "SeriesTime"),
    ("ContentDate", "ContentTime"),
    ("AcquisitionDate", "AcquisitionTime"),
    ("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"),
)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Condition:
    """An SQL condition with its parameters, in order."""

    sql: str
    values: tuple[Any, ...] = ()


NOTHING = Condition("false")


def conditions(keys: Mapping[str, Criterion], *, combined: bool = False) -> list[Condition]:
    """Return the conditions of those keys that are matched; others ask for nothing.

    `combined` makes one range of a date and its time, where both are given (PS3.4,
    C.2.2.2.5.4).
    """
    asked = {
        name: criterion
        for name, criterion in keys.items()
        if is_matched(name) and not isinstance(criterion.match, Universal)
    }
    pairs = _pairs(asked) if combined else []
    paired = {name for pair in pairs for name in pair}
    return [_pair(*pair, asked) for pair in pairs] + [
        condition(name, criterion) for name, criterion in asked.items() if name not in paired
    ]


def is_matched(name: str) -> bool:
    """Return whether instances can be selected by this attribute."""
    return name in LEVEL_OF or name in COMPUTED


def condition(name: str, criterion: Criterion) -> Condition:
    """Return the condition of one attribute that is matched."""
    if isinstance(criterion.match, Empty):
        return _empty(name)
    if name in COMPUTED:
        inner = on_column(_IN_STUDY_COLUMNS[name], criterion)
        return Condition(_IN_STUDY[name].format(condition=inner.sql), inner.values)
    if name == "PatientName":
        found = [on_column(column, criterion, name=True) for column in _PATIENT_NAMES]
        return Condition(
            "(" + " OR ".join(one.sql for one in found) + ")",
            tuple(value for one in found for value in one.values),
        )
    if name in _NUMBERS and isinstance(criterion.match, Exact):
        return Condition(f"{_NUMBERS[name]} = ANY (%s)", (_integers(criterion.match),))
    if name in COLUMNS:
        own = on_column(COLUMNS[name], criterion)
        return _of_either(own, criterion) if name == "PatientID" else own
    return _within_array(f"{_ALIASES[LEVEL_OF[name]]}.{{}} -> '{name}'", name, criterion)


def _of_either(own: Condition, criterion: Criterion) -> Condition:
    """Return the condition on a Patient ID, also of studies that were given to another patient.

    They are found by the id that was sent as well.
    """
    if not isinstance(criterion.match, Exact):
        return own
    sent = (*own.values, list(criterion.match.values))
    return Condition(f"({own.sql} OR s.other_patient_ids && %s)", sent)


def _empty(name: str) -> Condition:
    """Return the condition that a row has no value; rows hold no empty attributes."""
    if name in COMPUTED:
        some = _IN_STUDY[name].format(condition=f"{_IN_STUDY_COLUMNS[name]} IS NOT NULL")
        return Condition(f"NOT {some}")
    if name in COLUMNS and name not in _KEPT_AS_ATTRIBUTES:
        return NOTHING  # Without a UID there is no row.
    return Condition(f"NOT {_ALIASES[LEVEL_OF[name]]}.attributes ? '{name}'")


def _within_array(path: str, name: str, criterion: Criterion) -> Condition:
    """Return the condition on the values, or items, that a row's JSON has of an attribute."""
    if isinstance(criterion.match, Within):
        return in_items(path.format("attributes"), criterion.match)
    folded = name in NAMES
    return in_array(path.format("folded" if folded else "attributes"), criterion, name=folded)


def in_array(array: str, criterion: Criterion, *, name: bool = False) -> Condition:
    """Return the condition that one text of a JSON array matches; `name`: as names compare."""
    inner = on_column("t.v", criterion, name=name)
    return Condition(_SOME.format(array=array, condition=inner.sql), inner.values)


def in_items(array: str, match: Within, depth: int = 0) -> Condition:
    """Return the condition that one item of a JSON array has all that is asked."""
    item = f"item{depth}"
    parts: list[Condition] = []
    for name, criterion in match.keys.items():
        inner = f"{item}.v -> '{name}'"
        if isinstance(criterion.match, Empty):
            parts.append(Condition(f"{inner} IS NULL"))
        elif isinstance(criterion.match, Within):
            parts.append(in_items(inner, criterion.match, depth + 1))
        elif not isinstance(criterion.match, Universal):
            one = on_column("t.v", criterion)
            parts.append(Condition(_SOME.format(array=inner, condition=one.sql), one.values))
    return Condition(
        f"EXISTS (SELECT FROM jsonb_array_elements({array}) AS {item}(v) WHERE "
        + " AND ".join(part.sql for part in parts)
        + ")",
        tuple(value for part in parts for value in part.values),
    )


def on_column(column: str, criterion: Criterion, *, name: bool = False) -> Condition:
    """Return the condition that a text matches; `name`: a person name as it is compared."""
    match = criterion.match
    if isinstance(match, Exact):
        return _exact(column, criterion.vr, match)
    if isinstance(match, Between):
        return _between(column, criterion.vr, match)
    if isinstance(match, Fuzzy):
        return _fuzzy(column, match)
    if isinstance(match, Wild):
        return Condition(f"{column} LIKE %s", (like(pn(match.pattern) if name else match.pattern),))
    return NOTHING  # A sequence cannot match text.


def _exact(column: str, vr: str, match: Exact) -> Condition:
    if vr in {"IS", "US", "UL", "SS", "SL"}:
        return Condition(f"{_INTEGER.format(column)} = ANY (%s)", (_integers(match),))
    if len(match.values) == 1:
        return Condition(f"{column} = %s", match.values)
    return Condition(f"{column} = ANY (%s)", (list(match.values),))


def _fuzzy(column: str, match: Fuzzy) -> Condition:
    """Return the condition that each word begins some word of a name."""
    one = f"(' ' || replace({column}, '^', ' ')) LIKE %s"
    return Condition(
        "(" + " AND ".join(one for _ in match.words) + ")",
        tuple(f"% {like(word)}%" for word in match.words),
    )


def _integers(match: Exact) -> list[int]:
    return [int(value) for value in match.values if _WHOLE.fullmatch(value)]


def like(pattern: str) -> str:
    """Return a pattern of LIKE: `%` and `_` in it stand for themselves."""
    plain = re.sub(r"([\\%_])", r"\\\1", pattern)
    return plain.replace("*", "%").replace("?", "_")


_FORMS: Mapping[str, tuple[str, Callable[[str], str], Callable[[str], str]]] = {
    "DA": (_DATE, date, date),
    "TM": (_TIME, low_time, high_time),
    "DT": (_MOMENT, low_moment, high_moment),
}


def _between(column: str, vr: str, match: Between) -> Condition:
    form, low, high = _FORMS[vr]
    # The column has only dates of one form; as it is, its index serves.
    value = column if column == COLUMNS["StudyDate"] else f'{form.format(column)} COLLATE "C"'
    return in_range(
        value, low(match.low) if match.low else "", high(match.high) if match.high else ""
    )


def in_range(value: str, low: str, high: str) -> Condition:
    """Return the condition that a text lies from `low` to `high`, each included; "" is open."""
    if low and low == high:
        return Condition(f"{value} = %s", (low,))
    parts = ([(">=", low)] if low else []) + ([("<=", high)] if high else [])
    return Condition(
        "(" + " AND ".join(f"{value} {sign} %s" for sign, _ in parts) + ")",
        tuple(bound for _, bound in parts),
    )


def _pairs(asked: Mapping[str, Criterion]) -> list[tuple[str, str]]:
    return [
        (day, time)
        for day, time in _COMBINED
        if day in asked
        and time in asked
        and isinstance(asked[day].match, Between)
        and isinstance(asked[time].match, Between)
    ]


def _pair(day: str, time: str, asked: Mapping[str, Criterion]) -> Condition:
    """Return the condition that a date and its time lie in one range of both."""
    days, times = asked[day].match, asked[time].match
    if not isinstance(days, Between) or not isinstance(times, Between):
        return NOTHING
    low = date(days.low) + low_time(times.low) if days.low else ""
    high = date(days.high) + high_time(times.high) if days.high else ""
    return in_range(f'({_first(day, _DATE)} || {_first(time, _TIME)}) COLLATE "C"', low, high)


def _first(name: str, form: str) -> str:
    """Return the first value of a date or time in a row's JSON, in the form that compares."""
    return form.format(f"({_ALIASES[LEVEL_OF[name]]}.attributes -> '{name}' ->> 0)")
