"""Expression constraints as data.

https://docs.snomed.org/snomed-ct-specifications/snomed-ct-expression-constraint-language
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Reference:
    """A concept by its id; `at` is where it stands in the text."""

    code: str
    at: int


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Any concept."""


@dataclass(frozen=True, slots=True)
class Alternate:
    """A concept by its code in another scheme."""

    scheme: str
    code: str
    at: int


@dataclass(frozen=True, slots=True)
class MemberOf:
    """The members of reference sets: their components, or the fields named (`*` = all)."""

    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Search:
    """A text sought: word beginnings in any order (`match`), or a pattern with `*` (`wild`)."""

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Dialect:
    """A dialect by alias or id, with the acceptabilities that count (none = any)."""

    name: "str | Sub"
    acceptability: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Time:
    """A date as `YYYYMMDD`, or the empty one of what is not yet released."""

    text: str


Value: TypeAlias = "Sub | Decimal | bool | tuple[Search | Time | Dialect | Reference | str, ...]"


@dataclass(frozen=True, slots=True)
class Condition:
    """`name operator value` inside a filter.

    Names are in lower case, but for those of a reference set's own fields.
    """

    name: str
    operator: str
    value: Value
    at: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions that hold together, of a concept (C), one description (D) or member (M)."""

    kind: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class History:
    """Inactive concepts to add: of a profile (MIN, MOD, MAX), or by the reference sets named."""

    profile: str | None
    subset: "Expression | None" = None


@dataclass(frozen=True, slots=True)
class Sub:
    """`operator ^ focus {{ filters }} {{ +history }}`, applied from the focus outwards."""

    focus: "Reference | Wildcard | Alternate | Expression"
    operator: str | None = None
    member: MemberOf | None = None
    filters: tuple[Filter, ...] = ()
    history: History | None = None

    @property
    def plain(self) -> bool:
        """True when there is nothing but a focus with its operator."""
        return not (self.member or self.filters or self.history)


@dataclass(frozen=True, slots=True)
class Compound:
    """Expressions joined by `and`, `or` or `minus` (of two)."""

    operator: str
    parts: tuple[Sub, ...]


@dataclass(frozen=True, slots=True)
class Attribute:
    """`[low..high] R name operator value`; a `high` of None is without end."""

    name: Sub
    operator: str
    value: Value
    low: int = 1
    high: int | None = None
    reverse: bool = False
    at: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Attributes of one relationship group; a `high` of None is without end."""

    attributes: "Refinement"
    low: int = 1
    high: int | None = None


@dataclass(frozen=True, slots=True)
class Combined:
    """Refinements of which all (`and`) or one (`or`) hold."""

    operator: str
    parts: tuple["Refinement", ...]


@dataclass(frozen=True, slots=True)
class Refined:
    """Those concepts of the focus that a refinement holds for."""

    focus: Sub
    refinement: "Refinement"


@dataclass(frozen=True, slots=True)
class Dotted:
    """The values that the concepts of the focus have of attributes, one after the other."""

    focus: Sub
    attributes: tuple[Sub, ...]


Refinement: TypeAlias = Attribute | Group | Combined
Expression: TypeAlias = Sub | Compound | Refined | Dotted


def references(part: object) -> Iterator[Reference]:
    """The concepts that an expression names."""
    todo = [part]
    while todo:
        one = todo.pop()
        if isinstance(one, Reference):
            yield one
        elif isinstance(one, tuple):
            todo.extend(one)
        elif is_dataclass(one):
            todo.extend(getattr(one, each.name) for each in fields(one))
