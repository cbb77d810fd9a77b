"""Which of matches that are sorted may be seen, as SQL.

https://hl7.org/fhir/R4/search.html#security
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import BigInteger, Integer, and_, func, or_, select, true
from sqlalchemy.dialects.postgresql import ARRAY

from fhir_server import tables
from fhir_server.search.compile import Statement, bound, shown_text
from fhir_server.search.condition import Condition
from fhir_server.search.lookup import is_there
from fhir_server.search.shape import Shape, array, wall_shape
from fhir_server.search.sql import BIGINTS, Binds, conjunction, render, rows

_BODY = tables.body.alias("b")


def sieved(
    wall: Condition, keys: Sequence[int], versions: Sequence[int], limit: int, longest: int
) -> Statement:
    """Return the statement of the first `limit` of resources, by key and version, that may be seen.

    Columns: the place in their order, from 1 on; whether the resource has another version
    meanwhile, of which nothing is said; the body, as on a page. One plan does for all values:
    each is looked at in turn, until there are enough.
    """
    values: list[Any] = [array(keys), array(versions)]
    shape = wall_shape(wall, values)
    values += [limit, longest]
    return bound(_sieved, shape, values, kept=True)


@lru_cache(maxsize=1024)
def _sieved(shape: Shape) -> tuple[str, tuple[int, ...]]:
    binds = Binds(planned_once=True)
    places = (binds.take(BIGINTS), binds.take(ARRAY(Integer)))
    given = func.unnest(*places).table_valued("key", "version", with_ordinality="n")
    asked = given.render_derived(name="asked")
    in_turn = select(asked.c.key, asked.c.version, asked.c.n).order_by(asked.c.n).subquery()
    here = rows("terms")
    # Of one that has changed it is not known whether it still matches: it is only counted.
    moved = here.c.version != in_turn.c.version
    met = or_(moved, and_(true(), *conjunction(shape, binds, here)))
    seen = (
        select(in_turn)
        .where(is_there(here.c.key == in_turn.c.key, met))
        .order_by(in_turn.c.n)
        .limit(binds.take(BigInteger()))
        .cte("seen")
    )
    now = rows("terms")
    shown = shown_text(_BODY, binds.take(BigInteger()), walled=True)
    statement = (
        select(seen.c.n, now.c.version != seen.c.version, shown)
        .select_from(
            seen.join(now, now.c.key == seen.c.key).outerjoin(
                _BODY, (_BODY.c.key == seen.c.key) & (_BODY.c.version == seen.c.version)
            )
        )
        .order_by(seen.c.n)
    )
    return render(statement, binds)
