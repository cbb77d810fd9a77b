"""The scope of one request: where it looks, by which rules, and what it used.

https://hl7.org/fhir/R4/terminology-service.html
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from terminology.code_system import CodeSystem
from terminology.implicit import implicit_value_set, is_known
from terminology.issues import Issue, Refusal, issue, refusal
from terminology.languages import Languages
from terminology.library import Library
from terminology.messages import alternatives
from terminology.pausing import Pause
from terminology.rules import Decision, VersionRules, decide, fallback
from terminology.supplement import Supplemented
from terminology.value_set import ValueSet
from terminology.versions import latest, matches, order, split

ABSENT = frozenset({"not-present", "example"})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost."""

    unpaged: int = 1000
    """Codes of an expansion for which no page was asked."""
    codes: int = 100_000
    """Codes taken into memory to combine includes."""
    depth: int = 32
    """Value sets importing one another."""
    steps: int = 10_000
    """Times that a value set is opened: imports multiply when each is imported twice."""


@dataclass(slots=True)
class Used:
    """What an answer rests on, in the order met."""

    systems: dict[str, CodeSystem] = field(default_factory=dict)
    value_sets: dict[str, ValueSet] = field(default_factory=dict)
    supplements: dict[str, None] = field(default_factory=dict)
    steps: int = 0
    pause: Pause = field(default_factory=Pause)
    across: bool = False
    """An exclude acted on other versions than its own."""
    rules: dict[tuple[str, str], None] = field(default_factory=dict)
    """(`default` or `check`, system) of each rule that decided a version."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """The code system meant by an include, and why.

    `unknown` is the version asked for that does not exist; `system` is then what stands in for
    it (validation), or None.
    """

    url: str
    pin: str | None
    decision: Decision
    system: CodeSystem | None
    versions: tuple[str, ...] = ()
    unknown: str | None = None

    @property
    def version(self) -> str | None:
        """The version of the code system."""
        return self.system.head.version if self.system else None


@dataclass(slots=True)
class Scope:
    """One request: `coding` is the (system, version) of the code under validation."""

    library: Library
    rules: VersionRules = field(default_factory=VersionRules)
    languages: Languages | None = None
    supplements: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    versions_match: bool | None = None
    """True: the same code of two versions is one; None: an exclude may act across versions."""
    strict: bool = True
    """An unknown system or version refuses the request (expansion)."""
    coding: tuple[str, str | None] | None = None
    used: Used = field(default_factory=Used)
    resolved: dict[tuple[str, str | None], Resolution] = field(default_factory=dict)
    imports: dict[tuple[int, str], ValueSet] = field(default_factory=dict)
    prepared: set[int] = field(default_factory=set)
    editions: dict[str, str] = field(default_factory=dict)
    """The version of a system that the value sets were published with."""

    def about(self, system: str, version: str | None) -> "Scope":
        """The same request asking about one coding."""
        return replace(self, coding=(system, version), resolved={})


async def step(scope: Scope, value_set: ValueSet) -> None:
    """Count that a value set is opened; Refusal `too-costly` after too many."""
    scope.used.steps += 1
    if scope.used.steps > scope.limits.steps:
        raise refusal(
            "VALUESET_TOO_MANY_STEPS", value_set=value_set.canonical, limit=scope.limits.steps
        )
    await scope.used.pause()


async def find_value_set(scope: Scope, canonical: str) -> ValueSet | None:
    """The value set of `url|version`, by rule, or the latest; None when unknown."""
    url, version = split(canonical)
    version = version or scope.rules.value_sets.get(url)
    known = await scope.library.value_sets(url)
    if not known:
        return await _implied(scope, url)
    if version is None:
        return max(known, key=lambda one: (not one.superseded, order(one.version)))
    fitting = [one for one in known if matches(version, one.version)]
    return max(fitting, key=lambda one: order(one.version), default=None)


async def _implied(scope: Scope, url: str) -> ValueSet | None:
    """The value set that a url implies; None where it names what its system has not."""
    found = implicit_value_set(url)
    if found is None:
        return None
    (include,) = found.includes
    systems = await systems_of(scope, include.system or "")
    return found if await is_known(found, systems) else None


async def systems_of(scope: Scope, url: str) -> Sequence[CodeSystem]:
    """All versions of a system with content, supplements left out."""
    known = await scope.library.code_systems(url)
    return [one for one in known if one.head.content not in ABSENT | {"supplement"}]


async def resolve(scope: Scope, url: str, pin: str | None) -> Resolution:
    """The code system of an include; Refusal in a strict scope when it is unknown."""
    key = url, pin
    if key not in scope.resolved:
        scope.resolved[key] = await _resolve(scope, url, pin)
    return scope.resolved[key]


async def _resolve(scope: Scope, url: str, pin: str | None) -> Resolution:
    known = await systems_of(scope, url)
    versions = tuple(sorted((one.head.version for one in known if one.head.version), key=order))
    decision = decide(scope.rules, url, pin)
    chosen = _choose(scope, url, known, decision.pattern)
    unknown = decision.pattern if chosen is None else None
    if chosen is None and scope.strict:
        raise unknown_system(url, decision.pattern, versions, expanding=True)
    if chosen is None and known:
        chosen = _stand_in(scope, url, known)
    system = await _supplemented(scope, chosen) if chosen else None
    resolution = Resolution(url, pin, decision, system, versions, unknown)
    if scope.strict:
        _check(scope, resolution)
    if decision.by in {"default", "check"}:
        scope.used.rules[decision.by, url] = None
    return resolution


def _choose(
    scope: Scope, url: str, known: Sequence[CodeSystem], pattern: str | None
) -> CodeSystem | None:
    given = scope.coding[1] if scope.coding and scope.coding[0] == url else None
    fitting = [one for one in known if pattern is None or matches(pattern, one.head.version)]
    exact = [one for one in fitting if given and one.head.version == given]
    edition = None if pattern else scope.editions.get(url)
    published = [one for one in fitting if edition and one.head.version == edition]
    return next(iter((*exact, *published)), None) or _latest(fitting)


def _stand_in(scope: Scope, url: str, known: Sequence[CodeSystem]) -> CodeSystem | None:
    """What is validated against when the pinned version is unknown."""
    given = scope.coding[1] if scope.coding and scope.coding[0] == url else None
    same = [one for one in known if given and one.head.version == given]
    if same:
        return same[0]
    return _choose(scope, url, known, fallback(scope.rules, url).pattern) or _latest(known)


def _latest(systems: Sequence[CodeSystem]) -> CodeSystem | None:
    systems = [one for one in systems if not one.head.superseded] or systems
    if not systems:
        return None
    algorithm = systems[0].head.version_algorithm
    best = latest((one.head.version for one in systems), algorithm)
    return next(one for one in systems if one.head.version == best)


def _check(scope: Scope, resolution: Resolution) -> None:
    required = scope.rules.check.get(resolution.url)
    if required and not matches(required, resolution.version):
        raise refusal(
            "VALUESET_VERSION_CHECK",
            version=resolution.version,
            system=resolution.url,
            required=required,
        )


def unknown_system(
    url: str, version: str | None, versions: Sequence[str], *, expanding: bool = False
) -> Refusal:
    """The refusal of an unknown system or version."""
    end = "_EXP" if expanding else ""
    if version is None:
        return refusal(f"UNKNOWN_CODESYSTEM{end}", system=url)
    if not versions:
        return refusal(f"UNKNOWN_CODESYSTEM_VERSION{end}_NONE", system=url, version=version)
    listed = alternatives(list(versions))
    return refusal(f"UNKNOWN_CODESYSTEM_VERSION{end}", system=url, version=version, versions=listed)


async def _supplemented(scope: Scope, system: CodeSystem) -> CodeSystem:
    """The system with the supplements of the request that are about it."""
    chosen = []
    for canonical in scope.supplements:
        for supplement in await _supplements(scope, canonical):
            url, version = split(supplement.head.supplements or "")
            if url == system.head.url and (version is None or version == system.head.version):
                chosen.append(supplement)
                scope.used.supplements[supplement.head.canonical] = None
    return Supplemented(system, tuple(chosen)) if chosen else system


async def _supplements(scope: Scope, canonical: str) -> list[CodeSystem]:
    url, version = split(canonical)
    known = [
        one
        for one in await scope.library.code_systems(url)
        if one.head.content == "supplement" and (version is None or one.head.version == version)
    ]
    best = _latest(known)
    return [best] if best else []


async def require_supplements(scope: Scope) -> None:
    """Refusal when a supplement that the request needs is unknown."""
    for canonical in scope.supplements:
        if not await _supplements(scope, canonical):
            raise refusal("VALUESET_SUPPLEMENT_MISSING", supplement=canonical)


async def find_system(scope: Scope, url: str, version: str | None) -> CodeSystem:
    """One version of a system, or its latest; Refusal 404 when unknown."""
    known = await systems_of(scope, url)
    pattern = version or scope.rules.default.get(url)
    chosen = _latest(
        [one for one in known if pattern is None or matches(pattern, one.head.version)]
    )
    if chosen is None:
        raise unknown_system(url, version, [one.head.version or "" for one in known])
    return await _supplemented(scope, chosen)


def mismatch(resolution: Resolution, given: str, place: str) -> Issue:
    """The issue of a coding's version that is not the one used."""
    url, pattern, by = resolution.url, resolution.decision.pattern, resolution.decision.by
    if by == "pin":
        return issue("VALUESET_VALUE_MISMATCH", place, system=url, version=pattern, given=given)
    if by == "nothing":
        return issue(
            "VALUESET_VALUE_MISMATCH_DEFAULT",
            place,
            system=url,
            version=resolution.version,
            given=given,
        )
    return issue(
        "VALUESET_VALUE_MISMATCH_CHANGED",
        place,
        system=url,
        version=pattern,
        pin=resolution.pin or "",
        given=given,
    )
