"""OperationOutcome: what a refusal says.

https://hl7.org/fhir/R4/operationoutcome.html
"""

import re
from collections.abc import Iterable

import msgspec

from fhir_server.errors import Issue

# The keys of invariants, as the definitions name them.
RULES = "urn:sangam:rule"
_FIRST_ENTRY = re.compile(r"^Bundle\.entry\[0\]")
# A parameter may have any name; a FHIR string has no other characters than XML.
_NO_CHARACTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def operation_outcome(issues: Iterable[Issue], *, entry: int | None = None) -> bytes:
    """Return the JSON text of an OperationOutcome with these issues.

    `entry` renumbers issues placed at `Bundle.entry[0]`, for a batch's entry that
    was carried out alone.
    """
    return msgspec.json.encode(
        {"resourceType": "OperationOutcome", "issue": [_issue(issue, entry) for issue in issues]}
    )


def _issue(issue: Issue, entry: int | None) -> dict[str, object]:
    details: dict[str, object] = {"text": issue.text}
    if issue.rule is not None:
        details["coding"] = [{"system": RULES, "code": issue.rule}]
    content: dict[str, object] = {
        "severity": issue.severity,
        "code": issue.code,
        "details": details,
    }
    if issue.diagnostics is not None:
        content["diagnostics"] = issue.diagnostics
    if issue.expression:
        place = _NO_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", issue.expression)
        if entry is not None:
            place = _FIRST_ENTRY.sub(f"Bundle.entry[{entry}]", place)
        content["expression"] = [place]
    return content
