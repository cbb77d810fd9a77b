"""The query information models: which levels they have, and what an identifier must give.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_C.6
https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_C.4.1.2.2
"""

from adapters.dicom.dataset.elements import Broken
from adapters.dicom.dataset.identifier import Keys, read, tag_of
from adapters.dicom.dataset.levels import UNIQUE, Level
from adapters.dicom.network import classes
from adapters.dicom.query.matching import Malformed

_PATIENT_ROOT = (Level.PATIENT, Level.STUDY, Level.SERIES, Level.IMAGE)
_STUDY_ROOT = _PATIENT_ROOT[1:]
_PATIENT_STUDY_ONLY = _PATIENT_ROOT[:2]
_MODELS = {
    classes.PATIENT_ROOT_FIND: _PATIENT_ROOT,
    classes.PATIENT_ROOT_MOVE: _PATIENT_ROOT,
    classes.PATIENT_ROOT_GET: _PATIENT_ROOT,
    classes.STUDY_ROOT_FIND: _STUDY_ROOT,
    classes.STUDY_ROOT_MOVE: _STUDY_ROOT,
    classes.STUDY_ROOT_GET: _STUDY_ROOT,
    **dict.fromkeys(classes.RETIRED, _PATIENT_STUDY_ONLY),
}
_WILD = frozenset("*?")


def identifier(data: bytes, transfer_syntax: str) -> Keys:
    """Return the keys of an identifier; Malformed when it is none."""
    try:
        return read(data, transfer_syntax)
    except Broken as error:
        raise Malformed(str(error)) from None


def level_of(keys: Keys, abstract_syntax: str) -> Level:
    """Return the level of an identifier; Malformed when the model has no such level."""
    stated = values(keys, "QueryRetrieveLevel")
    level = next((one for one in Level if list(stated) == [one.value]), None)
    if level is None or level not in _MODELS[abstract_syntax]:
        raise Malformed("The information model has no such Query/Retrieve Level")
    return level


def check_hierarchy(keys: Keys, abstract_syntax: str, level: Level) -> None:
    """Raise Malformed unless each unique key above the level is one value (C.4.1.2.2.1)."""
    model = _MODELS[abstract_syntax]
    for above in model[: model.index(level)]:
        given = values(keys, UNIQUE[above])
        if len(given) != 1 or _WILD & set(given[0]):
            raise Malformed(f"{UNIQUE[above]} above the level is not a single value")


def unique_keys(keys: Keys, abstract_syntax: str, level: Level, *, relational: bool) -> None:
    """Raise Malformed unless the unique key of the level is given, and those above it.

    At the level there may be a list; nothing may be a pattern (PS3.4, C.4.2.2.1).
    """
    given = values(keys, UNIQUE[level])
    if not given or any(_WILD & set(value) for value in given):
        raise Malformed(f"{UNIQUE[level]} is not given")
    if not relational:
        check_hierarchy(keys, abstract_syntax, level)


def levels(abstract_syntax: str) -> tuple[Level, ...]:
    """Return the levels of a model from the top."""
    return _MODELS[abstract_syntax]


def values(keys: Keys, keyword: str) -> tuple[str, ...]:
    """Return the values of a key as text, none when it is absent or empty."""
    key = keys.get(tag_of(keyword))
    return tuple(str(value) for value in key.values if value != "") if key else ()
