"""An explanation as plain data for JSON, with or without what the message says of patients."""

from typing import Any

from adapters.hl7.explain import words
from adapters.hl7.explain.explanation import Explanation, Line, Made, Target
from adapters.hl7.explain.rules import DECISIONS


def plain(found: Explanation, *, values: bool, resources: bool = False) -> dict[str, Any]:
    """Return the explanation as JSON; without `values` nothing in it is of a patient.

    With `resources` (and `values`) it has what would be written in full.
    """
    return {
        "type": found.type,
        "sender": found.sender,
        "profile": found.profile,
        "leaves": dict(found.counts),
        "refusal": _refusal(found),
        "lines": [_line(one, values=values) for one in found.lines],
        "written": [_made(one, values=values, resources=resources) for one in found.made],
        "warnings": dict(found.warnings),
        "untranslated": list(found.untranslated) if values else len(found.untranslated),
        "decisions": {one: DECISIONS[one] for one in decisions(found)},
    }


def decisions(found: Explanation) -> list[str]:
    """Return the numbers of our decisions that were used, in their order."""
    used = {target.decision for line in found.lines for target in line.targets}
    return sorted(used - {""}, key=lambda one: int(one[1:]))


def _refusal(found: Explanation) -> dict[str, str] | None:
    if found.refusal is None:
        return None
    reason, text = found.refusal
    return {"reason": reason, "text": text, "what_to_do": words.WHAT_TO_DO[reason]}


def _line(line: Line, *, values: bool) -> dict[str, Any]:
    said: dict[str, Any] = {"segment": line.segment, "address": line.address}
    said["position"] = line.position
    if values:
        said["value"] = line.value
    if line.targets:
        said["targets"] = [_target(one, values=values) for one in line.targets]
    else:
        said["reason"] = line.reason
        said["text"] = words.REASON_TEXTS.get(line.reason, "")
    return said


def _target(target: Target, *, values: bool) -> dict[str, Any]:
    said: dict[str, Any] = {"resource": target.resource, "path": target.path}
    if values:
        said |= {"label": target.label, "value": target.value}
    elif not words.of_person(target.resource.partition("[")[0]):
        said["label"] = target.label if _is_code(target) else ""
    if target.extension:
        said["extension"] = target.extension
    rule = {"rule": target.rule, "map": target.map, "decision": target.decision}
    return {**said, **rule, "exact": target.exact}


def _is_code(target: Target) -> bool:
    """Whether the label is what was measured or ordered, and no name or number."""
    kind = target.resource.partition("[")[0]
    return kind in {"Observation", "DiagnosticReport", "ServiceRequest"}


def _made(made: Made, *, values: bool, resources: bool) -> dict[str, Any]:
    said: dict[str, Any] = {"resource": made.name, "method": made.method}
    if values:
        said |= {"label": made.label, "identity": list(made.identity)}
        if resources:
            said["content"] = made.resource
    return said
