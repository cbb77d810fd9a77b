"""Rows of a consent's rules, which searches look at (search/consents.py)."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fhir_server.access.label_codes import ALIASES, CONFIDENTIALITY, NORMAL, ORDER
from fhir_server.access.provisions import (
    Actions,
    Actors,
    Classes,
    Codes,
    Coding,
    Data,
    Dated,
    Labels,
    Now,
    Part,
    Place,
    Purposes,
    Reading,
    Rule,
    rules,
)
from fhir_server.search.consents import Kind
from fhir_server.search.date import EARLIEST, LATEST, Span
from fhir_server.search.parameter import Parameter, parameter_id
from fhir_server.search.registry import Registry, indexed_as
from fhir_server.search.terms import term
from fhir_server.search.token import token_term

PATIENT = "Patient"
_AUTHORS = frozenset(
    (
        *("asserter", "author", "enterer", "performer", "recorder", "requester", "sender"),
        *("agent", "source"),
    )
)
_NEITHER_CODES = frozenset(("_id", "_profile", "_security", "_tag", "identifier"))
_UNCLINICAL = frozenset(("_lastUpdated", "birthdate", "death-date", "payment-date", "value-date"))


@dataclass(frozen=True, slots=True)
class PartRow:
    """One thing that must be so; what the columns mean goes by the kind."""

    kind: Kind
    names: tuple[str, ...] = ()
    related: tuple[str, ...] = ()
    dependents: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    terms: tuple[int, ...] = ()
    types: tuple[int, ...] = ()
    span: Span = (EARLIEST, LATEST)


@dataclass(frozen=True, slots=True)
class Node:
    """A rule and all that must be so for it to count."""

    depth: int
    permit: bool
    parts: tuple[PartRow, ...]


@dataclass(frozen=True, slots=True)
class ConsentRow:
    """A consent that counts; one that is not `readable` has one node, which denies."""

    patient: str
    span: Span
    readable: bool
    nodes: tuple[Node, ...]

    @property
    def denies(self) -> bool:
        """Return whether some rule denies."""
        return not all(one.permit for one in self.nodes)

    @property
    def weight(self) -> int | None:
        """Return what decides for everybody and everything, None where that depends."""
        if not self.nodes or any(one.parts for one in self.nodes):
            return None
        return max(one.depth * 2 + (not one.permit) for one in self.nodes)


def consent_row(registry: Registry, reading: Reading) -> ConsentRow:
    """Return the rows of a consent; those of one that is not understood deny all."""
    if reading.root is None:
        return ConsentRow(reading.patient, reading.span, False, (Node(0, False, ()),))
    nodes = tuple(_node(registry, one) for one in rules(reading.root))
    return ConsentRow(reading.patient, reading.span, True, nodes)


def _node(registry: Registry, rule: Rule) -> Node:
    parts = tuple(
        row for part, permit in rule.parts for row in _rows(registry, part, permit=permit)
    )
    return Node(rule.depth, rule.permit, parts)


def _rows(registry: Registry, part: Part, *, permit: bool) -> Iterator[PartRow]:
    match part:
        case Actors(places):
            yield PartRow(Kind.ACTOR, _named(registry, places))
        case Actions(codes):
            yield PartRow(Kind.ACTION, codes)
        case Purposes(codes):
            yield PartRow(Kind.PURPOSE, codes)
        case Now(span):
            yield PartRow(Kind.NOW, span=span)
        case Labels(codings):
            yield from _labels(registry, codings, permit=permit)
        case Classes(types, profiles):
            yield _classes(registry, types, profiles)
        case Codes(codings):
            yield PartRow(Kind.TERMS, terms=tuple(_coded(registry, codings)))
        case Dated(span):
            dates = _ids(registry, _is_clinical_date)
            yield PartRow(Kind.WITHIN if permit else Kind.TOUCHES, terms=dates, span=span)
        case Data(named):
            yield _data(registry, named)


def _named(registry: Registry, places: Iterable[Place]) -> tuple[str, ...]:
    type_ids = registry.context.type_ids
    return tuple(f"{type_ids[type_name]}/{id_}" for type_name, id_ in places)


def _labels(registry: Registry, codings: Iterable[Coding], *, permit: bool) -> Iterator[PartRow]:
    """Yield the rows of labels: confidentiality is a mark up to which, or from which on.

    A permission is for what is labelled so or lower (Consent.provision.securityLabel), and a
    denial for so or higher: else it would leave the more confidential open. A permission has
    to allow for the confidentiality and for a sensitivity, a denial needs one of them.
    """
    levels = [ORDER.find(code) for system, code in codings if system == CONFIDENTIALITY]
    others = [one for one in codings if one[0] != CONFIDENTIALITY]
    if permit:
        if levels:
            above = ORDER[max(levels) + 1 :]
            yield PartRow(Kind.LACKS, terms=tuple(_labelled(registry, _graded(above))))
        if others:
            yield PartRow(Kind.TERMS, terms=tuple(_labelled(registry, others)))
        return
    if levels and min(levels) <= ORDER.index(NORMAL):
        # What has no label is normal; only what is lower is left out.
        if not others:
            below = ORDER[: min(levels)] if min(levels) > 0 else ""
            yield PartRow(Kind.LACKS, terms=tuple(_labelled(registry, _graded(below))))
        return
    marked = _graded(ORDER[min(levels) :]) if levels else ()
    yield PartRow(Kind.TERMS, terms=tuple(_labelled(registry, (*marked, *others))))


def _graded(codes: str) -> tuple[Coding, ...]:
    return tuple((CONFIDENTIALITY, code) for code in codes)


def _labelled(registry: Registry, codings: Iterable[Coding]) -> Iterator[int]:
    context = registry.context
    for type_name in record_types(registry):
        scope = parameter_id(type_name, "_security")
        for system, code in codings:
            for name in (system, *ALIASES.get(system, ())):
                yield token_term(context, scope, name, code)


def _classes(registry: Registry, types: Iterable[str], profiles: Iterable[str]) -> PartRow:
    secret = registry.context.secret
    terms = (
        term(secret, parameter_id(type_name, "_profile"), "uri", profile.partition("|")[0])
        for type_name in record_types(registry)
        for profile in profiles
    )
    type_ids = tuple(registry.context.type_ids[name] for name in types)
    return PartRow(Kind.TERMS, terms=tuple(terms), types=type_ids)


def _coded(registry: Registry, codings: Iterable[Coding]) -> Iterator[int]:
    """Yield the terms of codes under all token parameters of a patient's record."""
    for scope in _ids(registry, _is_code):
        for system, code in codings:
            yield token_term(registry.context, scope, system, code)


def _data(registry: Registry, named: Iterable[tuple[str, Place]]) -> PartRow:
    found: dict[str, tuple[str, ...]] = {}
    for meaning, place in named:
        found[meaning] = (*found.get(meaning, ()), *_named(registry, (place,)))
    tied = {meaning: found.get(meaning, ()) for meaning in ("related", "dependents", "authoredby")}
    return PartRow(
        Kind.DATA,
        names=(*found.get("instance", ()), *tied["related"], *tied["dependents"]),
        related=tied["related"],
        dependents=tied["dependents"],
        authors=tied["authoredby"],
        terms=_ids(registry, _is_author) if tied["authoredby"] else (),
    )


def record_types(registry: Registry) -> tuple[str, ...]:
    """Return the types of a patient's record: of the compartment, with the Patient."""
    known = registry.definitions.compartments[PATIENT]
    return tuple(sorted({name for name, codes in known.items() if codes} | {PATIENT}))


def _ids(registry: Registry, wanted: Callable[[Parameter], bool]) -> tuple[int, ...]:
    """Return the ids of the index rows of these parameters, on all types of a record."""
    found: dict[int, None] = {}
    for type_name in record_types(registry):
        parameters: Mapping[str, Parameter] = registry.official.by_type[type_name]
        for one in parameters.values():
            if wanted(one):
                found.update((own.id, None) for own in indexed_as(one, parameters))
    return tuple(found)


def _is_clinical_date(parameter: Parameter) -> bool:
    return parameter.type == "date" and parameter.code not in _UNCLINICAL


def _is_code(parameter: Parameter) -> bool:
    return parameter.type == "token" and parameter.code not in _NEITHER_CODES


def _is_author(parameter: Parameter) -> bool:
    return parameter.type == "reference" and parameter.code in _AUTHORS


def columns(node: Node) -> list[tuple[Any, ...]]:
    """Return the parts of a node as rows: number, kind, and the columns in their order."""
    return [
        (
            number,
            int(one.kind),
            list(one.names),
            list(one.related),
            list(one.dependents),
            list(one.authors),
            list(one.terms),
            list(one.types),
            *one.span,
        )
        for number, one in enumerate(node.parts)
    ]
