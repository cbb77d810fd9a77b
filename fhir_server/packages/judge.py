"""Which resources of a package may be stored.

https://hl7.org/fhir/R4/validation.html
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fhir_server.errors import Issue, SangamError, Unprocessable
from fhir_server.interactions.draft import NEVER_STORED
from fhir_server.packages.package import Item, Package
from fhir_server.packages.placing import MOST_TOLD
from fhir_server.r4 import json
from fhir_server.server import Server


@dataclass(frozen=True, slots=True)
class Fault:
    """A file that is not stored: its path, and what is wrong with it first."""

    path: str
    issue: Issue


def wanted(package: Package, *, examples: bool) -> list[Item]:
    """Return the resources that are to be stored, without the types that never are."""
    return [
        one
        for one in package.items
        if (examples or not one.example) and one.type not in NEVER_STORED
    ]


def faults(server: Server, items: Sequence[Item]) -> Iterator[Fault | None]:
    """Return for each resource what is wrong with its structure, None where nothing is."""
    for one in items:
        issue = _fault(server, one)
        yield Fault(one.path, issue) if issue else None


def _fault(server: Server, one: Item) -> Issue | None:
    raw = one.raw()
    try:
        json.check_caps(raw, server.settings.limits)
        data = json.decode(raw)
    except SangamError as error:
        return error.issues[0]
    found = server.validator.validate(one.type, raw, data, invariants=False)
    return next((one for one in found if one.severity in {"error", "fatal"}), None)


def refuse(label: str, found: Sequence[Fault]) -> None:
    """Unprocessable when some resources of a package are not valid."""
    if not found:
        return
    issues = [
        Issue(one.issue.severity, one.issue.code, f"{one.path}: {_told(one.issue)}")
        for one in found[:MOST_TOLD]
    ]
    count = f"{len(found):,} resources" if len(found) > 1 else "A resource"
    raise Unprocessable(f"{count} of {label} cannot be stored", issues=issues)


def _told(issue: Issue) -> str:
    return f"{issue.expression}: {issue.text}" if issue.expression else issue.text
