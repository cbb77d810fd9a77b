"""Whether codes belong to a value set or code system ($validate-code).

https://hl7.org/fhir/R4/valueset-operation-validate-code.html
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from terminology.code_system import CodeSystem
from terminology.coding import Coding
from terminology.compose import UnknownImport, contains, includes, pins, prepare, systems
from terminology.concepts import Concept, Json, extension_value
from terminology.displays import Given, check, displays, preferred
from terminology.issues import Issue, issue, not_found
from terminology.notices import notice_issue, notices
from terminology.scope import (
    Resolution,
    Scope,
    find_value_set,
    mismatch,
    require_supplements,
    resolve,
    unknown_system,
)
from terminology.value_set import DEPRECATED, ConceptReference, ValueSet
from terminology.versions import join, matches, order


@dataclass(frozen=True, slots=True)
class Rules:
    """How strictly to validate."""

    infer_system: bool = False
    lenient_display: bool = False
    active_only: bool = False
    abstract: bool = True
    """False: a code that is not selectable is an error."""
    membership_only: bool = False


@dataclass(frozen=True, slots=True)
class Validated:
    """The answer: `result` is true when no issue is an error."""

    result: bool
    issues: tuple[Issue, ...] = ()
    coding: Coding | None = None
    """Code, system, version and display as the code system has them."""
    codeable_concept: Json | None = None
    inactive: bool = False
    status: str | None = None
    normalized_code: str | None = None
    unknown_system: str | None = None
    causes: tuple[str, ...] = ()

    @property
    def message(self) -> str | None:
        """The texts of the errors, and of those other issues that a user must read."""
        texts = [one.text for one in self.issues if _is_told(one)]
        return "; ".join(dict.fromkeys(texts)) or None


_TOLD = frozenset(
    {
        "INACTIVE_CONCEPT_FOUND",
        "DEPRECATED_CONCEPT_FOUND",
        "Coding_has_no_system__cannot_validate",
    }
)


def _is_told(one: Issue) -> bool:
    return one.severity == "error" or one.type == "invalid-display" or one.message_id in _TOLD


@dataclass(slots=True)
class Finding:
    """What is known of one coding so far."""

    coding: Coding
    issues: list[Issue] = field(default_factory=list)
    member: bool = False
    listed: bool = True
    """False: membership was not decided, so that nothing is said about it."""
    resolution: Resolution | None = None
    concept: Concept | None = None
    answer: Coding | None = None
    unknown_system: str | None = None
    causes: dict[str, None] = field(default_factory=dict)

    def say(self, message_id: str, part: str | None, **values: object) -> None:
        """Add an issue at a part of the coding, or at the whole."""
        place = self.coding.whole if part is None else self.coding.at(part)
        self.issues.append(issue(message_id, place, **values))


async def validate_in_value_set(
    scope: Scope,
    value_set: ValueSet,
    codings: Sequence[Coding],
    rules: Rules,
    codeable_concept: Json | None = None,
) -> Validated:
    """Validate a coding, or all codings of a codeable concept, against a value set.

    Refusal when the request itself cannot be judged: a missing supplement, a value set that
    includes itself, a filter that cannot be evaluated.
    """
    scope = replace(scope, strict=False, supplements=(*value_set.supplements, *scope.supplements))
    await require_supplements(scope)
    try:
        await prepare(scope, value_set)
    except UnknownImport as unknown:
        return _unjudged(codings, unknown.issues, codeable_concept)
    findings = [await _find(scope, value_set, coding, rules) for coding in codings]
    validated = _answer(value_set, findings, codeable_concept)
    if rules.membership_only:
        return validated
    heads = [f.resolution.system.head for f in findings if f.resolution and f.resolution.system]
    told = notices([*dict.fromkeys(heads), *scope.used.value_sets.values()], value_set)
    return replace(validated, issues=(*validated.issues, *(notice_issue(one) for one in told)))


def _unjudged(
    codings: Sequence[Coding], issues: tuple[Issue, ...], codeable_concept: Json | None
) -> Validated:
    coding = None if codeable_concept or not codings else codings[0]
    return Validated(
        result=False,
        issues=issues,
        coding=replace(coding, display=None, version=None) if coding else None,
        codeable_concept=codeable_concept,
    )


def _answer(
    value_set: ValueSet, findings: list[Finding], codeable_concept: Json | None
) -> Validated:
    issues: list[Issue] = []
    if codeable_concept is not None and not any(f.member or not f.listed for f in findings):
        issues.append(issue("TX_GENERAL_CC_ERROR_MESSAGE", value_set=value_set.canonical))
    for finding in findings:
        if finding.listed and not finding.member:
            issues.append(_not_in(value_set, finding.coding, codeable_concept is not None))
        issues += finding.issues
    best = next((f for f in findings if f.member), None)
    if best is None and codeable_concept is None:
        best = findings[0]
    result = bool(findings) and not any(one.severity == "error" for one in issues)
    return _validated(result, issues, findings, best, codeable_concept)


def _validated(
    result: bool,  # noqa: FBT001 - the answer itself
    issues: list[Issue],
    findings: list[Finding],
    best: Finding | None,
    codeable_concept: Json | None,
) -> Validated:
    concept = best.concept if best else None
    unknown = next((f.unknown_system for f in findings if f.unknown_system), None)
    asked = best.coding.code if best else None
    return Validated(
        result=result,
        issues=tuple(issues),
        coding=best.answer or best.coding if best else None,
        codeable_concept=codeable_concept,
        inactive=concept.inactive if concept else False,
        status=_status(concept),
        normalized_code=concept.code if concept and asked != concept.code else None,
        unknown_system=unknown,
        causes=tuple(dict.fromkeys(cause for f in findings for cause in f.causes)),
    )


def _status(concept: Concept | None) -> str | None:
    if concept is None or not (concept.inactive or concept.status == "deprecated"):
        return None
    return None if concept.status == "inactive" else concept.status


def _not_in(value_set: ValueSet, coding: Coding, several: bool) -> Issue:  # noqa: FBT001 - one word
    found = issue(
        "None_of_the_provided_codes_are_in_the_value_set_one",
        coding.at("code"),
        code=coding.name,
        value_set=value_set.canonical,
    )
    if not several:
        return found
    return replace(found, severity="information", type="this-code-not-in-vs")


async def _find(scope: Scope, value_set: ValueSet, coding: Coding, rules: Rules) -> Finding:
    finding = Finding(coding)
    if coding.system is None:
        if not rules.infer_system:
            finding.say("Coding_has_no_system__cannot_validate", None)
            return finding
        system = await _infer(scope, value_set, finding)
        if system is None:
            return finding
        finding.coding = coding = replace(coding, system=system)
    if not await _is_system(scope, value_set, finding):
        return finding
    scope = scope.about(coding.system or "", coding.version)
    await _choose(scope, value_set, finding)
    _judge_version(scope, finding)
    await _judge_concept(scope, value_set, finding, rules)
    if finding.resolution and finding.resolution.unknown:
        # Against a version that nobody has, membership cannot be decided.
        finding.listed = finding.member = False
    return finding


async def _infer(scope: Scope, value_set: ValueSet, finding: Finding) -> str | None:
    """The only system of the value set in which the code is; else None and an issue."""
    code = finding.coding.code or ""
    holding = []
    named = systems(scope, value_set)
    for system in named:
        trial = Finding(replace(finding.coding, system=system))
        await _choose(scope.about(system, None), value_set, trial)
        if trial.member:
            holding.append(system)
    if len(holding) == 1:
        return holding[0]
    several = "Unable_to_resolve_system__value_set_has_multiple_matches"
    finding.say(
        several if holding else "UNABLE_TO_INFER_CODESYSTEM",
        "code",
        code=code,
        value_set=value_set.canonical,
        systems="[" + ", ".join(holding or named) + "]",
    )
    return None


async def _is_system(scope: Scope, value_set: ValueSet, finding: Finding) -> bool:
    """True when the coding's system is a known code system; else its issues are said."""
    url = finding.coding.system or ""
    known = await scope.library.code_systems(url)
    if known and all(one.head.content == "supplement" for one in known):
        finding.say("CODESYSTEM_CS_NO_SUPPLEMENT", "system", system=known[0].head.canonical)
        return False
    if any(one.head.content not in {"not-present", "example", "supplement"} for one in known):
        return True
    if ":" not in url:
        finding.say("Terminology_TX_System_Relative", "system")
    elif await find_value_set(scope, url):
        finding.say("Terminology_TX_System_ValueSet2", "system", system=url)
        return False
    _say_unknown(finding, url, finding.coding.version, ())
    if url in systems(scope, value_set):
        finding.listed = False
        finding.causes[join(url, finding.coding.version)] = None
    else:
        finding.unknown_system = url
    return False


def _say_unknown(finding: Finding, url: str, version: str | None, versions: Sequence[str]) -> None:
    unknown = unknown_system(url, version, versions)
    place = finding.coding.at("system")
    finding.issues.append(replace(unknown.issues[0], expression=place))


async def _choose(scope: Scope, value_set: ValueSet, finding: Finding) -> None:
    """Settle the version: the one that has the code and its display, else the highest."""
    url, code = finding.coding.system or "", finding.coding.code or ""
    best: tuple[bool, bool] | None = None
    for pin in pins(scope, value_set, url) or [None]:
        resolution = await resolve(scope, url, pin)
        if resolution.system is None:
            continue
        concept = (await resolution.system.find([code])).get(code)
        member = await _is_member(scope, value_set, resolution, concept)
        score = member, concept is not None and concept.display == finding.coding.display
        if best is None or score > best or (score == best and _is_higher(resolution, finding)):
            best = score
            finding.resolution, finding.concept, finding.member = resolution, concept, member


def _is_higher(resolution: Resolution, finding: Finding) -> bool:
    assert finding.resolution is not None
    return order(resolution.version) > order(finding.resolution.version)


async def _is_member(
    scope: Scope, value_set: ValueSet, resolution: Resolution, concept: Concept | None
) -> bool:
    if concept is None:
        return False
    return bool(
        await contains(scope, value_set, [(resolution.url, resolution.version, concept.code)])
    )


def _judge_version(scope: Scope, finding: Finding) -> None:
    resolution, coding = finding.resolution, finding.coding
    if resolution is None:
        return
    url, given = resolution.url, coding.version
    if given is None and resolution.system and resolution.system.head.version_needed:
        finding.say("CODESYSTEM_VERSION_NEEDED", "version", system=url)
    required = scope.rules.check.get(url)
    if required and not matches(required, resolution.version):
        finding.say(
            "VALUESET_VERSION_CHECK",
            "version",
            version=resolution.version,
            system=url,
            required=required,
        )
    if given is not None and _differs(resolution, given):
        finding.issues.append(mismatch(resolution, given, coding.at("version")))
    for missing in dict.fromkeys((resolution.unknown, given)):
        if missing is not None and (
            missing == resolution.unknown or missing not in resolution.versions
        ):
            finding.causes[join(url, missing)] = None
            _say_unknown(finding, url, missing, resolution.versions)


def _differs(resolution: Resolution, given: str) -> bool:
    if resolution.unknown is not None:
        return given != resolution.unknown
    return given != resolution.version


async def _judge_concept(scope: Scope, value_set: ValueSet, finding: Finding, rules: Rules) -> None:
    resolution, coding, concept = finding.resolution, finding.coding, finding.concept
    if resolution is None or resolution.system is None:
        return
    head = resolution.system.head
    if concept is None:
        finding.answer = replace(coding, version=head.version, display=None)
        if not rules.membership_only:
            whole = _has_all(scope, value_set, head.url)
            _say_unknown_code(finding, resolution.system, whole=whole)
        return
    reference = _reference(value_set, coding)
    _judge_use(finding, concept, rules, inactive=value_set.inactive and not rules.active_only)
    known = displays(concept, head.language, reference)
    if coding.display and not rules.membership_only:
        given = Given(
            coding.display, head.url, concept.code, coding.at("display"), rules.lenient_display
        )
        wrong = check(given, known, scope.languages)
        finding.issues += [wrong] if wrong else []
    if reference and extension_value(reference.extensions, DEPRECATED) is True:
        finding.say(
            "CONCEPT_DEPRECATED_IN_VALUESET",
            "code",
            code=concept.code,
            system=head.url,
            value_set=value_set.canonical,
        )
    best = preferred(known, scope.languages) or (known[0] if known else None)
    finding.answer = replace(coding, version=head.version, display=best.text if best else None)


def _say_unknown_code(finding: Finding, system: CodeSystem, *, whole: bool) -> None:
    head, code = system.head, finding.coding.code or ""
    version = f" version '{head.version}'" if head.version else ""
    if head.content == "fragment":
        finding.listed = finding.listed and not whole
        finding.say("UNKNOWN_CODE_IN_FRAGMENT", "code", code=code, system=head.url, version=version)
    else:
        finding.say("Unknown_Code_in_Version", "code", code=code, system=head.url, version=version)


def _has_all(scope: Scope, value_set: ValueSet, url: str) -> bool:
    """True when the value set includes a system whole, so that any code of it belongs."""
    return any(
        one.system == url and not (one.concepts or one.filters or one.value_sets)
        for one in includes(scope, value_set)
    )


def _reference(value_set: ValueSet, coding: Coding) -> ConceptReference | None:
    for include in value_set.includes:
        if include.system == coding.system:
            for one in include.concepts:
                if one.code == coding.code:
                    return one
    return None


def _judge_use(finding: Finding, concept: Concept, rules: Rules, *, inactive: bool) -> None:
    """Say what the state of the concept means: inactive, abstract, deprecated, other case."""
    if concept.inactive and not inactive:
        finding.member = False
        finding.say("STATUS_CODE_WARNING_CODE", "code", code=concept.code)
    if concept.abstract and not rules.abstract:
        finding.member = False
        finding.say(
            "ABSTRACT_CODE_NOT_ALLOWED", "code", system=finding.coding.system, code=concept.code
        )
    if rules.membership_only:
        return
    if finding.coding.code != concept.code:
        finding.say(
            "CODE_CASE_DIFFERENCE",
            "code",
            code=finding.coding.code,
            correct=concept.code,
            system=finding.coding.system,
        )
    if concept.inactive:
        status = concept.status
        words = f"{status} and inactive" if status and status != "inactive" else "inactive"
        finding.say("INACTIVE_CONCEPT_FOUND", None, code=concept.code, status=words)
    elif concept.status == "deprecated":
        finding.say("DEPRECATED_CONCEPT_FOUND", None, code=concept.code)


async def validate_in_code_system(
    scope: Scope,
    url: str | None,
    codings: Sequence[Coding],
    rules: Rules,
    codeable_concept: Json | None = None,
) -> Validated:
    """Validate codings against a code system: all its codes are the value set.

    Refusal 404 when `url` names a code system that is unknown.
    """
    findings = []
    scope = replace(scope, strict=False)
    await require_supplements(scope)
    for coding in codings:
        if url and coding.system and coding.system != url:
            raise not_found("the coding is of another code system")
        named = replace(coding, system=coding.system or url)
        finding = Finding(named, listed=False)
        whole = ValueSet(None, None, {})
        if await _is_system(scope, whole, finding):
            about = scope.about(named.system or "", named.version)
            await _choose(about, whole, finding)
            _judge_version(about, finding)
            await _judge_concept(about, whole, finding, rules)
        finding.listed, finding.member = False, finding.concept is not None
        findings.append(finding)
    issues = [one for finding in findings for one in finding.issues]
    best = next((f for f in findings if f.member), findings[0] if findings else None)
    result = bool(findings) and not any(one.severity == "error" for one in issues)
    return _validated(result, issues, findings, best, codeable_concept)
