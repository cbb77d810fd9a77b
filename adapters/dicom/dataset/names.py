"""Person names: up to three groups of five components.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html#sect_6.2.1
https://hl7.org/fhir/R4/datatypes.html#HumanName
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

_REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
_GROUPS = ("ABC", "IDE", "SYL")
_NOT_LETTERS = re.compile(r"[\W_]+")
_FAMILY, _GIVEN, _MIDDLE, _PREFIX, _SUFFIX = range(5)


def human_names(value: str) -> list[dict[str, Any]]:
    """Return a HumanName for each group that is not empty: alphabetic, ideographic, phonetic.

    The groups are marked when there is more than one.
    """
    groups = [
        (code, group)
        for code, group in zip(_GROUPS, value.split("="), strict=False)
        if group.strip(" ^")
    ]
    names = [_human_name(group) for _, group in groups]
    if len(names) > 1:
        for name, (code, _) in zip(names, groups, strict=True):
            name["extension"] = [{"url": _REPRESENTATION, "valueCode": code}]
    return names


def person_name(name: Mapping[str, Any]) -> str:
    """Return a HumanName as the alphabetic group of a PN value, "" when it says nothing.

    What separates components in DICOM is no part of a name.
    """
    given = list(map(str, name.get("given", ())))
    parts = [
        str(name.get("family", "")),
        *(given[:1] or [""]),
        " ".join(given[1:]),
        " ".join(map(str, name.get("prefix", ()))),
        " ".join(map(str, name.get("suffix", ()))),
    ]
    if not any(parts):
        parts = [str(name.get("text", ""))]
    return "^".join(" ".join(re.sub(r"[\^=]", " ", part).split()) for part in parts).rstrip("^")


def display(value: str) -> str:
    """Return a name as a person reads it: prefix, given, middle, family, suffix."""
    group = next((group for group in value.split("=") if group.strip(" ^")), "")
    parts = _components(group)
    order = (_PREFIX, _GIVEN, _MIDDLE, _FAMILY, _SUFFIX)
    return " ".join(parts[index] for index in order if parts[index])


def families(value: str) -> set[str]:
    """Return the folded family names of all groups."""
    return {folded(_components(group)[_FAMILY]) for group in value.split("=")} - {""}


def folded(text: str) -> str:
    """Return text without case, accents, spaces and punctuation, for comparison."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return _NOT_LETTERS.sub("", plain).casefold()


def searched(value: str) -> list[str]:
    """Return the groups of a name as they are compared: alphabetic, ideographic, phonetic.

    Case, accents, trailing delimiters and outer spaces of components do not count
    (PS3.4, C.2.2.2.1); wildcards stay.
    """
    return [_compared(group) for group in value.split("=")]


def _compared(group: str) -> str:
    decomposed = unicodedata.normalize("NFKD", group)
    plain = "".join(c for c in decomposed if not unicodedata.combining(c)).casefold()
    return "^".join(" ".join(part.split()) for part in plain.split("^")).rstrip("^ ")


def _human_name(group: str) -> dict[str, Any]:
    parts = _components(group)
    name: dict[str, Any] = {}
    if parts[_FAMILY]:
        name["family"] = parts[_FAMILY]
    if given := [part for part in (parts[_GIVEN], parts[_MIDDLE]) if part]:
        name["given"] = given
    if parts[_PREFIX]:
        name["prefix"] = [parts[_PREFIX]]
    if parts[_SUFFIX]:
        name["suffix"] = [parts[_SUFFIX]]
    return name


def _components(group: str) -> list[str]:
    parts = [" ".join(part.split()) for part in group.split("^")]
    return (parts + [""] * 5)[:5]
