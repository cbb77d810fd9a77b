"""Sets of concepts as SQL: listed, selected, or all.

Everything is put together by joins, UNION and anti-joins: PostgreSQL then never tests row by row
against a long list that does not fit its memory. Nor UNION ALL inside: it would be taken for one
of 200 concepts, however many there are. A set may have a concept twice.

https://www.postgresql.org/docs/current/functions-subquery.html
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from terminology.ecl.fragment import Fragment, joined, sql


@dataclass(frozen=True, slots=True)
class Known:
    """A concept that an expression names."""

    cid: int
    active: bool = True


@dataclass(frozen=True, slots=True)
class Ground:
    """The release that an expression is evaluated in.

    `concepts` are those that it names, by code; `properties` all of the system by code (their
    `prop_id`); `attributes` the `cid` of each property that is itself a concept, by `prop_id`.
    """

    cs_id: int
    concepts: Mapping[str, Known]
    properties: Mapping[str, int] = field(default_factory=dict)
    attributes: Mapping[int, int] = field(default_factory=dict)
    large: frozenset[int] = frozenset()
    """Those of the concepts that have a great many below them."""

    def table(self, name: str) -> str:
        """The part of a table that holds the release."""
        return f"tx.{name}_{self.cs_id}"


@dataclass(frozen=True, slots=True)
class Members:
    """A set: `listed`, or what `query` selects as `cid`, or (both None) every active concept.

    `clean` says that all of them are active, `once` that the query has none of them twice; `flat`
    is a query without twice too, that is faster where it stands alone. `near` is the condition
    that a column is of the set, where that need not list it.
    """

    listed: tuple[int, ...] | None = None
    query: Fragment | None = None
    clean: bool = False
    once: bool = False
    flat: Fragment | None = None
    near: Callable[[str], Fragment] | None = None

    @property
    def everything(self) -> bool:
        """True for the set of all active concepts."""
        return self.listed is None and self.query is None


EVERYTHING = Members(clean=True)
NOTHING = Members(listed=(), clean=True)


def select(ground: Ground, members: Members) -> Fragment:
    """A SELECT of the set as `cid`."""
    if members.listed is not None:
        # Not unnest: a scan of an index can be asked for one concept, as a member of a UNION too.
        table = ground.table("concept")
        return sql(f"SELECT cid FROM {table} WHERE cid = ANY({{}}::int[])", list(members.listed))
    if members.query is not None:
        return members.query
    return sql(f"SELECT cid FROM {ground.table('concept')} WHERE active")


def among(column: str, members: Members) -> Fragment:
    """The condition that a column is of the set; it is known to be a concept, or NULL."""
    if members.listed is not None:
        return sql(f"{column} = ANY({{}}::int[])", list(members.listed))
    if members.near is not None:
        return members.near(column)
    if members.query is not None:
        return sql(f"{column} IN ({{}})", members.query)
    return sql(f"{column} IS NOT NULL")


def not_among(column: str, members: Members) -> Fragment:
    """The condition that a column has a value that is not of the set."""
    if members.listed is not None:
        return sql(f"{column} <> ALL({{}}::int[])", list(members.listed))
    if members.near is not None:
        return sql(f"({column} IS NOT NULL AND NOT {{}})", members.near(column))
    if members.query is not None:
        return sql(
            f"({column} IS NOT NULL AND NOT EXISTS"
            f" (SELECT FROM ({{}}) AS other WHERE other.cid = {column}))",
            members.query,
        )
    return sql("FALSE")


def is_once(members: Members) -> bool:
    """True when a SELECT of the set has no concept twice."""
    return members.query is None or members.once


def select_once(ground: Ground, members: Members) -> Fragment:
    """A SELECT of the set as `cid`, each concept once."""
    found = members.flat or select(ground, members)
    return found if is_once(members) else sql("SELECT DISTINCT d.cid FROM ({}) AS d", found)


def selected(template: str, *parts: object, clean: bool = False, once: bool = False) -> Members:
    """The set that a SELECT gives."""
    return Members(query=sql(template, *parts), clean=clean, once=once)


def restricted(ground: Ground, members: Members, *conditions: Fragment) -> Members:
    """Those of the set that conditions on `s.cid` hold for."""
    return selected(
        "SELECT s.cid FROM ({}) AS s WHERE {}",
        select(ground, members),
        joined(" AND ", list(conditions)),
        clean=members.clean,
        once=is_once(members),
    )


def only_active(ground: Ground, members: Members) -> Members:
    """Those of the set that are active."""
    if members.clean:
        return members
    if members.listed is not None:
        active = {one.cid for one in ground.concepts.values() if one.active}
        if set(members.listed) <= {one.cid for one in ground.concepts.values()}:
            return Members(tuple(cid for cid in members.listed if cid in active), clean=True)
    return selected(
        f"SELECT s.cid FROM ({{}}) AS s JOIN {ground.table('concept')} AS c ON c.cid = s.cid"
        " WHERE c.active",
        select(ground, members),
        clean=True,
        once=is_once(members),
    )


def all_of(ground: Ground, parts: Sequence[Members]) -> Members:
    """What all sets have."""
    rest = [one for one in parts if not one.everything]
    clean = any(one.clean for one in rest)
    if not rest:
        return EVERYTHING
    if len(rest) < len(parts) and not clean:
        rest, clean = [only_active(ground, rest[0]), *rest[1:]], True
    if all(one.listed is not None for one in rest):
        common = set.intersection(*(set(one.listed or ()) for one in rest))
        return Members(tuple(sorted(common)), clean=clean)
    first, *others = sorted(rest, key=lambda one: one.listed is None)
    if not others:
        return Members(first.listed, first.query, clean, first.once)
    found = restricted(ground, first, *(among("s.cid", one) for one in others))
    return Members(query=found.query, clean=clean, once=found.once)


def one_of(ground: Ground, parts: Sequence[Members]) -> Members:
    """What one of the sets has."""
    clean = all(one.clean for one in parts)
    if clean and any(one.everything for one in parts):
        return EVERYTHING
    listed = tuple(dict.fromkeys(cid for one in parts for cid in one.listed or ()))
    queries = [select(ground, one) for one in parts if one.listed is None]
    if not queries:
        return Members(listed, clean=clean)
    if len(queries) == 1 and not listed:
        (only,) = (one for one in parts if one.listed is None)
        return only
    if listed:
        queries.append(select(ground, Members(listed)))
    united = [sql("({})", one) for one in queries]
    return Members(None, joined(" UNION ", united), clean, once=True)


def without(ground: Ground, members: Members, gone: Members) -> Members:
    """What the first set has and the second has not."""
    if gone.everything and members.clean:
        return NOTHING
    if gone.everything:
        gone = Members(query=select(ground, gone))
    return restricted(ground, members, not_among("s.cid", gone))
