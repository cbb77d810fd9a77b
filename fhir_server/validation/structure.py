"""Validation against R4: what every resource must satisfy to be stored.

https://hl7.org/fhir/R4/validation.html
"""

from collections.abc import Mapping
from typing import Any

from fhir_server.errors import Issue
from fhir_server.fhirpath.evaluation import Callbacks
from fhir_server.r4.definitions import Definitions
from fhir_server.validation.explain import MAX_ISSUES, explained
from fhir_server.validation.invariants import attach
from fhir_server.validation.schema import compiled, errors
from fhir_server.validation.walker import Rules, Trail, Walk, rules, written

# A resource: its type, itself, its place, and the resource that contains it, or itself.
_Inner = tuple[str, dict[str, Any], Trail, dict[str, Any]]

# Compiled before a server forks or answers, as each costs some milliseconds.
COMMON = ("Patient", "Observation", "Encounter", "DiagnosticReport", "ServiceRequest", "Bundle")


class Validator:
    """Compiled rules of all types, built once; safe to use from several threads."""

    __slots__ = ("_callbacks", "_definitions", "_elements", "_resource_types", "_rules", "_wordy")

    def __init__(self, definitions: Definitions, callbacks: Callbacks | None = None) -> None:
        self._definitions = definitions
        self._callbacks = callbacks or Callbacks()
        self._elements = definitions.elements
        self._resource_types = frozenset(definitions.resource_types)
        self._rules = self._tables("error")
        self._wordy: dict[str, Rules] | None = None

    @property
    def tables(self) -> Mapping[str, Rules]:
        """Return what the walk does at each type's members, invariants of severity error too."""
        return self._rules

    def _tables(self, *severities: str) -> dict[str, Rules]:
        tables = rules(self._elements)
        for severity in severities:
            attach(tables, self._definitions, self._callbacks, severity)
        return tables

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
        if type_name not in self._resource_types:
            return [Issue("error", "structure", "R4 has no such resource type")]
        if not isinstance(data, dict):
            return [Issue("error", "structure", "A resource is a JSON object", type_name)]
        if warnings and self._wordy is None:
            self._wordy = self._tables("error", "warning")
        tables = (self._wordy if warnings else None) or self._rules
        issues: list[Issue] = []
        ahead: list[_Inner] = [(type_name, data, ((), type_name), data)]
        while ahead and len(issues) <= MAX_ISSUES:
            ahead += self._one(tables, ahead.pop(), issues, sound=invariants)
        if len(issues) > MAX_ISSUES:
            text = f"Only the first {MAX_ISSUES} issues are listed"
            return [*issues[:MAX_ISSUES], Issue("error", "processing", text, type_name)]
        return issues

    def _one(
        self, tables: dict[str, Rules], inner: _Inner, issues: list[Issue], *, sound: bool
    ) -> list[_Inner]:
        """Add the issues of one resource; return the resources inside it."""
        type_name, data, trail, root = inner
        schema = compiled(type_name)
        try:
            if not schema.is_valid(data):
                place, sound = written(trail), False
                issues += explained(self._elements, type_name, place, errors(schema, data))
        except ValueError:
            text = "The resource holds what JSON cannot express, or is nested too deeply"
            issues.append(Issue("error", "structure", text, written(trail)))
            return []
        walk = Walk(type_name, data, root, sound=sound)
        walk.go(tables[type_name], data, trail)
        if walk.issues:
            known = {(issue.code, issue.expression, issue.rule) for issue in issues}
            issues += [
                one for one in walk.issues if (one.code, one.expression, one.rule) not in known
            ]
        return [
            (found["resourceType"], found, place, above)
            for found, place, above in reversed(walk.inline)
            if found.get("resourceType") in self._resource_types
        ]
