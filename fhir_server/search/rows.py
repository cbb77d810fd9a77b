"""Index rows of one resource."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from fhir_server.search.context import Context
from fhir_server.search.parameter import Parameter
from fhir_server.search.terms import term


class Edge(NamedTuple):
    """A literal reference to a local resource, by the parameter that indexes it."""

    param: int
    target_type: int
    target_id: str
    target_version: int | None


class Coding(NamedTuple):
    """A coding under a parameter, with the term that stands for both."""

    param: int
    term: int
    system: str
    code: str


@dataclass(frozen=True, slots=True)
class IndexRows:
    """All that search stores of a resource: sorted, without doubles.

    `ranges` is keyed by table; each tuple holds that table's columns without `key`.
    `contained` are the resources in it to which a chain can lead. `codings` are those of
    it and of them.
    """

    terms: tuple[int, ...]
    edges: tuple[Edge, ...]
    ranges: Mapping[str, list[tuple[Any, ...]]]
    contained: "tuple[Contained, ...]" = ()
    codings: tuple[Coding, ...] = ()

    @property
    def count(self) -> int:
        """Return how many rows these are, by which a resource is capped."""
        own = len(self.terms) + len(self.edges) + sum(map(len, self.ranges.values()))
        return own + sum(one.rows.count for one in self.contained)


CONTAINER = -1
"""The place of the resource itself, beside the places of what it contains."""


@dataclass(frozen=True, slots=True)
class Contained:
    """A contained resource and what refers to it: (place of the one that refers, parameter)."""

    type_id: int
    rows: IndexRows
    links: tuple[tuple[int, int], ...]


Writer: TypeAlias = "Callable[[Rows, Parameter, Any], None]"
"""Adds the rows of one element."""

_ALONE = frozenset({"present", "system", "exact", "of-type", "id:system", "year", "month"})


_MOST_REPEATED = 1 << 15
_LONGEST_REPEATED = 500

_Repeated: TypeAlias = tuple[
    tuple[int, ...], tuple[Edge, ...], tuple[Coding, ...], tuple[str, ...], tuple[str, ...]
]
"""Terms, edges, codings, codes and texts."""

Part: TypeAlias = tuple[set[int], dict[str, set[tuple[Any, ...]]]]
"""The terms and the range rows of one component of a composite."""


class Rows:
    """Rows as they are gathered from one resource.

    `parts` are the components' rows that composites share, by type and identity of
    the values, which are kept beside them. `version` is the business version of a
    resource that has a canonical URL. `texts` are those that go with the codes of each
    parameter, `inner` the parameters that refer to each contained resource.
    """

    __slots__ = (
        "codes",
        "codings",
        "context",
        "edges",
        "inner",
        "parts",
        "ranges",
        "terms",
        "texts",
        "version",
    )

    def __init__(self, context: Context, version: object = None) -> None:
        self.context = context
        self.version = version if isinstance(version, str) else None
        self.terms: set[int] = set()
        self.edges: set[Edge] = set()
        self.ranges: defaultdict[str, set[tuple[Any, ...]]] = defaultdict(set)
        self.codes: dict[int, list[str]] = {}
        self.codings: set[Coding] = set()
        self.texts: dict[int, list[str]] = {}
        self.inner: dict[str, set[int]] = {}
        self.parts: dict[tuple[object, ...], tuple[object, Part]] = {}

    def add(self, parameter: Parameter, form: str, *values: str) -> None:
        """Add one term."""
        self.terms.add(term(self.context.secret, parameter.id, form, *values))

    def use(self, parameter: Parameter, system: str, code: str, term_: int) -> None:
        """Let a coding be one that is in use, and its term find the resource."""
        self.terms.add(term_)
        self.codings.add(Coding(parameter.id, term_, system, code))

    def repeat(self, write: Callable[..., None], parameter: Parameter, *values: str | None) -> None:
        """Write what `write` writes of values that may come again and again: it is kept then.

        It writes terms, edges and codings, and codes and texts of this parameter, by what
        is given here alone.
        """
        made = self.context.written
        key = (type(self), write, parameter.id, values)
        found: _Repeated | Literal[True] | None = made.get(key)
        if found is None:
            # Most of what comes once, as a reference to a result, never comes again.
            if len(made) >= _MOST_REPEATED:
                made.clear()
            if sum(len(value or "") for value in values) <= _LONGEST_REPEATED:
                made[key] = True
            write(self, parameter, *values)
            return
        if found is True:
            found = made[key] = self._made(write, parameter, values)
        terms, edges, codings, codes, texts = found
        self.terms.update(terms)
        if edges:
            self.edges.update(edges)
        if codings:
            self.codings.update(codings)
        if codes:
            self.codes.setdefault(parameter.id, []).extend(codes)
        if texts:
            self.texts.setdefault(parameter.id, []).extend(texts)

    def _made(
        self, write: Callable[..., None], parameter: Parameter, values: tuple[str | None, ...]
    ) -> "_Repeated":
        rows = type(self)(self.context)
        write(rows, parameter, *values)
        codes, texts = (found.get(parameter.id, ()) for found in (rows.codes, rows.texts))
        return tuple(rows.terms), tuple(rows.edges), tuple(rows.codings), tuple(codes), tuple(texts)

    def add_text(self, parameter: Parameter, text: str) -> None:
        """Let `text` be one that the modifier `text` of this parameter searches."""
        self.texts.setdefault(parameter.id, []).append(text)

    def refer_inside(self, parameter: Parameter, name: str) -> None:
        """Let this parameter refer to the contained resource of this id."""
        self.inner.setdefault(name, set()).add(parameter.id)

    def sort_by(self, parameter: Parameter, code: str) -> None:
        """Let `code` be a value by which the resource sorts for this parameter."""
        self.codes.setdefault(parameter.id, []).append(code)


class PartRows(Rows):
    """Rows of a part of a composite: without the forms that are not searched there."""

    def use(self, parameter: Parameter, system: str, code: str, term_: int) -> None:
        """Leave the coding out."""

    def add_text(self, parameter: Parameter, text: str) -> None:
        """Leave the text out."""

    def add(self, parameter: Parameter, form: str, *values: str) -> None:
        """Add one term."""
        if form not in _ALONE:
            super().add(parameter, form, *values)
