"""Filters of a value set's include.

https://hl7.org/fhir/R4/valueset-definitions.html#ValueSet.compose.include.filter
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import re2

from terminology.concepts import Concept

REGEX_MEMORY = 1 << 20
"""Bytes that one compiled pattern may take: a larger one is refused."""

HIERARCHY = frozenset(
    {"is-a", "descendent-of", "is-not-a", "generalizes", "child-of", "descendent-leaf"}
)
OPS = HIERARCHY | {"=", "in", "not-in", "regex", "exists"}


@dataclass(frozen=True, slots=True)
class Filter:
    """`property op value`; `path` is its place in the value set."""

    property: str
    op: str
    value: str | None
    path: str = ""


class UnsupportedFilter(Exception):
    """A filter that the code system cannot evaluate, with the reason in words."""

    def __init__(self, asked: Filter, reason: str) -> None:
        super().__init__(reason)
        self.filter = asked
        self.reason = reason


Test = Callable[[Concept], bool]


def property_test(asked: Filter, values: Callable[[Concept], tuple[str, ...]]) -> Test:
    """The test of a filter on values; `values` gives those of a concept as strings.

    A concept without the property matches `not-in` and `exists` = false, nothing else.
    UnsupportedFilter for an op on the hierarchy, a bad pattern or a bad truth value.
    """
    match asked.op:
        case "=":
            return lambda concept: asked.value in values(concept)
        case "in":
            wanted = _list(asked)
            return lambda concept: not wanted.isdisjoint(values(concept))
        case "not-in":
            unwanted = _list(asked)
            return lambda concept: unwanted.isdisjoint(values(concept))
        case "regex":
            pattern = regex(asked)
            return lambda concept: any(pattern(value) for value in values(concept))
        case "exists":
            expected = _truth(asked)
            return lambda concept: bool(values(concept)) is expected
    raise UnsupportedFilter(asked, "the operation is not one of a property")


def regex(asked: Filter) -> Callable[[str], bool]:
    """A whole-string match in linear time (RE2); UnsupportedFilter where it cannot be compiled."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = REGEX_MEMORY
    try:
        compiled = re2.compile(asked.value or "", options)
    except re2.error as error:
        raise UnsupportedFilter(asked, "the pattern is not one of RE2") from error
    return lambda value: compiled.fullmatch(value) is not None


def _list(asked: Filter) -> frozenset[str]:
    return frozenset(part.strip() for part in (asked.value or "").split(","))


def _truth(asked: Filter) -> bool:
    if asked.value not in {"true", "false"}:
        raise UnsupportedFilter(asked, "the value is neither true nor false")
    return asked.value == "true"


def every(tests: Iterable[Test]) -> Test:
    """The test that all tests hold."""
    known = tuple(tests)
    return lambda concept: all(test(concept) for test in known)
