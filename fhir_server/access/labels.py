"""Security labels: what they hide, and who may lower them.

https://hl7.org/fhir/R4/security-labels.html
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from fhir_server.access.label_codes import (
    ACT_CODE,
    ALIASES,
    CONFIDENTIALITY,
    NO_OVERRIDE,
    NORMAL,
    ORDER,
    OURS,
    SENSITIVITIES,
)
from fhir_server.r4 import json
from fhir_server.rights import ANY, Cleared, Grant, Limit, Opened, Released, Rights, Wall
from fhir_server.search.condition import Both, Condition, Either, Not, Terms
from fhir_server.search.parameter import parameter_id
from fhir_server.search.terms import term
from fhir_server.search.token import token_term
from fhir_server.server import Server

Coding = tuple[str, str]
"""System and code; the system is empty where none was said."""

LABELS = "labels"
"""Operator scope of who may lower labels."""

RELEASE = "release"
"""Operator scope of who may release what is labelled to patients."""


def wall(confidentiality: str, sensitivities: Iterable[str], user: str | None = None) -> Wall:
    """Return what labels let through for this clearance.

    `user`: staff may have records opened in an emergency, and patients see what is labelled
    once a clinician has released it. What is created may be labelled above the clearance.
    """
    cleared: tuple[Limit, ...] = (Cleared(confidentiality, tuple(sensitivities)),)
    return (Grant(ANY, "rsud", cleared), Grant(ANY, "c"), *_besides(user or ""))


def _besides(user: str) -> Iterator[Grant]:
    kind = user.partition("/")[0]
    if kind in ("Practitioner", "PractitionerRole"):
        yield Grant(ANY, "rs", (Opened(user), Cleared("V", (ANY,), breaking=True)))
    if kind in ("Patient", "RelatedPerson"):
        yield Grant(ANY, "rs", (Released(),))


def compiled(server: Server, limit: Cleared, type_name: str) -> Condition:
    """Return the condition that no label forbids, and none of confidentiality is unknown."""
    if limit.breaking:
        return Not(Terms(tuple(terms(server, type_name, ((OURS, NO_OVERRIDE),)))))
    level = ORDER.find(limit.confidentiality)
    hidden = terms(server, type_name, _hidden(server, limit))
    forbidden: Condition = Not(Terms(tuple(hidden)))
    if level < ORDER.index(NORMAL):
        # What has no label is normal: to who is cleared for less it is not there.
        return Both((forbidden, Terms(tuple(_graded(server, type_name)))))
    scope = parameter_id(type_name, "_security")
    graded = tuple(
        term(server.registry.context.secret, scope, "system", system)
        for system in (CONFIDENTIALITY, *ALIASES[CONFIDENTIALITY])
    )
    known = Terms(tuple(_graded(server, type_name)))
    within = Both((forbidden, Either((Not(Terms(graded)), known))))
    return Either((unlabelled(server, type_name), within))


def unlabelled(server: Server, type_name: str) -> Condition:
    """Return the condition of having no label: as most have none, it is asked first."""
    scope = parameter_id(type_name, "_security")
    return Not(Terms((term(server.registry.context.secret, scope, "present"),)))


def _graded(server: Server, type_name: str) -> Iterator[int]:
    return terms(server, type_name, ((CONFIDENTIALITY, code) for code in ORDER))


def _hidden(server: Server, limit: Cleared) -> Iterator[Coding]:
    # A clearance that is none, as of a role that was misspelt, is below all.
    level = ORDER.find(limit.confidentiality)
    yield from ((CONFIDENTIALITY, code) for code in ORDER[level + 1 :])
    if ANY in limit.sensitivities:
        return
    granted = set(limit.sensitivities)
    for system, code in sensitive(server):
        if code not in granted and f"{system}|{code}" not in granted:
            yield system, code


def sensitive(server: Server) -> Iterator[Coding]:
    """Yield the labels that need a grant of their own."""
    yield from ((ACT_CODE, code) for code in SENSITIVITIES)
    for one in server.settings.security.labels.sensitivities:
        system, _, code = one.rpartition("|")
        yield system, code


def terms(
    server: Server, type_name: str, codings: Iterable[Coding], parameter: str = "_security"
) -> Iterator[int]:
    """Yield the terms of labels, by all names of their systems and where none was said."""
    context, scope = server.registry.context, parameter_id(type_name, parameter)
    for system, code in codings:
        for name in (system, *ALIASES.get(system, ())):
            yield token_term(context, scope, name, code)
        yield term(context.secret, scope, "plain", code.casefold())


def codings(resource: Mapping[str, Any]) -> frozenset[Coding]:
    """Return the labels of a resource, in the systems' present names."""
    meta = resource.get("meta")
    return labels(meta.get("security") if isinstance(meta, Mapping) else None)


def labels(array: object) -> frozenset[Coding]:
    """Return the codings of a JSON array of them, in the systems' present names."""
    given = array if isinstance(array, list) else ()
    return frozenset(
        (_present(str(one.get("system", ""))), str(one["code"]))
        for one in given
        if isinstance(one, Mapping) and "code" in one
    )


def _present(system: str) -> str:
    return _SYSTEMS.get(system, system)


_SYSTEMS = {alias: system for system, names in ALIASES.items() for alias in names}


def stored(array: bytes | str | None) -> frozenset[Coding]:
    """Return the codings of the JSON text of an array of labels."""
    return (
        labels(json.decode(array.encode() if isinstance(array, str) else array))
        if array
        else frozenset()
    )


def aside(rights: Rights) -> Rights:
    """Return the rights without what labels take away."""
    walls = tuple(tuple(_unlabelled(grant) for grant in wall) for wall in rights.walls)
    return Rights(walls, rights.operator)


def _unlabelled(grant: Grant) -> Grant:
    kept = tuple(one for one in grant.limits if not isinstance(one, Cleared))
    return replace(grant, limits=kept)


def is_lowered(before: frozenset[Coding], after: frozenset[Coding]) -> bool:
    """Return whether a label is gone or confidentiality is less than it was."""
    kept = {one for one in before if one[0] != CONFIDENTIALITY}
    return not kept <= after or _level(after) < _level(before)


def _level(found: frozenset[Coding]) -> int:
    levels = [ORDER.find(code) for system, code in found if system == CONFIDENTIALITY]
    return max(levels, default=ORDER.index(NORMAL))


def may_lower(rights: Rights) -> bool:
    """Return whether who has these rights may take labels away."""
    return not rights.walls or not rights.operator.isdisjoint((LABELS, ANY))


def may_release(rights: Rights) -> bool:
    """Return whether who has these rights may tag what is labelled as released to the patient."""
    return may_lower(rights) or RELEASE in rights.operator
