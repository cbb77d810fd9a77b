"""Version rules of a request: which version of a system an include means.

https://build.fhir.org/ig/HL7/fhir-tx-ecosystem-ig/requirements.html (system-version parameters)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from terminology.issues import bad_request, refusal
from terminology.versions import split


@dataclass(frozen=True, slots=True)
class VersionRules:
    """Versions by url: `force` beats a pin, `default` stands in for none, `check` must hold."""

    force: Mapping[str, str] = field(default_factory=dict)
    default: Mapping[str, str] = field(default_factory=dict)
    check: Mapping[str, str] = field(default_factory=dict)
    value_sets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """A version pattern and what decided it: force, pin, default, check or nothing."""

    pattern: str | None
    by: str


def read_rule(canonicals: Iterable[str]) -> dict[str, str]:
    """Versions by url of `url|version` texts; Refusal when one url has none, or two."""
    rule: dict[str, str] = {}
    for canonical in canonicals:
        url, version = split(canonical)
        if version is None:
            raise bad_request("a parameter about versions is written url|version")
        if rule.setdefault(url, version) != version:
            raise refusal("SYSTEM_VERSION_MULTIPLE_OVERRIDE", system=url)
    return rule


def decide(rules: VersionRules, system: str, pin: str | None) -> Decision:
    """The pattern for an include of a system with that pin."""
    if system in rules.force:
        return Decision(rules.force[system], "force")
    if pin is not None:
        return Decision(pin, "pin")
    return fallback(rules, system)


def fallback(rules: VersionRules, system: str) -> Decision:
    """The pattern where no pin can be followed."""
    if system in rules.default:
        return Decision(rules.default[system], "default")
    if system in rules.check:
        return Decision(rules.check[system], "check")
    return Decision(None, "nothing")
