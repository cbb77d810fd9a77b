"""Which concepts, or which relationship groups, a refinement holds for.

A refinement such as `[0..0]` holds for all that are *not* of a set. So a clause is a set and the
side of it that is meant, and AND and OR of clauses are clauses again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from terminology.ecl.fragment import Fragment, joined, sql

CONCEPTS = ("cid",)
GROUPS = ("cid", "group_no", "solo")
"""Group 0 is none: each attribute in it has a group of its own, told by `solo`."""


@dataclass(frozen=True, slots=True)
class Clause:
    """Holds for the keys that `query` selects, or (`inside` False) for all others."""

    inside: bool
    query: Fragment


def always(keys: tuple[str, ...]) -> Clause:
    """The clause that holds for everything."""
    types = {"cid": "int", "group_no": "smallint", "solo": "tid"}
    nothing = ", ".join(f"NULL::{types[key]} AS {key}" for key in keys)
    return Clause(inside=False, query=sql(f"SELECT {nothing} WHERE FALSE"))


def combined(operator: str, clauses: Sequence[Clause], keys: tuple[str, ...]) -> Clause:
    """All of the clauses (`and`), or one of them (`or`).

    `A or not B` is `not (B without A)`, and so on.
    """
    inside = [one.query for one in clauses if one.inside]
    outside = [one.query for one in clauses if not one.inside]
    if operator == "and":
        if inside:
            return Clause(inside=True, query=_narrowed(inside, outside, keys))
        return Clause(inside=False, query=_united(outside))
    if outside:
        return Clause(inside=False, query=_narrowed(outside, inside, keys))
    return Clause(inside=True, query=_united(inside))


def _united(queries: list[Fragment]) -> Fragment:
    return joined(" UNION ", [sql("({})", one) for one in queries])


def _narrowed(kept: list[Fragment], gone: list[Fragment], keys: tuple[str, ...]) -> Fragment:
    """Keys of every query of the first list, and of none of the second."""
    if len(kept) == 1 and not gone:
        return kept[0]
    columns = ", ".join(f"k.{key}" for key in keys)
    same = " AND ".join(f"o.{key} = k.{key}" for key in keys)
    first, *others = kept
    tests = [sql(f"({columns}) IN ({{}})", one) for one in others]
    tests += [sql(f"NOT EXISTS (SELECT FROM ({{}}) AS o WHERE {same})", one) for one in gone]
    return sql(f"SELECT {columns} FROM ({{}}) AS k WHERE {{}}", first, joined(" AND ", tests))
