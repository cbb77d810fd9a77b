"""Bindings: whether coded values are of the value sets that R4 binds them to.

Those of `code` elements are in the schema. The rest of the required ones, and the
value sets that a grammar defines, are judged in the walk; extensible ones, which
only advise, are noted for the terminology service.

https://hl7.org/fhir/R4/terminologies.html#binding
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from fhir_server.errors import Issue
from fhir_server.fhirpath.quantity import Units
from fhir_server.r4.definitions import Definitions, Element
from fhir_server.validation.walker import Check, Coded, Rules, Trail, Walk, hang, written
from terminology.grammars.forms import is_media_type, is_tag

UCUM: Final = "http://unitsofmeasure.org"
BCP_47: Final = "urn:ietf:bcp:47"
_LANGUAGES: Final = "http://hl7.org/fhir/ValueSet/languages"
_EXPRESSIONS: Final = "http://hl7.org/fhir/ValueSet/expression-language"
_UNITS: Final = "http://hl7.org/fhir/ValueSet/ucum-units"
_DIMENSIONS: Final = {"Age": "s1", "Duration": "s1", "Distance": "m1"}
# Read at once, as the parser of UCUM takes 0.4 s to load.
_COMMON: Final = {
    "s1": frozenset(("ms", "s", "min", "h", "d", "wk", "mo", "a")),
    "m1": frozenset(("mm", "cm", "m", "km")),
}
_CODED: Final = frozenset(("code", "uri", "Coding", "CodeableConcept", "Quantity", "Duration"))

_NO_LANGUAGE = "Not a language tag (BCP 47)"
_NO_MIME_TYPE = "Not a MIME type (BCP 13)"

# Whether a (system, code) pair is of a value set; None where that is not known.
_Member = Callable[[str, str], bool | None]


def attach(types: Mapping[str, Rules], definitions: Definitions, units: Units) -> None:
    """Add what refuses a value: required bindings and those with a largest value set."""
    for owner, members in definitions.elements.items():
        for element in members.values():
            check = _refusing(definitions, element, units)
            if check is not None:
                hang(types[owner], element, (element.name,), check)
    for owner, dimension in _DIMENSIONS.items():
        code = definitions.elements[owner]["code"]
        hang(types[owner], code, ("code",), _unit(units, dimension))


def attach_advice(types: Mapping[str, Rules], definitions: Definitions) -> None:
    """Add what notes the values of extensible bindings for the terminology service."""
    for owner, members in definitions.elements.items():
        for element in members.values():
            binding = element.binding
            if binding and binding.strength == "extensible" and element.type in _CODED:
                hang(types[owner], element, (element.name,), _noting(binding.value_set))


def _refusing(definitions: Definitions, element: Element, units: Units) -> Check | None:
    binding = element.binding
    if binding is None:
        return None
    if element.type == "code":
        text = {_LANGUAGES: _NO_LANGUAGE, _EXPRESSIONS: _NO_MIME_TYPE}.get(binding.value_set)
        reads = is_tag if binding.value_set == _LANGUAGES else is_media_type
        return _grammar(reads, text) if text else None
    if element.type != "CodeableConcept":
        return None
    if binding.value_set == _LANGUAGES:
        member: _Member = lambda system, code: system == BCP_47 and is_tag(code)  # noqa: E731
        return _concept(member, _NO_LANGUAGE, required=False)
    if binding.strength != "required":
        return None
    return _required(definitions, binding.value_set, units)


def _required(definitions: Definitions, value_set: str, units: Units) -> Check:
    text = f"No code of {value_set}, which is required"
    if value_set == _UNITS:
        return _concept(_unit_member(units), text, required=True)
    systems = definitions.code_systems.get(value_set)
    if systems is None:
        return _noting(value_set, "required")
    return _concept(lambda system, code: code in systems.get(system, ()), text, required=True)


def _unit_member(units: Units) -> _Member:
    return lambda system, code: system == UCUM and units(code) is not None


def pairs(value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401  (JSON of any coded type)
    """Return the (system, code) pairs of a coded value; the system is empty where it has none."""
    if type(value) is str:
        yield "", value
    elif type(value) is dict:
        codings = value.get("coding", [value])
        for one in codings if type(codings) is list else ():
            if type(one) is dict and type(one.get("code")) is str:
                yield str(one.get("system", "")), one["code"]


def _each(ask: Callable[[Walk, Any, Trail], None]) -> Check:
    def check(walk: Walk, _: dict[str, Any], __: str, value: Any, trail: Trail) -> None:  # noqa: ANN401
        if not walk.sound:
            return
        if type(value) is list:
            for index, item in enumerate(value):
                ask(walk, item, (trail, f"[{index}]"))
        else:
            ask(walk, value, trail)

    return check


def _grammar(reads: Callable[[str], bool], text: str) -> Check:
    def ask(walk: Walk, value: Any, trail: Trail) -> None:  # noqa: ANN401
        if type(value) is str and not reads(value):
            walk.refuse("code-invalid", text, trail)

    return _each(ask)


def _concept(member: _Member, text: str, *, required: bool) -> Check:
    def ask(walk: Walk, value: Any, trail: Trail) -> None:  # noqa: ANN401
        found = list(pairs(value))
        if any(member(*one) for one in found):
            return
        # A concept that only an extension explains (data-absent-reason) has no code to judge.
        if found or (required and ("text" in value or "coding" in value)):
            walk.refuse("code-invalid", text, trail)

    return _each(ask)


def _unit(units: Units, dimension: str) -> Check:
    common = _COMMON[dimension]
    text = f"Not a unit of {'time' if dimension == 's1' else 'length'}"

    def check(walk: Walk, data: dict[str, Any], _: str, value: Any, trail: Trail) -> None:  # noqa: ANN401
        if not walk.sound or value in common or data.get("system") != UCUM:
            return
        unit = units(value)
        if unit is not None and unit.dimension != dimension:
            walk.refuse("code-invalid", text, trail)

    return check


def _noting(value_set: str, strength: str = "extensible") -> Check:
    def ask(walk: Walk, value: Any, trail: Trail) -> None:  # noqa: ANN401
        if found := tuple(pairs(value)):
            walk.coded.append(Coded(value_set, strength, found, written(trail)))

    return _each(ask)


def outside(coded: Coded) -> Issue:
    """Return the issue of a value that is not of its value set."""
    if coded.strength == "required":
        text = f"No code of {coded.value_set}, which is required"
        return Issue("error", "code-invalid", text, coded.place)
    text = f"No code of {coded.value_set}, of which one is to be used if it fits"
    return Issue("warning", "code-invalid", text, coded.place)


def unknown(coded: Coded) -> Issue:
    """Return the issue of a value whose value set or code system is not known here."""
    text = f"The codes of {coded.value_set} are not all known here, so the value was not judged"
    return Issue("information", "not-found", text, coded.place)
