"""A search as a value.

https://hl7.org/fhir/R4/search.html
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from fhir_server.config import Limits, SearchSettings
from fhir_server.errors import Issue
from fhir_server.search.condition import Condition

Pair: TypeAlias = tuple[str, str]
"""Name and value of a parameter, decoded."""

Summary: TypeAlias = Literal["true", "text", "data", "count", "false"]
Total: TypeAlias = Literal["none", "estimate", "accurate", "default"]


@dataclass(frozen=True, slots=True)
class RowKey:
    """Sort by a column of the range rows of `params`; `single`: a resource has at most one."""

    table: str
    column: str
    params: tuple[int, ...]
    single: bool
    descending: bool


@dataclass(frozen=True, slots=True)
class CodeKey:
    """Sort by the codes or references kept in `idx_code` under `params`."""

    params: tuple[int, ...]
    descending: bool


@dataclass(frozen=True, slots=True)
class ColumnKey:
    """Sort by a column that each resource has: `id`, `last_updated` or `key` (creation)."""

    column: Literal["id", "last_updated", "key"]
    descending: bool


@dataclass(frozen=True, slots=True)
class ScoreKey:
    """Sort by how well the words match `query`, a `tsquery`; the best come first."""

    query: str = ""

    @property
    def descending(self) -> bool:
        """Whether the greatest comes first."""
        return True


SortKey: TypeAlias = RowKey | CodeKey | ColumnKey | ScoreKey

CREATION = ColumnKey("key", descending=True)


@dataclass(frozen=True, slots=True)
class Include:
    """Resources to add to a page.

    Forward: what matches refer to by `params`. Reverse: the resources that refer
    by `params` to matches. A parameter's id tells the type that refers; `target`
    restricts the type referred to. None is any. `canonicals` are the types that a
    canonical may lead to. `types` are those of which it can bring resources; none means
    any. `wall` is what these must meet to be there for who asks, as in `condition.Linked`.
    """

    params: tuple[int, ...] | None
    target: int | None
    reverse: bool
    iterate: bool
    canonicals: "tuple[Canonical, ...]" = ()
    types: tuple[int, ...] = ()
    wall: Condition | None = None


class Canonical(NamedTuple):
    """A type that canonicals lead to, by the ids of its parameters `url` and `version`."""

    url: int
    version: int


@dataclass(frozen=True, slots=True)
class Query:
    """A search that was understood.

    `type_ids` are the types searched; none means all. `count` matches make a page; 0 asks for the
    total alone. `applied` are the parameters that are in force, as the self link
    shows them; `warnings` say what is not. `lists` are alternatives of List ids, each of
    which has to hold; `explain` asks for the plan beside the answer. `guard` says that
    rights have been looked at: of who may see all (`open`), or of who may not (`walled`);
    without, it does not compile. `top` is what all that is found must meet to be there.
    """

    type_ids: tuple[int, ...]
    conditions: tuple[Condition, ...]
    sort: tuple[SortKey, ...]
    count: int
    total: Total
    includes: tuple[Include, ...]
    summary: Summary
    elements: tuple[str, ...]
    applied: tuple[tuple[str, str], ...]
    warnings: tuple[Issue, ...]
    lists: tuple[tuple[str, ...], ...] = ()
    explain: bool = False
    guard: Literal["", "open", "walled"] = ""
    top: Condition | None = None

    @property
    def asked(self) -> tuple[Condition, ...]:
        """Return the conditions together with what all that is found must meet to be there."""
        return self.conditions if self.top is None else (*self.conditions, self.top)


@dataclass(frozen=True, slots=True)
class Rules:
    """What bounds a search: the settings, and whether unknown parameters are ignored."""

    search: SearchSettings
    limits: Limits
    lenient: bool = False
