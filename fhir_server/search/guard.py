"""What a query must have been through before it is compiled.

The rights of who asks are put into a query by `fhir_server.access`. A query that nobody
has looked at so, or an alias of which nobody said what it must meet to be there, is a
fault of ours and does not become SQL.
"""

from collections.abc import Iterator

from fhir_server.search.condition import (
    Both,
    Condition,
    Either,
    Linked,
    Not,
    Referred,
    Within,
)
from fhir_server.search.query import Query


class UnguardedError(Exception):
    """A query, or an alias in it, stands for resources without regard to rights."""


def require_guard(query: Query) -> None:
    """Raise UnguardedError unless rights have been put in everywhere."""
    if query.guard == "open":
        return
    if query.guard != "walled":
        raise UnguardedError
    if any(one.wall is None for one in query.includes):
        raise UnguardedError
    if any(_open(one) for one in query.conditions):
        raise UnguardedError


def _open(condition: Condition) -> bool:
    return any(wall is None for wall in _walls(condition))


def _walls(condition: Condition) -> Iterator[Condition | None]:
    """Yield what is said of each alias that stands for a resource."""
    match condition:
        case Linked(condition=inner, wall=wall) | Referred(condition=inner, wall=wall):
            yield wall
            yield from _walls(inner)
        case Within(wall=wall):
            yield wall
        case Not(inner):
            yield from _walls(inner)
        case Either(parts) | Both(parts):
            for part in parts:
                yield from _walls(part)
