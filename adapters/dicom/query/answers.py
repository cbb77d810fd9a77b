"""Rows of the index as the identifiers of C-FIND responses.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_C.4.1.1.3.2
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from adapters.dicom.dataset.charset import defined_terms
from adapters.dicom.dataset.identifier import Key, Keys, keyword, tag_of, terms_of, vr_of, write
from adapters.dicom.dataset.levels import UNIQUE, Level
from adapters.dicom.network.statuses import PENDING
from adapters.dicom.query.statement import Statement, returnable

PENDING_WITHOUT_KEYS = 0xFF01

Record = Mapping[str, Sequence[Any]]
"""The attributes of one answer by keyword: texts, numbers, or items likewise."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the requester asked for, and in which form answers go to it."""

    level: Level
    keys: Keys
    parents: tuple[Level, ...]
    transfer_syntax: str
    ae_title: str
    character_set: str = ""

    def keywords(self) -> frozenset[str]:
        """Return the keywords of all keys."""
        return frozenset(map(keyword, self.keys))

    def status(self) -> int:
        """Return the status of pending responses: whether each key is supported."""
        all_known = all(returnable(keyword(tag), self.level) for tag in self.keys)
        return PENDING if all_known else PENDING_WITHOUT_KEYS


def record(level: Level, row: Sequence[Any], counted: Sequence[str]) -> Record:
    """Return the attributes in a row of `statement.matches`.

    What the study says goes before what an instance says, since it was corrected there.
    """
    study, series = _parsed(row[1]), {}
    found: dict[str, Sequence[Any]] = {}
    at = 2
    if level in {Level.SERIES, Level.IMAGE}:
        series = {**_parsed(row[3]), "SeriesInstanceUID": [row[2]]}
        at = 4
    if level is Level.IMAGE:
        uid, sop_class, transfer_syntax, attributes = row[4:8]
        found = {
            **msgspec.json.decode(attributes),
            "SOPInstanceUID": [uid],
            "SOPClassUID": [sop_class],
            "AvailableTransferSyntaxUID": [transfer_syntax],
        }
        at = 8
    found = {**found, **series, **study}
    if level is not Level.PATIENT:
        found["StudyInstanceUID"] = [row[0]]
    for name, value in zip(counted, row[at:], strict=True):
        found[name] = [one for one in value or () if one] if not isinstance(value, int) else [value]
    return found


@lru_cache(maxsize=64)
def _parsed(text: str) -> dict[str, Any]:
    """Return an object of JSON; the instances of a series share that of their study."""
    return dict(msgspec.json.decode(text))


def answer(asked: Asked, found: Record) -> bytes:
    """Return the identifier of a response: each requested key, empty where nothing is known.

    The unique keys of the level and above it, the level and where to retrieve from are
    always there.
    """
    terms = terms_of(asked.keys) or defined_terms(asked.character_set)
    return write(_elements(asked, found), asked.transfer_syntax, terms)


def _elements(asked: Asked, found: Record) -> Iterator[Key]:
    yield from requested(asked.keys, found, lambda name: returnable(name, asked.level))
    for level in asked.parents:
        yield element(UNIQUE[level], found.get(UNIQUE[level], ()))
    yield element("QueryRetrieveLevel", (asked.level.value,))
    yield element("RetrieveAETitle", (asked.ae_title,))
    if tag_of("InstanceAvailability") in asked.keys:
        yield element("InstanceAvailability", ("ONLINE",))


def requested(keys: Keys, found: Record, known: Callable[[str], bool]) -> Iterator[Key]:
    """Yield the elements that were asked for, empty where they are not `known` or not found."""
    for tag, key in keys.items():
        name = keyword(tag)
        vr = vr_of(tag) if name else key.vr
        yield Key(tag, vr, _values(vr, found[name], key) if known(name) and name in found else ())


def element(name: str, values: Sequence[Any]) -> Key:
    """Return the element of a keyword, with values that are no items."""
    tag = tag_of(name)
    return Key(tag, vr_of(tag), tuple(values))


def _values(vr: str, values: Sequence[Any], key: Key) -> tuple[Any, ...]:
    if vr != "SQ":
        return tuple(values)
    wanted = key.values[0] if key.values and isinstance(key.values[0], Mapping) else {}
    return tuple(_item(item, wanted) for item in values)


def _item(item: Mapping[str, Sequence[Any]], wanted: Keys) -> dict[int, Key]:
    """Return an item with the attributes that were asked for, all if none was."""
    if wanted:
        return {key.tag: key for key in requested(wanted, item, lambda _: True)}
    made = (_nested(name, values) for name, values in item.items())
    return {key.tag: key for key in made}


def _nested(name: str, values: Sequence[Any]) -> Key:
    made = element(name, values)
    if made.vr != "SQ":
        return made
    return Key(made.tag, "SQ", tuple(_item(item, {}) for item in values))


def limited(statement: Statement, limit: int) -> Statement:
    """Return the statement with a limit one higher, which tells that there is more."""
    return Statement(f"{statement.sql} LIMIT %s", (*statement.values, limit + 1), statement.counted)
