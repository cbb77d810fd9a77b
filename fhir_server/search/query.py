"""A search as a value.

https://hl7.org/fhir/R4/search.html
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from fhir_server.config import Limits, SearchSettings
from fhir_server.errors import Issue
from fhir_server.search.condition import Condition

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


SortKey: TypeAlias = RowKey | CodeKey | ColumnKey

CREATION = ColumnKey("key", descending=True)


@dataclass(frozen=True, slots=True)
class Include:
    """Resources to add to a page.

    Forward: what matches refer to by `params`. Reverse: the resources that refer
    by `params` to matches. A parameter's id tells the type that refers; `target`
    restricts the type referred to. None is any.
    """

    params: tuple[int, ...] | None
    target: int | None
    reverse: bool
    iterate: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A search that was understood.

    `type_ids` are the types searched; none means all. `count` matches make a page; 0 asks for the
    total alone. `applied` are the parameters that are in force, as the self link
    shows them; `warnings` say what is not.
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


@dataclass(frozen=True, slots=True)
class Rules:
    """What bounds a search: the settings, and whether unknown parameters are ignored."""

    search: SearchSettings
    limits: Limits
    lenient: bool = False
