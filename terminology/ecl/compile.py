"""Expression constraints as SQL over the tables of a release.

https://docs.snomed.org/snomed-ct-specifications/snomed-ct-expression-constraint-language
"""

from functools import partial

from terminology.ecl.comparisons import Narrower, about_active
from terminology.ecl.concept_filters import concept_test
from terminology.ecl.cursor import InvalidEcl
from terminology.ecl.description_filters import description_test
from terminology.ecl.fragment import Fragment
from terminology.ecl.hierarchy import related
from terminology.ecl.members import (
    EVERYTHING,
    Ground,
    Members,
    all_of,
    one_of,
    only_active,
    select,
    select_once,
    selected,
    without,
)
from terminology.ecl.refine import Refiner, dotted, refined
from terminology.ecl.refsets import history_refsets, members_of, with_history
from terminology.ecl.syntax import (
    Alternate,
    Compound,
    Dotted,
    Expression,
    Reference,
    Refined,
    Sub,
    Wildcard,
    references,
)
from terminology.ecl.unsupported import UnsupportedEcl

STRICT = frozenset({"<", ">", "<!", ">!"})
"""Operators that lead from active concepts to active ones: only these are in the hierarchy."""


def compile_ecl(ground: Ground, expression: Expression) -> Fragment:
    """A SELECT of the concepts that an expression means, as `cid`, each once.

    InvalidEcl for a concept that is unknown, UnsupportedEcl, CostlyEcl.
    """
    for one in sorted(references(expression), key=lambda each: each.at):
        if one.code not in ground.concepts:
            raise InvalidEcl(f"the concept {one.code} is unknown", one.at)
    return select_once(ground, _members(ground, expression))


def _members(ground: Ground, expression: Expression, *, every: bool = False) -> Members:
    """The set of an expression; `every` keeps inactive concepts in it."""
    match expression:
        case Sub():
            return _sub(ground, expression, every=every)
        case Compound():
            return _compound(ground, expression, every=every)
        case Refined():
            focus = _sub(ground, expression.focus, every=every)
            refiner = Refiner(ground, partial(_sub, ground))
            return refined(refiner, focus, expression.refinement)
        case Dotted():
            found = _sub(ground, expression.focus, every=every)
            refiner = Refiner(ground, partial(_sub, ground))
            for name in expression.attributes:
                found = dotted(refiner, found, name)
            return found if every else only_active(ground, found)


def _sub(ground: Ground, sub: Sub, *, every: bool = False) -> Members:
    every = every or about_active(sub.filters, "C")
    narrower = Narrower(ground, partial(_sub, ground))
    found = _focus(ground, sub, every=every)
    if sub.member is not None:
        found = members_of(narrower, found, sub.member, sub.filters)
    elif any(one.kind == "M" for one in sub.filters):
        raise UnsupportedEcl("a filter of members without ^")
    if sub.operator is not None:
        found = related(ground, sub.operator, found)
    if not every:
        found = only_active(ground, found)
    found = _filtered(narrower, found, sub)
    if sub.history is None:
        return found
    subset = sub.history.subset
    everything = isinstance(subset, Sub) and subset == Sub(Wildcard())
    refsets = (
        history_refsets(ground, sub.history.profile)
        if subset is None or everything
        else _members(ground, subset, every=True)
    )
    return with_history(ground, found, refsets)


def _filtered(narrower: Narrower, members: Members, sub: Sub) -> Members:
    for one in sub.filters:
        if one.kind == "M":
            continue
        test = concept_test if one.kind == "C" else description_test
        members = selected(
            f"SELECT c.cid FROM {narrower.ground.table('concept')} AS c WHERE c.cid IN ({{}})"
            " AND {}",
            select(narrower.ground, members),
            test(narrower, one),
            clean=members.clean,
            once=True,
        )
    return members


def _focus(ground: Ground, sub: Sub, *, every: bool) -> Members:
    match sub.focus:
        case Reference() as one:
            return _reference(ground, one)
        case Wildcard():
            if every and sub.member is None and sub.operator not in STRICT:
                return selected(f"SELECT cid FROM {ground.table('concept')}", once=True)
            return EVERYTHING
        case Alternate() as one:
            raise UnsupportedEcl(f"an identifier of the scheme {one.scheme}")
        case inner:
            return _members(ground, inner, every=every or sub.member is not None)


def _reference(ground: Ground, one: Reference) -> Members:
    known = ground.concepts[one.code]
    return Members((known.cid,), clean=known.active)


def _compound(ground: Ground, compound: Compound, *, every: bool) -> Members:
    if compound.operator == "or":
        return one_of(ground, _alternatives(ground, compound.parts, every=every))
    parts = [_sub(ground, one, every=every) for one in compound.parts]
    if compound.operator == "minus":
        return without(ground, *parts)
    return all_of(ground, parts)


def _alternatives(ground: Ground, parts: tuple[Sub, ...], *, every: bool) -> list[Members]:
    """The sets of an OR: ids with the same operator are one set, however many there are."""
    found: list[Members] = []
    alike: dict[str | None, list[Reference]] = {}
    for one in parts:
        if one.plain and isinstance(one.focus, Reference) and one.operator not in {"!!>", "!!<"}:
            alike.setdefault(one.operator, []).append(one.focus)
        else:
            found.append(_sub(ground, one, every=every))
    for operator, named in alike.items():
        each = [_reference(ground, one) for one in named]
        members = one_of(ground, each)
        members = related(ground, operator, members) if operator else members
        found.append(members if every else only_active(ground, members))
    return found
