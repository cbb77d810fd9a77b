"""The parameters of a search: what is matched, what is returned, and which part of it.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_8.3.4
https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_10.6
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom.datadict import tag_for_keyword

from adapters.dicom.dataset.identifier import keyword, tag_of, vr_of
from adapters.dicom.dataset.levels import UNIQUE, Level
from adapters.dicom.query.matching import (
    Criterion,
    Empty,
    Exact,
    Match,
    Universal,
    Within,
    fuzzy,
    text_match,
    within,
)
from adapters.dicom.query.statement import COUNTED, selectable
from fhir_server.errors import BadRequest

ALL: Final = "all"

_CONTROLS = frozenset(
    ("includefield", "fuzzymatching", "emptyvaluematching", "limit", "offset", "accept", "charset")
)
_HEX = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_COUNT = re.compile(r"\d{1,18}", re.ASCII)
# Fields that every answer has (PS3.18, Tables 10.6.3-3 to 10.6.3-5); the parents' UIDs come
# with those that are below them.
# fmt: off
DEFAULTS: Final[Mapping[Level, tuple[str, ...]]] = {
    Level.STUDY: (
        "StudyDate", "StudyTime", "AccessionNumber", "InstanceAvailability", "ModalitiesInStudy",
        "ReferringPhysicianName", "TimezoneOffsetFromUTC", "PatientName", "PatientID",
        "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID",
        "NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances",
    ),
    Level.SERIES: (
        "Modality", "TimezoneOffsetFromUTC", "SeriesDescription", "SeriesInstanceUID",
        "SeriesNumber", "NumberOfSeriesRelatedInstances", "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime", "RequestAttributesSequence",
    ),
    Level.IMAGE: (
        "SOPClassUID", "SOPInstanceUID", "InstanceAvailability", "TimezoneOffsetFromUTC",
        "InstanceNumber", "Rows", "Columns", "BitsAllocated", "NumberOfFrames",
    ),
}
# fmt: on
IF_KNOWN: Final = frozenset(
    (
        *("TimezoneOffsetFromUTC", "Rows", "Columns", "BitsAllocated", "NumberOfFrames"),
        *("PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"),
        "RequestAttributesSequence",
    )
)
"""Default fields that are left out where they have no value; the others are then empty."""

_DEPTH: Final = (Level.STUDY, Level.SERIES, Level.IMAGE)
OF_PATIENT: Final = frozenset(name for name, (level, _) in COUNTED.items() if level == "PATIENT")
"""What is counted over all studies of a patient."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say: results without a limit and at most, and whether to be strict."""

    limit: int
    most: int
    strict: bool


@dataclass(frozen=True, slots=True)
class Search:
    """A search as it is understood.

    `fields` are the keywords to return, `whole` asks for every one that is known;
    `ignored` are attributes that were given and are not matched.
    """

    level: Level
    keys: Mapping[str, Criterion]
    fields: frozenset[str]
    whole: bool
    limit: int
    offset: int
    ignored: tuple[str, ...] = ()

    def computed(self) -> frozenset[str]:
        """Return the keywords that may have to be computed for each result."""
        return frozenset(COUNTED) - OF_PATIENT | self.fields if self.whole else self.fields


def search(
    level: Level, above: Mapping[Level, str], pairs: Sequence[tuple[str, str]], rules: Rules
) -> Search:
    """Return what the query parameters ask for; `above` are the UIDs of the path.

    Raises BadRequest for what is no attribute or no number, and, if strict, for an
    attribute that cannot be matched.
    """
    controls, attributes = _separated(pairs)
    loose = _flag(controls, "fuzzymatching")
    empty = _flag(controls, "emptyvaluematching")
    keys: dict[str, Criterion] = {}
    for path, value in attributes:
        names = [name_of(part) for part in path.split(".")]
        _put(keys, names, _criterion(names[-1], value, loose=loose, empty=empty))
    ignored = _unmatched(keys, level)
    if ignored and rules.strict:
        raise BadRequest(f"{ignored[0]} cannot be matched in this search", expression=ignored[0])
    fields, whole = _fields(controls.get("includefield", ()))
    limit = _count(controls, "limit", rules.limit)
    return Search(
        level,
        _within(above, {name: one for name, one in keys.items() if name not in ignored}),
        frozenset((*_defaults(level, above), *keys, *fields)),
        whole,
        min(limit, rules.most),
        _count(controls, "offset", 0),
        ignored,
    )


def name_of(text: str) -> str:
    """Return the keyword of an attribute, given as such or by its tag. Raises BadRequest."""
    name = keyword(int(text, 16)) if _HEX.fullmatch(text) else text
    if not name or tag_for_keyword(name) is None:
        raise BadRequest("There is no such attribute", expression=text)
    return name


def _separated(
    pairs: Sequence[tuple[str, str]],
) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    controls: dict[str, list[str]] = {}
    attributes: list[tuple[str, str]] = []
    for name, value in pairs:
        if name in _CONTROLS:
            controls.setdefault(name, []).append(value)
        else:
            attributes.append((name, value))
    return controls, attributes


def _flag(controls: Mapping[str, Sequence[str]], name: str) -> bool:
    value = controls.get(name, ["false"])
    if len(value) > 1 or value[0] not in {"true", "false"}:
        raise BadRequest(f"{name} is true or false", expression=name)
    return value[0] == "true"


def _count(controls: Mapping[str, Sequence[str]], name: str, default: int) -> int:
    value = controls.get(name, [str(default)])
    if len(value) > 1 or not _COUNT.fullmatch(value[0]):
        raise BadRequest(f"{name} is a whole number", expression=name)
    return int(value[0])


def _criterion(name: str, value: str, *, loose: bool, empty: bool) -> Criterion:
    vr = vr_of(tag_of(name))
    if empty and value in {"", '""'}:
        return Criterion(vr, Empty())
    if vr == "SQ" and value:
        raise BadRequest("A sequence is matched by its attributes", expression=name)
    match: Match
    if vr == "PN" and loose:
        match = fuzzy(value)
    elif vr == "UI":
        match = text_match(vr, re.split(r"[,\\]", value))
    else:
        match = text_match(vr, value.split("\\"))
    return Criterion(vr, match)


def _put(keys: dict[str, Criterion], names: Sequence[str], criterion: Criterion) -> None:
    """Add a criterion; those of one sequence are of one item of it."""
    name, *rest = names
    if rest:
        if vr_of(tag_of(name)) != "SQ":
            raise BadRequest("Only a sequence has attributes", expression=name)
        known = keys.get(name)
        inner = dict(known.match.keys) if known and isinstance(known.match, Within) else {}
        _put(inner, rest, criterion)
        keys[name] = Criterion("SQ", within(inner))
        return
    if name in keys:
        raise BadRequest("An attribute is given twice", expression=name)
    keys[name] = criterion


def _unmatched(keys: Mapping[str, Criterion], level: Level) -> tuple[str, ...]:
    """Return the attributes that are to be matched and cannot be."""
    return tuple(
        name
        for name, one in keys.items()
        if not isinstance(one.match, Universal) and not selectable(name, level)
    )


def _fields(given: Iterable[str]) -> tuple[set[str], bool]:
    """Return what `includefield` names, and whether that is all.

    A tag that nobody knows names nothing that could be returned (PS3.18, 8.3.4.3).
    """
    parts = [part for value in given for part in value.split(",") if part]
    whole = ALL in parts
    heads = [part.partition(".")[0] for part in parts if part != ALL]
    unknown = {part for part in heads if _HEX.fullmatch(part) and not keyword(int(part, 16))}
    return {name_of(part) for part in heads if part not in unknown}, whole


def _defaults(level: Level, above: Mapping[Level, str]) -> Iterable[str]:
    for one in _DEPTH[: _DEPTH.index(level) + 1]:
        if one is level or one not in above:
            yield from DEFAULTS[one]
        yield UNIQUE[one]


def _within(above: Mapping[Level, str], keys: Mapping[str, Criterion]) -> dict[str, Criterion]:
    """Return the keys with the UIDs of the path, which keys may only narrow."""
    found = dict(keys)
    for level, uid in above.items():
        match = found[UNIQUE[level]].match if UNIQUE[level] in found else None
        outside = isinstance(match, Exact) and uid not in match.values
        found[UNIQUE[level]] = Criterion("UI", Exact(() if outside else (uid,)))
    return found
