"""Index rows of one resource."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from fhir_server.search.context import Context
from fhir_server.search.parameter import Parameter
from fhir_server.search.terms import term


class Edge(NamedTuple):
    """A literal reference to a local resource, by the parameter that indexes it."""

    param: int
    target_type: int
    target_id: str
    target_version: int | None


@dataclass(frozen=True, slots=True)
class IndexRows:
    """All that search stores of a resource: sorted, without doubles.

    `ranges` is keyed by table; each tuple holds that table's columns without `key`.
    """

    terms: tuple[int, ...]
    edges: tuple[Edge, ...]
    ranges: Mapping[str, list[tuple[Any, ...]]]


Writer: TypeAlias = "Callable[[Rows, Parameter, Any], None]"
"""Adds the rows of one element."""

_ALONE = frozenset({"present", "system", "exact", "of-type", "id:system"})


class Rows:
    """Rows as they are gathered from one resource."""

    __slots__ = ("codes", "context", "edges", "ranges", "terms")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.terms: set[int] = set()
        self.edges: set[Edge] = set()
        self.ranges: defaultdict[str, set[tuple[Any, ...]]] = defaultdict(set)
        self.codes: dict[int, list[str]] = {}

    def add(self, parameter: Parameter, form: str, *values: str) -> None:
        """Add one term."""
        self.terms.add(term(self.context.secret, parameter.id, form, *values))

    def sort_by(self, parameter: Parameter, code: str) -> None:
        """Let `code` be a value by which the resource sorts for this parameter."""
        self.codes.setdefault(parameter.id, []).append(code)


class PartRows(Rows):
    """Rows of a part of a composite: without the forms that are not searched there."""

    def add(self, parameter: Parameter, form: str, *values: str) -> None:
        """Add one term."""
        if form not in _ALONE:
            super().add(parameter, form, *values)
