"""The terminology operations as FHIR calls them: Parameters in, resource and status out.

https://hl7.org/fhir/R4/terminology-service.html
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from terminology.coding import Coding, read_coding
from terminology.concept_map import Dependency, read_concept_map
from terminology.concepts import Json
from terminology.expand import Wish, expand
from terminology.expansion_resource import write_expansion
from terminology.find_matches import find_matches
from terminology.issues import Refusal, bad_request, refusal
from terminology.languages import Languages, parse
from terminology.library import Instead, Layers, Library, Shelf
from terminology.lookup import lookup
from terminology.parameters import (
    Given,
    parameter,
    read_codings,
    read_parameters,
    write_found,
    write_matches,
    write_outcome,
    write_parameters,
    write_validated,
)
from terminology.pausing import Pause, aside
from terminology.readings import Readings
from terminology.rules import VersionRules, read_rule
from terminology.scope import Limits, Scope, find_value_set
from terminology.shapes import require
from terminology.subsumes import subsumes
from terminology.translate import Question, translate
from terminology.validate import Rules, validate_in_code_system, validate_in_value_set
from terminology.value_set import ValueSet, read_value_set
from terminology.versions import join, split

OK = 200
LONGEST_TEXT = 1_000


@dataclass(frozen=True, slots=True)
class Call:
    """An operation called: `instance` is the resource it was called on, if any."""

    type: str
    operation: str
    parameters: Json
    instance: Json | None = None
    accept_language: str | None = None
    limits: Limits = field(default_factory=Limits)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP status with the resource to send."""

    status: int
    resource: Json


async def answer(library: Library, call: Call, readings: Readings | None = None) -> Answer:
    """The answer of an operation; a refusal is an OperationOutcome with its status.

    `readings` keeps what was read of tx-resources for calls to come.
    """
    try:
        operation = OPERATIONS.get((call.type, call.operation))
        if operation is None:
            raise bad_request("the operation is unknown", "not-supported")
        given = read_parameters(call.parameters)
        shelf, own = given.resources("tx-resource"), _code_systems(call, given)
        library = Layers(Shelf(shelf, readings), library) if shelf else library
        library = Instead(Shelf(own, readings), library) if own else library
        return Answer(OK, await operation(library, call, given))
    except Refusal as refused:
        return Answer(refused.status, write_outcome(refused.issues))


def _code_systems(call: Call, given: Given) -> list[Json]:
    """The code system that the call is about, where it is there by itself."""
    if call.type != "CodeSystem":
        return []
    return given.resources("codeSystem") or ([call.instance] if call.instance else [])


def _scope(library: Library, call: Call, given: Given, value_set: ValueSet | None) -> Scope:
    return Scope(
        library=library,
        rules=_version_rules(given),
        languages=_languages(call, given, value_set),
        supplements=given.texts("useSupplement"),
        limits=call.limits,
        versions_match=given.flag("versionsMatch")
        if given.one("versionsMatch") is not None
        else None,
    )


def _version_rules(given: Given) -> VersionRules:
    return VersionRules(
        force=read_rule(given.texts("force-system-version")),
        default=read_rule(given.texts("system-version")),
        check=read_rule(given.texts("check-system-version")),
        value_sets=read_rule(given.texts("default-valueset-version")),
    )


def _languages(call: Call, given: Given, value_set: ValueSet | None) -> Languages | None:
    asked = given.text("displayLanguage")
    own = value_set.language if value_set else None
    for text in (asked, call.accept_language, own):
        if text:
            try:
                return parse(text)
            except ValueError as error:
                if text == asked:
                    raise refusal("INVALID_LANGUAGE") from error
    return None


def _with_defaults(given: Given, value_set: ValueSet) -> Given:
    """The parameters with those that the value set states for its expansion."""
    own = tuple(parameter(name, "Code", value) for name, value in value_set.parameters)
    return given.over(Given(own))


async def _value_set(library: Library, call: Call, given: Given) -> ValueSet:
    """The value set that a call is about; Refusal 404 when it is unknown."""
    inline = given.resources("valueSet")
    if inline or call.instance:
        return read_value_set(inline[0] if inline else call.instance or {})
    asked = given.text("url")
    if asked is None and given.text("context"):
        raise bad_request("value sets are not found by context", "not-supported")
    if asked is None:
        raise bad_request("a value set is needed: url or valueSet", "required")
    url, version = split(asked)
    canonical = join(url, given.text("valueSetVersion") or version)
    found = await find_value_set(Scope(library, rules=_version_rules(given)), canonical)
    if found is None:
        raise refusal("Unable_to_resolve_value_Set_", value_set=canonical)
    return found


async def _expand(library: Library, call: Call, given: Given) -> Json:
    value_set = await _value_set(library, call, given)
    given = _with_defaults(given, value_set)
    if len(given.text("filter") or "") > LONGEST_TEXT:
        raise bad_request(f"the filter has more than {LONGEST_TEXT} characters", "too-long")
    wish = Wish(
        text=given.text("filter") or None,
        offset=given.number("offset") or 0,
        count=given.number("count"),
        limit=given.number("limit"),
        active_only=given.flag("activeOnly"),
        nest=not given.flag("excludeNested"),
        selectable_only=given.flag("excludeNotForUI"),
        exclude_systems=given.texts("exclude-system"),
        designations=given.flag("includeDesignations") or bool(given.texts("designation")),
        designation_filter=given.texts("designation"),
        definition=given.flag("includeDefinition"),
        properties=given.texts("property"),
    )
    expansion = await expand(_scope(library, call, given, value_set), value_set, wish)
    echo = _echo(call, given)
    size = min(expansion.total, wish.count or expansion.total)
    return await aside(size, write_expansion, value_set, expansion, wish, echo, call.now)


ECHOED = frozenset(
    {
        "excludeNested",
        "includeDesignations",
        "includeDefinition",
        "activeOnly",
        "excludeNotForUI",
        "excludePostCoordinated",
        "count",
        "offset",
        "filter",
        "displayLanguage",
        "designation",
        "versionsMatch",
        "exclude-system",
        "default-valueset-version",
        "force-system-version",
    }
)


def _echo(call: Call, given: Given) -> list[Json]:
    echo = [_as_uri(one) for one in given.parameters if one.get("name") in ECHOED]
    if call.accept_language and given.text("displayLanguage") is None:
        with suppress(ValueError):
            parse(call.accept_language)
            echo.append(parameter("displayLanguage", "Code", call.accept_language))
    return echo


def _as_uri(one: Json) -> Json:
    """R4's expansion.parameter has no canonical."""
    if "valueCanonical" not in one:
        return one
    return parameter(one["name"], "Uri", one["valueCanonical"])


def _rules(given: Given) -> Rules:
    return Rules(
        infer_system=given.flag("inferSystem"),
        lenient_display=given.flag("lenient-display-validation"),
        active_only=given.flag("activeOnly"),
        abstract=given.flag("abstract", default=True),
        membership_only=given.flag("valueset-membership-only"),
    )


async def _validate_in_value_set(library: Library, call: Call, given: Given) -> Json:
    codings, concept = read_codings(given, needs_system=True)
    value_set = await _value_set(library, call, given)
    given = _with_defaults(given, value_set)
    scope = _scope(library, call, given, value_set)
    return write_validated(
        await validate_in_value_set(scope, value_set, codings, _rules(given), concept)
    )


async def _validate_in_code_system(library: Library, call: Call, given: Given) -> Json:
    inline = _code_systems(call, given)
    codings, concept = read_codings(given, needs_system=False)
    url = inline[0].get("url") if inline else given.text("url", "system")
    url, version = split(url) if url else (None, None)
    version = version or given.text("version")
    codings = [replace(one, version=one.version or version) for one in codings]
    if url is None and not all(one.system for one in codings):
        raise bad_request("a code system is needed: url, codeSystem or coding", "required")
    scope = _scope(library, call, given, None)
    return write_validated(
        await validate_in_code_system(scope, url, codings, _rules(given), concept)
    )


def _batch(type_name: str) -> "Operation":
    async def batch(library: Library, call: Call, given: Given) -> Json:
        shared = Given(
            tuple(
                one
                for one in given.parameters
                if one.get("name") not in {"validation", "tx-resource"}
            )
        )
        out = []
        pause = Pause()
        for named in given.named("validation"):
            one = named.get("resource", {})
            answered = await _one_of_batch(library, replace(call, type=type_name), one, shared)
            out.append({"name": "validation", "resource": answered.resource})
            await pause()
        return write_parameters(out)

    return batch


async def _one_of_batch(library: Library, call: Call, sent: Json, shared: Given) -> Answer:
    try:
        own = read_parameters(sent).over(shared)
    except Refusal as refused:
        return Answer(refused.status, write_outcome(refused.issues))
    resource = write_parameters(own.parameters)
    return await answer(library, replace(call, operation="validate-code", parameters=resource))


async def _lookup(library: Library, call: Call, given: Given) -> Json:
    (coding,) = _codings(given, ("coding", "code", "system", "version"))
    scope = _scope(library, call, given, None)
    found = await lookup(
        scope, coding.system or "", coding.version, coding.code or "", given.texts("property")
    )
    return write_found(found)


def _codings(given: Given, names: tuple[str, str, str, str]) -> list[Coding]:
    coding, code, system, version = names
    named = {"code": given.text(code), "system": given.text(system), "version": given.text(version)}
    source = given.complex(coding) or {k: v for k, v in named.items() if v is not None}
    if not source.get("code") or not source.get("system"):
        raise bad_request(f"a code is needed: {coding}, or {code} with {system}", "required")
    return [read_coding(source, "")]


async def _subsumes(library: Library, call: Call, given: Given) -> Json:
    system = given.text("system") or (call.instance or {}).get("url") or ""
    version = given.text("version") or (call.instance or {}).get("version")
    own = Given((parameter("system", "Uri", system), parameter("version", "String", version)))
    (one,) = _codings(given.over(own), ("codingA", "codeA", "system", "version"))
    (other,) = _codings(given.over(own), ("codingB", "codeB", "system", "version"))
    if one.system != other.system:
        raise bad_request("the codes are of different code systems")
    scope = _scope(library, call, given, None)
    outcome = await subsumes(
        scope, one.system or "", one.version or other.version, one.code or "", other.code or ""
    )
    return write_parameters([parameter("outcome", "Code", outcome)])


NEWER = (
    "sourceCode",
    "sourceCoding",
    "sourceCodeableConcept",
    "targetCode",
    "targetCoding",
    "targetCodeableConcept",
    "targetSystem",
    "sourceSystem",
    "sourceScope",
    "targetScope",
)


async def _translate(library: Library, call: Call, given: Given) -> Json:
    names = {one.get("name") for one in given.parameters}
    newer = not names.isdisjoint(NEWER)
    reverse = given.flag("reverse") or any(
        name in names for name in ("targetCode", "targetCoding", "targetCodeableConcept")
    )
    maps = given.resources("conceptMap") or ([call.instance] if call.instance else [])
    question = Question(
        codings=_translatable(given, newer=newer, reverse=reverse),
        maps=tuple(read_concept_map(one) for one in maps),
        url=given.text("url"),
        version=given.text("conceptMapVersion"),
        source=given.text("sourceScope", "source"),
        target=given.text("targetScope", "target"),
        source_system=given.text("sourceSystem") if reverse else None,
        target_system=given.text("targetSystem", "targetsystem"),
        reverse=reverse,
        dependencies=tuple(_dependencies(given)),
    )
    matches = await translate(_scope(library, call, given, None), question)
    return write_matches(matches, newer=newer, reverse=reverse)


def _translatable(given: Given, *, newer: bool, reverse: bool) -> list[Coding]:
    side = "target" if reverse else "source"
    concept = given.complex(f"{side}CodeableConcept") or given.complex("codeableConcept")
    if concept is not None:
        require("CodeableConcept", concept)
        return [read_coding(one, "") for one in concept.get("coding", [])]
    if not newer:
        return _codings(given, ("coding", "code", "system", "version"))
    own = [one for one in given.parameters if one.get("name") != "system"]
    system = given.text(f"{side}System", "system")
    named = parameter("system", "Uri", system) if system else {}
    code = given.text(f"{side}Code", "code")
    renamed = [named, parameter("code", "Code", code)] if code else [named]
    coding = given.complex(f"{side}Coding")
    chosen = [parameter("coding", "Coding", coding)] if coding else []
    extra = [one for one in own if one.get("name") in {"version", "coding"}]
    return _codings(Given((*chosen, *renamed, *extra)), ("coding", "code", "system", "version"))


def _code(value: Json) -> str | None:
    """The code of a Coding, or the first of a CodeableConcept."""
    require("CodeableConcept", value)
    first = next(iter(value.get("coding", ())), value)
    require("Coding", first)
    code = first.get("code")
    return str(code) if code is not None else None


def _dependencies(given: Given) -> list[Dependency]:
    found = []
    for one in given.parameters:
        if one.get("name") == "dependency":
            parts = Given(tuple(one.get("part", ())))
            value = parts.one("concept", "value")
            code = _code(value) if isinstance(value, dict) else value
            found.append(Dependency(str(parts.one("element", "attribute")), str(code)))
    return found


async def _find_matches(library: Library, call: Call, given: Given) -> Json:
    url = given.text("system") or (call.instance or {}).get("url")
    properties = [_wanted_property(one) for one in given.named("property")]
    if url is None or not properties or given.one("exact") is None:
        raise bad_request("system, property and exact are needed", "required")
    found = await find_matches(
        _scope(library, call, given, None),
        url,
        given.text("version"),
        properties,
        exact=given.flag("exact"),
    )
    return write_parameters(
        {"name": "match", "part": [parameter("code", "Coding", {"system": url, "code": one})]}
        for one in found
    )


def _wanted_property(one: Json) -> tuple[str, str]:
    parts = Given(tuple(one.get("part", ())))
    code, value = parts.text("code"), parts.one("value")
    if isinstance(value, dict):
        value = value.get("code")
    if code is None or value is None or isinstance(value, list):
        raise bad_request("a property needs a code and a value", "required")
    return code, str(value).lower() if isinstance(value, bool) else str(value)


Operation = Callable[[Library, Call, Given], Awaitable[Json]]

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("ValueSet", "expand"): _expand,
    ("ValueSet", "validate-code"): _validate_in_value_set,
    ("ValueSet", "batch-validate-code"): _batch("ValueSet"),
    ("CodeSystem", "validate-code"): _validate_in_code_system,
    ("CodeSystem", "batch-validate-code"): _batch("CodeSystem"),
    ("CodeSystem", "lookup"): _lookup,
    ("CodeSystem", "subsumes"): _subsumes,
    ("CodeSystem", "find-matches"): _find_matches,
    ("ConceptMap", "translate"): _translate,
}
