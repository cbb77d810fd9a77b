"""Binary: it is seen by who sees the resource that its securityContext names.

A Binary has no search parameters and is in no compartment. Its only reference is indexed
under no parameter.

https://hl7.org/fhir/R4/binary.html#security
"""

from collections.abc import Callable, Iterator, Mapping

from fhir_server.rights import AFTER, BEFORE, Having, Inside, Limit, Opened, Related, Released
from fhir_server.search.condition import ALWAYS, NEVER, Both, Condition, Linked, Not, Refers, either
from fhir_server.server import Server

TYPE = "Binary"
CONTEXTS = (
    "Communication",
    "Composition",
    "Consent",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "ImagingStudy",
    "Media",
    "Observation",
    "Patient",
    "QuestionnaireResponse",
)
"""Types of which a securityContext may be; one of another type hides the Binary."""

LETTERS: Mapping[str, str] = {
    "c": "r",
    "r": "r",
    "s": "r",
    "u": "u",
    "d": "d",
    BEFORE: BEFORE,
    AFTER: AFTER,
}
"""What must be allowed of the context for each letter: an attachment is made to what is seen."""

OF_PATIENTS: tuple[type[Limit], ...] = (Having, Inside, Opened, Related, Released)
"""Limits that a Binary keeps by its context alone."""

_NO_PARAMETER = 0


def condition(
    server: Server, alone: Condition, beside: Condition, there: Callable[[str], Condition]
) -> Condition:
    """Return what a Binary must meet to be seen.

    `alone`: what one without a context must; `beside`: what one with a context must besides,
    as of labels; `there` gives what a context of a type must.
    """
    whole = (alone, *(there(name) for name in CONTEXTS))
    if all(one == ALWAYS for one in whole):
        return ALWAYS
    has_context = Refers(_NO_PARAMETER)
    found: list[Condition] = []
    if alone != NEVER:
        found.append(Both((alone, Not(has_context))))
    context = either(list(_contexts(server, there)))
    if NEVER not in (beside, context):
        found.append(Both((beside, context)))
    return either(found)


def _contexts(server: Server, there: Callable[[str], Condition]) -> Iterator[Condition]:
    for name in CONTEXTS:
        if (wanted := there(name)) != NEVER:
            yield Linked((_NO_PARAMETER,), server.definitions.type_ids[name], wanted, ALWAYS)
