"""FHIR names as person names of DICOM: three groups of five components.

https://dicom.nema.org/medical/dicom/current/output/html/part05.html#sect_6.2.1
https://hl7.org/fhir/R4/datatypes.html#HumanName
"""

import re
from collections.abc import Sequence

from adapters.dicom.dataset.attributes import clean
from adapters.dicom.worklist.order import Json

_REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
_GROUPS = {"ABC": 0, "IDE": 1, "SYL": 2}
_USES = ("official", "usual", "")
_UNUSED = frozenset(("old", "maiden", "nickname", "anonymous"))
_DELIMITERS = re.compile(r"[\\^=]+")
_LONGEST = 64
_HAN = re.compile(r"[\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_HANGUL = re.compile(r"[\u1100-\u11ff\uac00-\ud7af]")
_KANA = re.compile(r"[\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f]")


def person_name(names: Sequence[Json] | None) -> tuple[str, list[str]]:
    """Return the name of a person, and the others that he has.

    The official name comes first. Ideographic and phonetic names, marked as such or by
    their letters, are groups of the first; in a name of Latin letters those are no groups.
    """
    groups: list[list[str]] = [[], [], []]
    for name in _ranked(names or ()):
        if text := components(name):
            groups[_group(name, text)].append(text)
    alphabetic, ideographic, phonetic = groups
    first = [of[0] if of else "" for of in (alphabetic, ideographic, phonetic)]
    return "=".join(first).rstrip("="), alphabetic[1:]


def components(name: Json) -> str:
    """Return one group: family, given, middle, prefix and suffix."""
    given = [_component(one) for one in name.get("given", ())]
    family = _component(name.get("family"))
    if not family and not given:
        return _component(name.get("text"))[:_LONGEST]
    parts = (
        family,
        given[0] if given else "",
        " ".join(given[1:]),
        " ".join(map(_component, name.get("prefix", ()))),
        " ".join(map(_component, name.get("suffix", ()))),
    )
    return "^".join(parts)[:_LONGEST].rstrip("^ ")


def _component(value: object) -> str:
    """Return text without what separates components, groups and values."""
    return " ".join(_DELIMITERS.sub(" ", clean(str(value or ""))).split())


def _ranked(names: Sequence[Json]) -> list[Json]:
    """Return the names that are in use, the official one first."""
    used = [one for one in names if one.get("use") not in _UNUSED and "end" not in _period(one)]
    return sorted(
        used or names,
        key=lambda one: _USES.index(use) if (use := one.get("use", "")) in _USES else len(_USES),
    )


def _period(name: Json) -> Json:
    period = name.get("period")
    return period if isinstance(period, dict) else {}


def _group(name: Json, text: str) -> int:
    for one in name.get("extension", ()):
        if one.get("url") == _REPRESENTATION and one.get("valueCode") in _GROUPS:
            return _GROUPS[one["valueCode"]]
    if _HAN.search(text) or _HANGUL.search(text):
        return 1
    return 2 if _KANA.search(text) else 0
