"""OperationOutcome: what a refusal says.

https://hl7.org/fhir/R4/operationoutcome.html
"""

import re
from collections.abc import Iterable

import msgspec

from fhir_server.errors import Issue

_FIRST_ENTRY = re.compile(r"^Bundle\.entry\[0\]")


def operation_outcome(issues: Iterable[Issue], *, entry: int | None = None) -> bytes:
    """Return the JSON text of an OperationOutcome with these issues.

    `entry` renumbers issues placed at `Bundle.entry[0]`, for a batch's entry that
    was carried out alone.
    """
    return msgspec.json.encode(
        {"resourceType": "OperationOutcome", "issue": [_issue(issue, entry) for issue in issues]}
    )


def _issue(issue: Issue, entry: int | None) -> dict[str, object]:
    content: dict[str, object] = {
        "severity": issue.severity,
        "code": issue.code,
        "details": {"text": issue.text},
    }
    if issue.expression is not None:
        place = issue.expression
        if entry is not None:
            place = _FIRST_ENTRY.sub(f"Bundle.entry[{entry}]", place)
        content["expression"] = [place]
    return content
