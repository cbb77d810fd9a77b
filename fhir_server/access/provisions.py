"""A Consent read as rules: provisions, the exceptions to them, and the parts of each.

What is not understood makes the whole unreadable, as a part that is passed over might be the
one that denies.

https://hl7.org/fhir/R4/consent.html
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from fhir_server.access import purposes
from fhir_server.search.context import Context
from fhir_server.search.date import EARLIEST, LATEST, Span, period_span
from fhir_server.search.reference import literal

SCOPE: Final = "http://terminology.hl7.org/CodeSystem/consentscope"
PRIVACY: Final = "patient-privacy"
ACTIONS: Final = "http://terminology.hl7.org/CodeSystem/consentaction"
RESOURCE_TYPES: Final = "http://hl7.org/fhir/resource-types"
PROFILES: Final = "urn:ietf:rfc:3986"
DEEPEST: Final = 5
"""How many exceptions may lie in one another."""
MOST: Final = 500
"""Provisions that are read of one consent."""

_POLICIES = {"OPTIN": True, "OPTINR": True, "OPTOUT": False, "OPTOUTE": False}
_KNOWN_ACTIONS = frozenset(("collect", "access", "use", "disclose", "correct"))
_MEANINGS = frozenset(("instance", "related", "dependents", "authoredby"))
_TYPES: Mapping[str | None, bool] = {"permit": True, "deny": False}

Json: TypeAlias = Mapping[str, Any]
Coding: TypeAlias = tuple[str, str]
"""System and code."""
Place: TypeAlias = tuple[str, str]
"""Type and id."""


class UnreadableError(Exception):
    """The consent says something that is not understood here."""


@dataclass(frozen=True, slots=True)
class Actors:
    """Who asks is, or belongs to, one of these."""

    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Actions:
    """What is done is one of these."""

    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Purposes:
    """What it is done for is one of these, or a kind of one."""

    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Now:
    """It is done in this interval."""

    span: Span


@dataclass(frozen=True, slots=True)
class Labels:
    """The resource has one of these labels."""

    codings: tuple[Coding, ...]


@dataclass(frozen=True, slots=True)
class Classes:
    """The resource is of one of these types, or claims one of these profiles."""

    types: tuple[str, ...]
    profiles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Codes:
    """The resource has one of these codes."""

    codings: tuple[Coding, ...]


@dataclass(frozen=True, slots=True)
class Dated:
    """The resource is clinically of this interval."""

    span: Span


@dataclass(frozen=True, slots=True)
class Data:
    """The resource is one of these (meaning, place), or tied to one as the meaning says."""

    named: tuple[tuple[str, Place], ...]


Part: TypeAlias = Actors | Actions | Purposes | Now | Labels | Classes | Codes | Dated | Data


@dataclass(frozen=True, slots=True)
class Provision:
    """A rule for what meets all parts, with the exceptions to it.

    `permit` is None where it decides nothing by itself.
    """

    permit: bool | None
    parts: tuple[Part, ...] = ()
    inner: "tuple[Provision, ...]" = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """A provision of its own, with all that must be met: its parts, and those around it.

    Each part comes with whether the provision that has it permits, by which labels and dates
    are read: an exception is one to what its parent matches.
    """

    depth: int
    permit: bool
    parts: tuple[tuple[Part, bool], ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """A consent that counts: whose record it is about, when, and its rules.

    `root` is None where it is not understood.
    """

    patient: str
    span: Span
    root: Provision | None


def read(consent: Json, context: Context) -> Reading | None:
    """Return what a Consent says of the record of a Patient here; None if it does not count."""
    patient = _reference(consent.get("patient"), context)
    if consent.get("status") != "active" or not _is_privacy(consent) or patient is None:
        return None
    if patient[0] != "Patient":
        return None
    try:
        given = consent.get("provision") or {}
        span = _span(given.get("period"), context) or (EARLIEST, LATEST)
        return Reading(patient[1], span, _root(consent, given, context))
    except (UnreadableError, ValueError, TypeError, AttributeError):
        return Reading(patient[1], (EARLIEST, LATEST), None)


def rules(root: Provision) -> Iterator[Rule]:
    """Yield the rules of a consent; without one that decides it says nothing."""
    ahead: list[tuple[int, tuple[tuple[Part, bool | None], ...], Provision]] = [(0, (), root)]
    while ahead:
        depth, around, one = ahead.pop()
        parts = (*around, *((part, one.permit) for part in one.parts))
        if one.permit is not None:
            # What decides nothing by itself is read as the exception to it is.
            read = ((part, one.permit if kind is None else kind) for part, kind in parts)
            yield Rule(depth, one.permit, tuple(read))
        ahead += [(depth + 1, parts, inner) for inner in one.inner]


def _is_privacy(consent: Json) -> bool:
    scope = consent.get("scope") or {}
    return any(
        one.get("code") == PRIVACY and one.get("system", SCOPE) == SCOPE
        for one in scope.get("coding", ())
    )


def _root(consent: Json, given: Json, context: Context) -> Provision:
    """Return the policy of the consent, to which its provision is the exception."""
    if "modifierExtension" in consent or "implicitRules" in consent:
        raise UnreadableError
    whole = _provision(given, context, 0) if given else None
    policy = _policy(consent.get("policyRule") or {})
    if policy is None and (whole is None or (whole.permit is None and not whole.inner)):
        raise UnreadableError
    found = Provision(policy, (), (whole,) if whole else ())
    if sum(1 for _ in rules(found)) > MOST:
        raise UnreadableError
    return found


def _policy(concept: Json) -> bool | None:
    codes = [one.get("code") for one in concept.get("coding", ())]
    found = {_POLICIES[code] for code in codes if code in _POLICIES}
    return found.pop() if len(found) == 1 else None


def _provision(given: Json, context: Context, depth: int) -> Provision:
    if depth > DEEPEST or "modifierExtension" in given:
        raise UnreadableError
    named = given.get("type")
    if named not in _TYPES and (depth or named is not None):
        raise UnreadableError
    parts = [make(given[name], context) for name, make in _PARTS.items() if name in given]
    if depth and "period" in given:
        parts.append(Now(_required(given["period"], context)))
    inner = tuple(_provision(one, context, depth + 1) for one in given.get("provision", ()))
    return Provision(_TYPES.get(named), tuple(parts), inner)


def _actors(given: list[Json], context: Context) -> Actors:
    return Actors(tuple(_place(one, one.get("reference"), context) for one in given))


def _actions(given: list[Json], context: Context) -> Actions:  # noqa: ARG001  (_PARTS)
    codes = [coding["code"] for one in given for coding in one.get("coding", ({"code": ""},))]
    if not codes or not set(codes) <= _KNOWN_ACTIONS:
        raise UnreadableError
    return Actions(tuple(codes))


def _purposes(given: list[Json], context: Context) -> Purposes:  # noqa: ARG001  (_PARTS)
    codings = _codings(given)
    if any(system != purposes.SYSTEM for system, _ in codings):
        raise UnreadableError
    return Purposes(tuple(code for _, code in codings))


def _labels(given: list[Json], context: Context) -> Labels:  # noqa: ARG001  (_PARTS)
    return Labels(_codings(given))


def _classes(given: list[Json], context: Context) -> Classes:
    codings = _codings(given)
    types = tuple(code for system, code in codings if system == RESOURCE_TYPES)
    profiles = tuple(code for system, code in codings if system == PROFILES)
    if len(types) + len(profiles) < len(codings) or not set(types) <= context.type_ids.keys():
        raise UnreadableError
    return Classes(types, profiles)


def _codes(given: list[Json], context: Context) -> Codes:  # noqa: ARG001  (_PARTS)
    if not all(one.get("coding") for one in given):
        raise UnreadableError
    return Codes(tuple(one for concept in given for one in _codings(concept["coding"])))


def _dated(given: Json, context: Context) -> Dated:
    return Dated(_required(given, context))


def _data(given: list[Json], context: Context) -> Data:
    if not all(one.get("meaning") in _MEANINGS for one in given):
        raise UnreadableError
    return Data(
        tuple((one["meaning"], _place(one, one.get("reference"), context)) for one in given)
    )


_PARTS: Mapping[str, Callable[[Any, Context], Part]] = {
    "actor": _actors,
    "action": _actions,
    "purpose": _purposes,
    "securityLabel": _labels,
    "class": _classes,
    "code": _codes,
    "dataPeriod": _dated,
    "data": _data,
}


def _codings(given: list[Json]) -> tuple[Coding, ...]:
    found = tuple((one.get("system", ""), one.get("code", "")) for one in given)
    if not found or not all(system and code for system, code in found):
        raise UnreadableError
    return found


def _place(holder: Json, reference: Json | None, context: Context) -> Place:
    found = _reference(reference, context)
    if found is None or "modifierExtension" in holder:
        raise UnreadableError
    return found


def _reference(reference: Json | None, context: Context) -> Place | None:
    found = literal((reference or {}).get("reference") or "", context)
    return (found.type, found.id) if found is not None and found.base is None else None


def _span(period: Json | None, context: Context) -> Span | None:
    return _required(period, context) if period else None


def _required(period: Json, context: Context) -> Span:
    found = period_span(dict(period), context)
    if found is None:
        raise UnreadableError
    return found
