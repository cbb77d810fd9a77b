"""How far a resource is judged, and what came of it.

https://hl7.org/fhir/R4/validation.html
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from fhir_server.config import Mode
from fhir_server.errors import BadRequest, Issue, SangamError, Unprocessable
from fhir_server.interactions.profiling import Moment, by_profiles
from fhir_server.r4.walk import references
from fhir_server.server import Server
from fhir_server.validation import bindings
from fhir_server.validation.explain import MAX_ISSUES
from fhir_server.validation.references import is_reference
from fhir_server.validation.structure import Judged
from fhir_server.validation.walker import Coded
from terminology.memberships import Question

# The door of what a machine makes in great numbers, of which samples are judged in full.
SAMPLED: Final = "sampled"
_MOST_CODED: Final = 1_000
_ERRORS: Final = frozenset(("error", "fatal"))
# Members without which no profile and no definition of an extension has a say.
_PROFILED: Final = (b'"profile"', b'xtension"')
# What breaks the structure that R4 gives every resource: such a body cannot be read (400).
_STRUCTURE: Final = frozenset(("structure", "required", "value", "too-long"))
# The server works by these itself, so it must be able to read them.
_USED: Final = frozenset(
    ("CodeSystem", "ConceptMap", "SearchParameter", "StructureDefinition", "ValueSet")
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong with a resource; it is `readable` when it has the structure of R4."""

    issues: list[Issue]
    readable: bool = True


def mode(server: Server, type_name: str, door: str) -> Mode:
    """Return how far a resource of this type that comes in by this door is judged."""
    said = server.settings.validation
    found = said.types.get(type_name) or said.doors.get(door) or _usual(door, said.mode)
    return "structure" if found == "off" and type_name in _USED else found


def _usual(door: str, most: Mode) -> Mode:
    return "structure" if door == SAMPLED and most == "full" else most


def always_judged(server: Server) -> bool:
    """Return whether nothing is stored that has not the structure of R4."""
    said = server.settings.validation
    return "off" not in {said.mode, *said.types.values(), *said.doors.values()}


async def judged(
    server: Server,
    type_name: str,
    data: dict[str, Any],
    *,
    far: Mode = "full",
    advice: bool = False,
    profiles: Sequence[str] = (),
    raw: bytes | None = None,
    moment: Moment | None = None,
) -> Verdict:
    """Return what is wrong with a resource, `advice` on what might be better too.

    `far` is how far it is judged. `profiles` are those that it must conform to
    besides those that it claims. Of a resource whose text is `raw` profiles are
    only thought of where it mentions a profile or extension. `moment` is shared by all
    that one request judges. Issue texts quote no values.
    """
    if far == "off":
        return Verdict(_references(server, type_name, data))
    warnings = advice and server.settings.validation.warnings
    found = server.validator.judge(
        type_name, data, invariants=far == "full", warnings=warnings, advice=advice
    )
    readable = not any(one.code in _STRUCTURE and one.rule is None for one in found.issues)
    if far == "structure":
        return Verdict(found.issues, readable=readable)
    issues = [*found.issues, *await _bound(server, found)]
    if not has_errors(issues):
        wanted = (*profiles, *server.settings.validation.profiles.get(type_name, ()))
        signs = type_name == "Observation" and server.settings.validation.vital_signs
        if wanted or advice or signs or raw is None or any(word in raw for word in _PROFILED):
            size = None if raw is None else len(raw)
            found_so = await by_profiles(
                server, data, wanted, moment=moment, size=size, advice=advice
            )
            issues += map(_strictly(server), found_so)
    return Verdict(issues[: MAX_ISSUES + 1], readable=readable)


def _strictly(server: Server) -> Callable[[Issue], Issue]:
    """Return what makes an error of a claimed profile that is unknown, where that is wanted."""
    if server.settings.validation.unknown_profiles == "warning":
        return lambda issue: issue
    return lambda issue: (
        replace(issue, severity="error")
        if (issue.severity, issue.code) == ("warning", "not-found")
        else issue
    )


async def _bound(server: Server, found: Judged) -> list[Issue]:
    """Return the issues of the coded values that the terminology service is asked for."""
    asked = found.coded[:_MOST_CODED]
    memberships = server.memberships
    await memberships.find(question for one in asked for question in _questions(one))
    issues = []
    for one in asked:
        answers = [memberships.known(question)[1] for question in _questions(one)]
        if True not in answers:
            issues.append(bindings.unknown(one) if None in answers else bindings.outside(one))
    return issues


def _questions(coded: Coded) -> list[Question]:
    return [Question(coded.value_set, system, code) for system, code in coded.codings]


def _references(server: Server, type_name: str, data: dict[str, Any]) -> list[Issue]:
    """Return the references that cannot be read: all that is judged when nothing else is."""
    known = frozenset(server.definitions.type_ids)
    return [
        Issue("error", "invalid", "This is no reference", f"{path}.reference")
        for path, holder in references(server.definitions, type_name, data)
        if not is_reference(known, holder["reference"])
    ]


def has_errors(issues: Iterable[Issue]) -> bool:
    """Return whether something is wrong, and not only to be improved."""
    return any(issue.severity in _ERRORS for issue in issues)


def refusal(type_name: str, issues: Iterable[Issue], *, readable: bool) -> SangamError | None:
    """Return the refusal of a resource with these issues; None where none of them is an error.

    BadRequest where it is not `readable`, else Unprocessable.
    """
    errors = [issue for issue in issues if issue.severity in _ERRORS]
    if not errors:
        return None
    kind = Unprocessable if readable else BadRequest
    return kind(f"The {type_name} is not valid", issues=errors)
