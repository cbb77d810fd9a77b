"""Validation against R4: what every resource must satisfy to be stored.

https://hl7.org/fhir/R4/validation.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.errors import Issue
from fhir_server.fhirpath.evaluation import Callbacks
from fhir_server.r4.definitions import Definitions
from fhir_server.validation import bindings, references
from fhir_server.validation.explain import MAX_ISSUES, explained
from fhir_server.validation.invariants import attach
from fhir_server.validation.schema import compiled, errors
from fhir_server.validation.walker import Coded, Rules, Trail, Walk, rules, written

# A resource: its type, itself, its place, the resource that contains it, or itself, and the
# types of what stands in the same Bundle.
_Inner = tuple[str, dict[str, Any], Trail, dict[str, Any], Mapping[str, str]]

_NO_URLS: Mapping[str, str] = {}

# Compiled before a server forks or answers, as each costs some milliseconds.
COMMON = ("Patient", "Observation", "Encounter", "DiagnosticReport", "ServiceRequest", "Bundle")


@dataclass(frozen=True, slots=True)
class Judged:
    """What is wrong with a resource, and the coded values that were not judged here."""

    issues: list[Issue]
    coded: list[Coded]


class Validator:
    """Compiled rules of all types, built once; safe to use from several threads."""

    __slots__ = ("_callbacks", "_definitions", "_elements", "_resource_types", "_rules", "_wordy")

    def __init__(self, definitions: Definitions, callbacks: Callbacks | None = None) -> None:
        self._definitions = definitions
        self._callbacks = callbacks or Callbacks()
        self._elements = definitions.elements
        self._resource_types = frozenset(definitions.resource_types)
        self._rules = self._tables("error")
        self._wordy: dict[tuple[bool, bool], dict[str, Rules]] = {}

    @property
    def tables(self) -> Mapping[str, Rules]:
        """Return what the walk does at each type's members, invariants of severity error too."""
        return self._rules

    def _tables(self, *severities: str, advice: bool = False) -> dict[str, Rules]:
        tables = rules(self._elements)
        references.attach(tables, self._definitions)
        bindings.attach(tables, self._definitions, self._callbacks.units)
        if advice:
            bindings.attach_advice(tables, self._definitions)
        for severity in severities:
            attach(tables, self._definitions, self._callbacks, severity)
        return tables

    def _chosen(self, *, warnings: bool, advice: bool) -> dict[str, Rules]:
        if not (warnings or advice):
            return self._rules
        known = self._wordy.get((warnings, advice))
        if known is None:
            severities = ("error", "warning") if warnings else ("error",)
            known = self._wordy[warnings, advice] = self._tables(*severities, advice=advice)
        return known

    def warm(self) -> None:
        """Compile the common types now rather than at their first resource."""
        for type_name in COMMON:
            compiled(type_name)

    def validate(
        self,
        type_name: str,
        raw: bytes,  # noqa: ARG002
        data: Any,  # noqa: ANN401
        *,
        invariants: bool = True,
        warnings: bool = False,
    ) -> list[Issue]:
        """Return what is wrong with a decoded resource of this type, nothing if it is valid.

        `data` is what `r4.json.decode` returned for `raw`. Issue texts quote no
        values. At most `MAX_ISSUES`, then one that says so. Without
        `invariants` only its structure is judged; `warnings` adds the invariants
        that are advice.
        """
        return self.judge(type_name, data, invariants=invariants, warnings=warnings).issues

    def judge(
        self,
        type_name: str,
        data: Any,  # noqa: ANN401
        *,
        invariants: bool = True,
        warnings: bool = False,
        advice: bool = False,
    ) -> Judged:
        """Return what `validate` returns, and what the terminology service is to be asked.

        With `advice` that is also whether codes are those that extensible bindings want.
        """
        if type_name not in self._resource_types:
            return Judged([Issue("error", "structure", "R4 has no such resource type")], [])
        if not isinstance(data, dict):
            text = "A resource is a JSON object"
            return Judged([Issue("error", "structure", text, type_name)], [])
        tables = self._chosen(warnings=warnings, advice=advice)
        found = Judged([], [])
        issues = found.issues
        ahead: list[_Inner] = [(type_name, data, ((), type_name), data, _NO_URLS)]
        while ahead and len(issues) <= MAX_ISSUES:
            ahead += self._one(tables, ahead.pop(), found, sound=invariants)
        if len(issues) > MAX_ISSUES:
            text = f"Only the first {MAX_ISSUES} issues are listed"
            issues[MAX_ISSUES:] = [Issue("error", "processing", text, type_name)]
        return found

    def _one(
        self, tables: dict[str, Rules], inner: _Inner, found: Judged, *, sound: bool
    ) -> list[_Inner]:
        """Add the issues of one resource; return the resources inside it."""
        type_name, data, trail, root, urls = inner
        issues, schema = found.issues, compiled(type_name)
        try:
            if not schema.is_valid(data):
                place, sound = written(trail), False
                issues += explained(self._elements, type_name, place, errors(schema, data))
        except ValueError:
            text = "The resource holds what JSON cannot express, or is nested too deeply"
            issues.append(Issue("error", "structure", text, written(trail)))
            return []
        walk = Walk(type_name, data, root, sound=sound, urls=urls)
        walk.go(tables[type_name], data, trail)
        found.coded.extend(walk.coded)
        if walk.issues:
            known = {(issue.code, issue.expression, issue.rule) for issue in issues}
            issues += [
                one for one in walk.issues if (one.code, one.expression, one.rule) not in known
            ]
        if type_name == "Bundle":
            urls = _urls(data)
        return [
            (met["resourceType"], met, place, above, urls)
            for met, place, above in reversed(walk.inline)
            if str(met.get("resourceType")) in self._resource_types
        ]


def _urls(bundle: dict[str, Any]) -> dict[str, str]:
    """Return the types of a Bundle's resources by fullUrl."""
    entries = bundle.get("entry")
    return {
        entry["fullUrl"]: entry["resource"]["resourceType"]
        for entry in (entries if type(entries) is list else ())
        if type(entry) is dict
        and type(entry.get("fullUrl")) is str
        and type(entry.get("resource")) is dict
        and type(entry["resource"].get("resourceType")) is str
    }
