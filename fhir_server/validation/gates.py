"""Members without which an invariant cannot fail, read off its expression.

`dataAbsentReason.empty() or value.empty()` is met wherever either is absent, so
that most resources need not be asked at all.

https://hl7.org/fhir/R4/conformance-rules.html#constraints
"""

from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

from fhir_server.fhirpath.syntax import Binary, Call, Indexer, Literal, Member, Tree, TypeTest


class _Known(Enum):
    """What is known of a part's result; MET is true or empty."""

    EMPTY = auto()
    TRUE = auto()
    FALSE = auto()
    MET = auto()
    OPEN = auto()


_EMPTY, _TRUE, _FALSE, _MET, _OPEN = _Known
_PASSES: Final = frozenset((_EMPTY, _TRUE, _MET))
_OF_EMPTY: Final = {
    **dict.fromkeys(("empty", "all", "isDistinct", "allTrue"), _TRUE),
    **dict.fromkeys(("exists", "hasValue"), _FALSE),
    **dict.fromkeys(
        (
            *("not", "where", "select", "first", "tail", "startsWith", "contains", "matches"),
            *("toString", "trace", "resolve", "intersect", "distinct", "descendants"),
            *("children", "toInteger", "replaceMatches", "substring", "as", "ofType", "is"),
        ),
        _EMPTY,
    ),
}
_COMPARISONS: Final = frozenset(("=", "!=", "<", "<=", ">", ">=", "+", "-"))


def necessary(tree: Tree, type_name: str) -> list[str]:
    """Return the members of the context that must all be there for the tree to be false."""
    names = dict.fromkeys(_first_steps(tree, type_name))
    return [name for name in names if _without(tree, name, type_name) in _PASSES]


def _first_steps(tree: Tree, type_name: str) -> Iterator[str]:
    match tree:
        case Member(source, name):
            if source is None or _is_context(source, type_name):
                yield name
            else:
                yield from _first_steps(source, type_name)
        case Call(source, _, _) if source is not None:
            yield from _first_steps(source, type_name)
        case Indexer(source, _):
            yield from _first_steps(source, type_name)
        case Binary(_, left, right):
            yield from _first_steps(left, type_name)
            yield from _first_steps(right, type_name)
        case TypeTest(_, operand, _):
            yield from _first_steps(operand, type_name)


def _is_context(tree: Tree, type_name: str) -> bool:
    return type(tree) is Member and tree.source is None and tree.name == type_name


def _without(tree: Tree, absent: str, type_name: str) -> _Known:  # noqa: PLR0911  (one for each form)
    """Return what the tree gives where this member of the context is absent."""
    match tree:
        case Literal(value):
            return _constant(value)
        case Member(source, name):
            if source is None or _is_context(source, type_name):
                return _EMPTY if name == absent else _OPEN
            return _EMPTY if _without(source, absent, type_name) is _EMPTY else _OPEN
        case Call(source, name, _) if source is not None:
            return _called(name, _without(source, absent, type_name))
        case Indexer(source, _) | TypeTest(_, source, _):
            return _EMPTY if _without(source, absent, type_name) is _EMPTY else _OPEN
        case Binary(operator, left, right):
            known = _without(left, absent, type_name), _without(right, absent, type_name)
            return _combined(operator, *known)
    return _OPEN


def _constant(value: object) -> _Known:
    if value is None:
        return _EMPTY
    return (_TRUE if value else _FALSE) if type(value) is bool else _OPEN


def _called(name: str, source: _Known) -> _Known:
    if source is _EMPTY:
        return _OF_EMPTY.get(name, _OPEN)
    if name == "not" and source in {_TRUE, _FALSE}:
        return _FALSE if source is _TRUE else _TRUE
    return _OPEN


def _combined(operator: str, left: _Known, right: _Known) -> _Known:  # noqa: PLR0911  (as above)
    both = {left, right}
    if operator in _COMPARISONS:
        return _EMPTY if _EMPTY in both else _OPEN
    match operator:
        case "in":
            return _EMPTY if left is _EMPTY else _OPEN
        case "|":
            return _EMPTY if both == {_EMPTY} else _OPEN
        case "and":
            return _conjunction(both)
        case "or":
            return _disjunction(both)
        case "implies":
            return _implication(left, right)
        case "xor":
            return _exclusive(left, right)
    return _OPEN


def _conjunction(both: set[_Known]) -> _Known:
    if _FALSE in both:
        return _FALSE
    if both == {_TRUE}:
        return _TRUE
    return _MET if both <= _PASSES else _OPEN


def _disjunction(both: set[_Known]) -> _Known:
    if _TRUE in both:
        return _TRUE
    if both == {_FALSE}:
        return _FALSE
    return _MET if both & {_EMPTY, _MET} else _OPEN


def _implication(left: _Known, right: _Known) -> _Known:
    if left is _FALSE or right is _TRUE:
        return _TRUE
    if left is _TRUE:
        return right
    return _MET if left is _EMPTY else _OPEN


def _exclusive(left: _Known, right: _Known) -> _Known:
    if _EMPTY in {left, right}:
        return _EMPTY
    if {left, right} <= {_TRUE, _FALSE}:
        return _FALSE if left is right else _TRUE
    return _OPEN
