"""Matching of attributes: what the value of a query key asks for.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_C.2.2.2
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from adapters.dicom.dataset.identifier import Key, Keys, keyword, vr_of
from adapters.dicom.dataset.names import searched

_WILD = frozenset(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"))
_RANGED = frozenset(("DA", "TM", "DT"))
_OFFSET = re.compile(r"[+-]\d{4}$")


@dataclass(frozen=True, slots=True)
class Universal:
    """Anything, and nothing too: the attribute is only to be returned."""


@dataclass(frozen=True, slots=True)
class Exact:
    """One of these values; person names and numbers in the form that is compared."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wild:
    """A pattern in which `*` is any text and `?` any character."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Between:
    """A date, time or date-time from `low` to `high`, each included; "" is open."""

    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Within:
    """One item of a sequence in which all of these match, by keyword."""

    keys: Mapping[str, "Criterion"]


@dataclass(frozen=True, slots=True)
class Empty:
    """No value (PS3.18, 8.3.4.5: `emptyvaluematching`)."""


@dataclass(frozen=True, slots=True)
class Fuzzy:
    """A person name in which each of these words, as they are compared, begins some word."""

    words: tuple[str, ...]


Match = Universal | Exact | Wild | Between | Within | Empty | Fuzzy


@dataclass(frozen=True, slots=True)
class Criterion:
    """What one attribute must match, with its VR."""

    vr: str
    match: Match


class Malformed(Exception):
    """A key cannot be understood; the text names the rule, never a value."""


def criteria(keys: Keys) -> dict[str, Criterion]:
    """Return the criterion of each key by keyword; keys without a keyword are left out.

    Raises Malformed.
    """
    return {name: criterion(vr_of(tag), key) for tag, key in keys.items() if (name := keyword(tag))}


def criterion(vr: str, key: Key) -> Criterion:
    """Return what a key of an attribute with this VR asks for. Raises Malformed."""
    if vr == "SQ":
        if key.vr != "SQ" and key.values:
            raise Malformed("An element of the identifier should be a sequence")
        return Criterion(vr, _within(key))
    return Criterion(vr, text_match(vr, [str(value) for value in key.values]))


def text_match(vr: str, values: list[str]) -> Match:
    """Return what these values of an attribute ask for, none being universal."""
    given = [value for value in values if value]
    if not given or (vr in _WILD and set("".join(given)) == {"*"}):
        return Universal()
    if vr in _RANGED:
        return _dated(vr, given[0]) if len(given) == 1 else Exact(tuple(given))
    if vr == "PN":
        given = [pn(value) for value in given]
    if len(given) == 1 and vr in _WILD and ("*" in given[0] or "?" in given[0]):
        return Wild(given[0])
    return Exact(tuple(given))


def pn(value: str) -> str:
    """Return a name of a key as it is compared: its first group that asks for something.

    A group of `*` alone leaves it to the others.
    """
    groups = [group for group in searched(value) if group]
    return next((group for group in groups if group.strip("*^")), groups[0] if groups else "")


def fuzzy(value: str) -> Match:
    """Return what a name asks for that need not be whole; wildcards are none in it."""
    words = pn(value.replace("*", " ").replace("?", " ")).replace("^", " ").split()
    return Fuzzy(tuple(words)) if words else Universal()


def within(keys: Mapping[str, Criterion]) -> Match:
    """Return what one item of a sequence must match, all of these; universal keys ask nothing."""
    asked = {name: one for name, one in keys.items() if not isinstance(one.match, Universal)}
    return Within(asked) if asked else Universal()


def _within(key: Key) -> Match:
    if not key.values:
        return Universal()
    if len(key.values) > 1:
        raise Malformed("A sequence of the identifier has more than one item")
    return within(criteria(key.values[0]))


def _dated(vr: str, value: str) -> Match:
    low, hyphen, high = _split(vr, value)
    if not hyphen:
        return Between(value, value)
    if not low and not high:
        return Universal()
    return Between(low, high)


def _split(vr: str, value: str) -> tuple[str, str, str]:
    """Split a range at its hyphen; in DT that of an offset is none (PS3.4, C.2.2.2.5.3)."""
    if vr != "DT":
        low, hyphen, high = value.partition("-")
        return low.strip(), hyphen, high.strip()
    for place in (index for index, character in enumerate(value) if character == "-"):
        low, high = value[:place], value[place + 1 :]
        if _is_moment(low) and _is_moment(high):
            return low, "-", high
    return value, "", ""


def _is_moment(text: str) -> bool:
    """Return whether this is a DT value, or nothing.

    No offset is beyond fourteen hours and no year before 1500, which tells `-0500` behind
    a date-time from the end of a range.
    """
    return not text or _MOMENT.fullmatch(text) is not None


_MOMENT = re.compile(
    r"(1[5-9]|[2-9]\d)\d{2}(\d{2}(\d{2}(\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?)?)?)?([+-](0\d|1[0-4])\d{2})?",
    re.ASCII,
)


def low_time(value: str) -> str:
    """Return the first moment of a TM value as HHMMSS.FFFFFF."""
    return _padded(value, "000000.000000")


def high_time(value: str) -> str:
    """Return the last moment of a TM value as HHMMSS.FFFFFF."""
    return _padded(value, "235959.999999")


def low_moment(value: str) -> str:
    """Return the first moment of a DT value, without its offset."""
    return _padded(_OFFSET.sub("", value), "00000101000000.000000")


def high_moment(value: str) -> str:
    """Return the last moment of a DT value, without its offset."""
    return _padded(_OFFSET.sub("", value), "99991231235959.999999")


def date(value: str) -> str:
    """Return a DA value without the dots of its old form."""
    return value.replace(".", "")


def _padded(value: str, full: str) -> str:
    plain = value.replace(":", "").strip()
    return plain + full[len(plain) :]
