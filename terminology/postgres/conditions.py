"""Pieces of SQL with the values that are bound in them.

https://www.psycopg.org/psycopg3/docs/basic/params.html
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from terminology.filters import Filter
from terminology.postgres.releases import Release


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on a concept, the row `c` of `tx.concept_<cs_id>`: values stand as %s."""

    sql: str
    parameters: tuple[object, ...] = ()
    members: tuple[str, ...] = ()
    """SELECTs that list the same concepts, each once, as `cid`; together they take the parameters.

    Where many fulfil the condition they are better listed than looked for one by one.
    """

    @property
    def lists(self) -> "list[Condition]":
        """Each of the lists with its parameters."""
        left = list(self.parameters)
        found = []
        for sql in self.members:
            own = tuple(left.pop(0) for _ in range(sql.count("%s")))
            found.append(Condition(sql, own))
        return found


Constraint = Callable[[Release, Filter], Awaitable[Condition]]
"""What an expression constraint (filter `constraint`) asks of a concept.

UnsupportedFilter or Refusal for one that cannot be evaluated.
"""

NEVER = Condition("false")
ALWAYS = Condition("true")


def both(conditions: Iterable[Condition]) -> Condition:
    """The condition that all hold."""
    known = [one for one in conditions if one != ALWAYS]
    if not known:
        return ALWAYS
    if len(known) == 1:
        return known[0]
    sql = " AND ".join(f"({one.sql})" for one in known)
    return Condition(sql, tuple(value for one in known for value in one.parameters))


def either(conditions: Iterable[Condition]) -> Condition:
    """The condition that at least one holds."""
    known = tuple(conditions)
    if not known:
        return NEVER
    sql = " OR ".join(f"({one.sql})" for one in known)
    return Condition(sql, tuple(value for one in known for value in one.parameters))


def negated(condition: Condition) -> Condition:
    """The condition that it does not hold, of what is not known either."""
    if condition.members:
        listed = " UNION ALL ".join(f"({one})" for one in condition.members)
        sql = f"NOT EXISTS (SELECT FROM ({listed}) AS o WHERE o.cid = c.cid)"
        return Condition(sql, condition.parameters)
    return Condition(f"({condition.sql}) IS NOT TRUE", condition.parameters)
