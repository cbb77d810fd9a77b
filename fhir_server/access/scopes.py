"""SMART scopes as grants.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias
from urllib.parse import parse_qsl, quote

from fhir_server.access.type_sets import ALONGSIDE
from fhir_server.rights import ANY, LETTERS, Grant, Inside, Limit, Matching, Wall
from fhir_server.search.clause import split

Context: TypeAlias = Literal["patient", "user", "system"]

OPERATOR = "sangam"
"""The context of operator scopes, as `sangam/audit`."""

OPERATORS: Mapping[str, str] = {
    "audit": "read who has seen and changed what",
    "break-glass": "review emergency access",
    "clients": "register apps and change what they may do",
    "dicom": "run the image archive",
    "explain": "see how searches are carried out",
    "expunge": "erase records for good",
    "hl7": "run the HL7 v2 interfaces",
    "labels": "lower security labels",
    "metrics": "read the figures of the server",
    "reindex": "have the search index made anew",
    "release": "release results to patients before their time",
    "roles": "change what roles may do",
}
"""What may be done by an operator scope, by the name after `sangam/`."""

V1: Mapping[str, str] = {"read": "rs", "write": "cud", "*": LETTERS}
"""The permissions of SMART 1 in the letters of SMART 2."""

COMMON = frozenset({"_id", "_lastUpdated", "_profile", "_security", "_source", "_tag"})
"""Parameters of all resources by which a scope may be limited; others control the answer."""

_SCOPE = re.compile(
    r"(?P<context>patient|user|system)/(?P<type>[A-Z][A-Za-z]*|\*)\."
    r"(?:(?P<v1>read|write|\*)|(?P<letters>c?r?u?d?s?)(?P<query>\?.+)?)",
    re.ASCII,
)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(:in)?", re.ASCII)
_LONGEST = 2_000


@dataclass(frozen=True, slots=True)
class Scope:
    """Letters for the resources of a type (`*`: of every type) that match `pairs`, all of them."""

    context: Context
    type: str
    letters: str
    pairs: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """Return the scope as SMART 2 writes it."""
        query = "&".join(f"{name}={quote(value, safe=_PLAIN)}" for name, value in self.pairs)
        return f"{self.context}/{self.type}.{self.letters}" + (f"?{query}" if query else "")


_CONTEXTS: Mapping[str, Context] = {"patient": "patient", "user": "user", "system": "system"}
_PLAIN = ":/|,.-_~$*"


@lru_cache(maxsize=4096)
def parse(text: str) -> Scope | None:
    """Return a scope on resources; None for any other, and for one that is malformed."""
    match = _SCOPE.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    type_, v1, letters, query = match.group("type", "v1", "letters", "query")
    letters = V1[v1] if v1 else letters
    found = pairs(query[1:]) if query else ()
    if not letters or found is None:
        return None
    return Scope(_CONTEXTS[match["context"]], type_, letters, found)


def pairs(query: str) -> tuple[tuple[str, str], ...] | None:
    """Return the parameters of a query string, decoded; None when one may not limit a right.

    Chains, `_has`, `_filter` and every modifier but `in` may not, nor what shapes an answer.
    """
    try:
        found = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict")
    except (ValueError, UnicodeDecodeError):
        return None
    if not all(value and _limits(name) for name, value in found):
        return None
    return tuple(sorted(set(found)))


def _limits(name: str) -> bool:
    code = name.removesuffix(":in")
    return bool(_NAME.fullmatch(name)) and (not code.startswith("_") or code in COMMON)


def scopes(text: str) -> tuple[Scope, ...]:
    """Return the scopes on resources of a scope string; what is malformed grants nothing."""
    found = (parse(one) for one in text.split())
    return tuple(dict.fromkeys(one for one in found if one is not None))


def operators(text: str) -> frozenset[str]:
    """Return the names of the operator scopes of a scope string."""
    named = (one.partition("/") for one in text.split())
    return frozenset(name for start, _, name in named if start == OPERATOR and name in OPERATORS)


def wall(text: str, patient: str | None) -> Wall:
    """Return what the scopes of a token let through, each a grant of its own.

    `patient` is the id of the patient in context, to whom `patient/` scopes are bound: without
    one they grant nothing.
    """
    return tuple(grant for one in scopes(text) for grant in _grants(one, patient))


def _grants(scope: Scope, patient: str | None) -> Iterable[Grant]:
    limits: tuple[Limit, ...] = (Matching(scope.pairs),) if scope.pairs else ()
    if scope.context != "patient":
        yield Grant(scope.type, scope.letters, limits)
    elif patient:
        yield from _of_patient(scope, (Inside("Patient", patient), *limits), limits)


def _of_patient(scope: Scope, inside: tuple[Limit, ...], limits: tuple[Limit, ...]) -> Wall:
    """Return the grants on a patient's compartment and on what may be read beside it."""
    reading = "".join(letter for letter in scope.letters if letter in "rs")
    if scope.type == ANY:
        beside = (Grant(one, reading, limits) for one in sorted(ALONGSIDE) if reading)
        return (Grant(ANY, scope.letters, inside), *beside)
    if scope.type in ALONGSIDE:
        return (Grant(scope.type, reading, limits),) if reading else ()
    return (Grant(scope.type, scope.letters, inside),)


def narrower(asked: str, granted: str) -> bool:
    """Return whether all of the scope string `asked` is within `granted`, as a refresh must be.

    A scope on resources may ask for fewer letters, one type of all, or more parameters, in the
    same context; any other must have been granted as it is.
    """
    others = set(granted.split())
    known = scopes(granted)
    return all(one in others or _covered(parse(one), known) for one in asked.split())


def _covered(scope: Scope | None, known: Iterable[Scope]) -> bool:
    """Return whether one whole scope covers each letter: several may share them."""
    if scope is None:
        return False
    covering = [
        one.letters
        for one in known
        if one.context == scope.context
        and one.type in {scope.type, ANY}
        and all(_implied(pair, scope.pairs) for pair in one.pairs)
    ]
    return all(any(letter in one for one in covering) for letter in scope.letters)


def _implied(pair: tuple[str, str], pairs: Iterable[tuple[str, str]]) -> bool:
    """Return whether one of `pairs` asks for no other values of the same parameter."""
    name, values = pair[0], set(split(pair[1], ","))
    return any(name == other and set(split(value, ",")) <= values for other, value in pairs)
