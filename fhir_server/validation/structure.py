"""Structural validation: what every R4 resource must satisfy to be stored.

https://hl7.org/fhir/R4/validation.html
"""

from typing import Any

from fhir_server.errors import Issue
from fhir_server.r4.definitions import Definitions
from fhir_server.validation.explain import MAX_ISSUES, explained
from fhir_server.validation.schema import compiled, errors
from fhir_server.validation.walker import Trail, Walk, rules, written

# Compiled before a server forks or answers, as each costs some milliseconds.
COMMON = ("Patient", "Observation", "Encounter", "DiagnosticReport", "ServiceRequest", "Bundle")


class Validator:
    """Compiled rules of all types, built once; safe to use from several threads."""

    __slots__ = ("_elements", "_resource_types", "_rules")

    def __init__(self, definitions: Definitions) -> None:
        self._elements = definitions.elements
        self._resource_types = frozenset(definitions.resource_types)
        self._rules = rules(definitions.elements)

    def warm(self) -> None:
        """Compile the common types now rather than at their first resource."""
        for type_name in COMMON:
            compiled(type_name)

    def validate(self, type_name: str, raw: bytes, data: Any) -> list[Issue]:  # noqa: ANN401, ARG002
        """Return what is wrong with a decoded resource of this type, nothing if it is valid.

        `data` is what `r4.json.decode` returned for `raw`. Issue texts quote no
        values. At most `MAX_ISSUES`, then one that says so.
        """
        if type_name not in self._resource_types:
            return [Issue("error", "structure", "R4 has no such resource type")]
        if not isinstance(data, dict):
            return [Issue("error", "structure", "A resource is a JSON object", type_name)]
        issues: list[Issue] = []
        ahead: list[tuple[str, dict[str, Any], Trail]] = [(type_name, data, ((), type_name))]
        while ahead and len(issues) <= MAX_ISSUES:
            ahead += self._one(*ahead.pop(), issues)
        if len(issues) > MAX_ISSUES:
            text = f"Only the first {MAX_ISSUES} issues are listed"
            return [*issues[:MAX_ISSUES], Issue("error", "processing", text, type_name)]
        return issues

    def _one(
        self, type_name: str, data: dict[str, Any], trail: Trail, issues: list[Issue]
    ) -> list[tuple[str, dict[str, Any], Trail]]:
        """Add the issues of one resource; return the resources inside it."""
        schema = compiled(type_name)
        try:
            if not schema.is_valid(data):
                place = written(trail)
                issues += explained(self._elements, type_name, place, errors(schema, data))
        except ValueError:
            text = "The resource holds what JSON cannot express, or is nested too deeply"
            issues.append(Issue("error", "structure", text, written(trail)))
            return []
        walk = Walk()
        walk.go(self._rules[type_name], data, trail)
        known = {(issue.code, issue.expression) for issue in issues}
        issues += [one for one in walk.issues if (one.code, one.expression) not in known]
        return [
            (inner["resourceType"], inner, place)
            for inner, place in reversed(walk.inline)
            if inner.get("resourceType") in self._resource_types
        ]
