"""Whether a resource meets a condition, as a clause of statements that are written by hand.

https://hl7.org/fhir/R4/search.html
"""

import re
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from sqlalchemy import BigInteger, Select, column, literal_column, select

from fhir_server.search.condition import Condition
from fhir_server.search.each import each
from fhir_server.search.shape import Shape, conditions_shape
from fhir_server.search.sql import TERMS, Binds, conjunction, render

Of: TypeAlias = Literal["r.key", "c.key"]
"""The resource of which it is asked, as the statement around it says."""

_PLACE = re.compile(r"\$(\d+)")
_USE = re.compile(r"(?<!%)%s")


_AND = " AND "


@dataclass(frozen=True, slots=True)
class Clause:
    """SQL with `%s` places, to stand behind AND, and the values that go there.

    A deleted resource has no index rows and meets no condition.
    """

    sql: str = ""
    values: tuple[Any, ...] = ()

    @property
    def test(self) -> str:
        """Return the SQL without the AND."""
        return self.sql.removeprefix(_AND) or "true"

    def named(self) -> tuple[str, dict[str, Any]]:
        """Return the SQL without the AND and its values, with `%(wall0)s` places."""
        names = [f"wall{number}" for number in range(len(self.values))]
        left = iter(names)
        text = _USE.sub(lambda _: f"%({next(left)})s", self.test)
        return text, dict(zip(names, self.values, strict=True))


ANYTHING = Clause()

_MOST = 1024
_kept: OrderedDict[tuple[int, str], tuple[Condition, Clause]] = OrderedDict()


def passing(condition: Condition | None, of: Of = "r.key") -> Clause:
    """Return the clause that the resource meets the condition; None: any does."""
    if condition is None:
        return ANYTHING
    # By identity: what is kept of a caller's rights is asked again and again, and long.
    known = _kept.get((id(condition), of))
    if known is not None:
        return known[1]
    values: list[Any] = []
    sql, order = _passing(conditions_shape([each(condition)], values), of)
    clause = Clause(sql, tuple(values[place] for place in order))
    _kept[id(condition), of] = (condition, clause)
    if len(_kept) > _MOST:
        _kept.popitem(last=False)
    return clause


@lru_cache(maxsize=4096)
def _passing(shape: Shape, of: Of) -> tuple[str, tuple[int, ...]]:
    binds = Binds(planned_once=True)
    found: Select[Any] = (
        select(literal_column("true"))
        .where(
            TERMS.c.key == column(of, BigInteger(), is_literal=True),
            *conjunction(shape, binds),
        )
        .limit(literal_column("1"))
    )
    text, order = render(found, binds)
    # The places are numbered, and one may be used twice; psycopg's stand for one use each.
    uses = tuple(order[int(number) - 1] for number in _PLACE.findall(text))
    sql = _PLACE.sub("%s", text.replace("%", "%%"))
    # An EXISTS would be joined, and might begin with all that a caller may see.
    return f"{_AND}coalesce(({sql}), false)", uses
