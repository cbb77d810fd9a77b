"""Resources that lie in one another: places, organisations, encounters.

https://hl7.org/fhir/R4/search.html#recursive
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    SmallInteger,
    Text,
    cast,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY

from fhir_server import tables
from fhir_server.search.sphere import Take

DEPTH = 20
"""Steps up or down that are followed; it also ends a circle."""


def within(
    name: str,
    take: Take,
    walled: Callable[[ColumnElement[int]], list[ColumnElement[bool]]],
    *,
    above: bool,
) -> Select[Any]:
    """Return the keys of the resources that refer to the given ones, or below (`above`) them.

    Values: ids, type, the parameter that leads up, those of the wall, the parameter of the
    reference. `name` is one that the statement has not yet. `walled` gives what a resource
    must meet, by its key, to be gone through.
    """
    edge, step, there = tables.edge.alias(), tables.edge.alias(), tables.resource.alias()
    # The collation must be that of the ids which the recursion adds.
    start = func.unnest(take(ARRAY(Text))).collate("C")
    type_id, up = take(SmallInteger()), take(BigInteger())
    found = select(start.label("id"), literal_column("0").label("depth")).cte(name, recursive=True)
    ends = there.c.key == step.c.source_key
    further = select(step.c.target_id if above else there.c.id, found.c.depth + literal_column("1"))
    known = there.c.id if above else step.c.target_id
    following = further.where(
        known == found.c.id,
        ends,
        there.c.type_id == type_id,
        step.c.target_type == type_id,
        step.c.param == up,
        found.c.depth < literal_column(str(DEPTH)),
        *walled(there.c.key),
    )
    # UNION, not UNION ALL: what is reached twice in as many steps is followed once.
    reached = found.union(following)
    return select(edge.c.source_key.label("key")).where(
        edge.c.param == take(BigInteger()),
        edge.c.target_type == cast(type_id, SmallInteger),
        edge.c.target_id.in_(select(reached.c.id)),
    )
