"""Definitions that contradict themselves or what they come from.

https://hl7.org/fhir/R4/canonicalresource.html
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from fhir_server.profiles.scope import Scope
from fhir_server.profiles.snapshot import problems
from fhir_server.profiles.walk import Walk
from terminology.ecl.cursor import CostlyEcl, InvalidEcl
from terminology.ecl.parse import parse

Json = Mapping[str, Any]
_SNOMED: Final = "http://snomed.info/sct"
_UUID: Final = re.compile(r"urn:uuid:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def advise_canonical(walk: Walk, scope: Scope) -> None:
    """Note an identity that is none, and what is wrong with this kind of definition."""
    data, place = scope.resource.node.value, scope.resource.place
    kind = scope.resource.node.type
    if "url" in walk.profiles.model.fields.get(kind, {}) and type(data.get("url")) is str:
        _identity(walk, data["url"], f"{place}.url")
    advise = _KINDS.get(kind)
    if advise:
        advise(walk, data, place)


def _identity(walk: Walk, url: str, place: str) -> None:
    if not _SCHEME.match(url):
        walk.advise("invalid", "The URL of a definition is absolute", place)
    elif url.startswith("urn:uuid:") and not _UUID.match(url):
        walk.advise("invalid", "The UUID is not valid", place)


def _code_system(walk: Walk, data: Json, place: str) -> None:
    if data.get("content") == "not-present" and data.get("concept"):
        text = "The code system says that its content is not present, and has concepts"
        walk.advise("invalid", text, f"{place}.concept[0]")
    if data.get("supplements") and data.get("content") != "supplement":
        walk.advise("invalid", "A supplement says so in its content", f"{place}.content")


def _value_set(walk: Walk, data: Json, place: str) -> None:
    compose = data.get("compose", {})
    for name in ("include", "exclude"):
        for index, include in enumerate(compose.get(name, ())):
            here = f"{place}.compose.{name}[{index}]"
            system = include.get("system")
            if type(system) is str and not _SCHEME.match(system):
                walk.advise("invalid", "The URL of a code system is absolute", here)
            if system == _SNOMED:
                _snomed_codes(walk, include, here)


def _snomed_codes(walk: Walk, include: Json, place: str) -> None:
    for index, concept in enumerate(include.get("concept", ())):
        if not is_snomed_id(str(concept.get("code", ""))):
            walk.advise("code-invalid", "This is no SNOMED CT code", f"{place}.concept[{index}]")
    for index, asked in enumerate(include.get("filter", ())):
        here = f"{place}.filter[{index}]"
        value = str(asked.get("value", ""))
        if asked.get("property") == "concept" and asked.get("op") in {"is-a", "descendent-of"}:
            if not is_snomed_id(value):
                walk.advise("code-invalid", "This is no SNOMED CT code", here)
        elif asked.get("property") == "constraint" and not _is_constraint(value):
            walk.advise("invalid", "The expression constraint cannot be read", here)


def _is_constraint(text: str) -> bool:
    try:
        parse(text)
    except InvalidEcl:
        return False
    except CostlyEcl:
        return True
    return True


def is_snomed_id(code: str) -> bool:
    """Return whether a text is an identifier of SNOMED CT, by its length and check digit.

    https://confluence.ihtsdotools.org/display/DOCRELFMT/6.5+Check-digit
    """
    if not re.fullmatch(r"[1-9][0-9]{5,17}", code):
        return False
    check = 0
    for index, digit in enumerate(reversed(code)):
        check = _product(check, _permuted(index % 8, int(digit)))
    return check == 0


def _permuted(times: int, digit: int) -> int:
    for _ in range(times):
        digit = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[digit]
    return digit


def _product(left: int, right: int) -> int:
    """Multiply in the dihedral group of ten: five turns, and five turns of the mirror image."""
    if left < 5:  # noqa: PLR2004
        return (left + right) % 5 if right < 5 else (left + right) % 5 + 5  # noqa: PLR2004
    if right < 5:  # noqa: PLR2004
        return (left - right) % 5 + 5
    return (left - right) % 5


def _search_parameter(walk: Walk, data: Json, place: str) -> None:
    url = data.get("derivedFrom")
    known = {one.url: one for one in walk.profiles.definitions.search_parameters}
    origin = known.get(url) if type(url) is str else None
    if origin is None:
        return
    if origin.type != data.get("type"):
        walk.advise("invalid", "What it derives from has another type", f"{place}.type")
    if not set(data.get("base", ())) <= {*origin.base, "Resource", "DomainResource"}:
        walk.advise("invalid", "What it derives from is not for these types", f"{place}.base")


def _structure(walk: Walk, data: Json, place: str) -> None:
    base = walk.profiles.definition(str(data.get("baseDefinition", "")))
    if base is not None and data.get("derivation") == "constraint" and "differential" in data:
        for text in dict.fromkeys(problems(data, walk.profiles.definition)):
            walk.advise("invalid", text, f"{place}.differential")


def _questionnaire(walk: Walk, data: Json, place: str) -> None:
    for item, here in _items(data, place):
        conditions = item.get("enableWhen", ())
        inner = {one.get("linkId") for one, _ in _items(item, here)} | {item.get("linkId")}
        if any(one.get("question") in inner for one in conditions):
            text = "A question cannot be enabled by itself or what is inside it"
            walk.advise("invalid", text, here)
        if len(conditions) > 1 and "enableBehavior" not in item:
            text = "With several conditions enableBehavior says how they go together"
            walk.advise("required", text, here)


def _items(holder: Json, place: str) -> Iterator[tuple[Json, str]]:
    ahead = [(holder, place)]
    while ahead:
        found, here = ahead.pop()
        for index, item in enumerate(found.get("item", ())):
            if type(item) is dict:
                ahead.append((item, f"{here}.item[{index}]"))
                yield ahead[-1]


_KINDS: Final[Mapping[str, Callable[[Walk, Json, str], None]]] = {
    "CodeSystem": _code_system,
    "ValueSet": _value_set,
    "SearchParameter": _search_parameter,
    "StructureDefinition": _structure,
    "Questionnaire": _questionnaire,
}
