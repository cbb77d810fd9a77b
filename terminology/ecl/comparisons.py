"""Comparisons that filters of concepts, descriptions and members share.

https://docs.snomed.org/snomed-ct-specifications/snomed-ct-expression-constraint-language
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from terminology.ecl.fragment import Fragment, sql
from terminology.ecl.members import Ground, Members, among, not_among
from terminology.ecl.syntax import Condition, Filter, Reference, Sub, Time
from terminology.ecl.unsupported import UnsupportedEcl


@dataclass(frozen=True, slots=True)
class Narrower:
    """What filters are evaluated with: `members` answers the expressions in them."""

    ground: Ground
    members: Callable[[Sub], Members]


def about_active(filters: Iterable[Filter], kind: str) -> bool:
    """True when a filter of the kind says itself whether what it is about is active."""
    return any(c.name == "active" for one in filters if one.kind == kind for c in one.conditions)


def items(one: Condition) -> tuple[object, ...]:
    """The items that a condition lists."""
    assert isinstance(one.value, tuple)
    return one.value


def signed(one: Condition, test: Fragment) -> Fragment:
    """The test of `=`, turned round for `!=`."""
    return sql("({})" if one.operator == "=" else "NOT ({})", test)


def is_active(column: str, one: Condition) -> Fragment:
    """Whether something is active; `*` is either."""
    if one.value == ("*",):
        return sql("TRUE")
    return sql(f"{column} = {{}}", (one.value is True) is (one.operator == "="))


def at_times(column: Fragment, one: Condition) -> Fragment:
    """Dates compare as the texts they are; `!=` is none of those listed."""
    listed = [each.text for each in items(one) if isinstance(each, Time)]
    operator, which = {"=": ("=", "ANY"), "!=": ("<>", "ALL")}.get(
        one.operator, (one.operator, "ANY")
    )
    return sql(f'{{}} COLLATE "C" {operator} {which}({{}}::text[])', column, listed)


def of_concepts(narrower: Narrower, column: str, one: Condition) -> Fragment:
    """Whether a column is of the concepts that a condition names."""
    if isinstance(one.value, Sub):
        members = narrower.members(one.value)
    else:
        known = narrower.ground.concepts
        named = (each.code for each in items(one) if isinstance(each, Reference))
        members = Members(tuple(known[code].cid for code in named))
    return (among if one.operator == "=" else not_among)(column, members)


def ids(one: Condition) -> list[str]:
    """The ids that a condition lists; an expression that would be evaluated is not supported."""
    if isinstance(one.value, Sub):
        return [only_id(one.value, one.name)]
    return [each.code if isinstance(each, Reference) else str(each) for each in items(one)]


def only_id(sub: Sub, name: str) -> str:
    """The one id that an expression is."""
    if sub.plain and sub.operator is None and isinstance(sub.focus, Reference):
        return sub.focus.code
    raise UnsupportedEcl(f"an expression as the value of {name}")
