"""Who may have a record open in an emergency, as this process knows it.

What an open glass lets through is left out of statements while there is none: only less is
seen for that. So what is known may lag behind an opening, by `LEARNT_SECONDS` in other processes
than that which opened it. When a glass closes, the statement itself says (search/care.py).

https://profiles.ihe.net/ITI/BALP/content.html
"""

import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from fhir_server.database import Connection, Database
from fhir_server.server import Server

GLASS: Final = "glass:"
"""Begins the actor of the relationship that an open glass is."""

LEARNT_SECONDS: Final = 1.0
"""How long it is not asked again who has a glass open."""

_BELIEVED_SECONDS: Final = 2.0
_MOST: Final = 1024

# All actors that begin so: a semicolon comes after a colon.
_OPEN: Final = """
SELECT DISTINCT actor FROM idx_care
WHERE actor >= 'glass:' AND actor < 'glass;'
  AND high > (extract(epoch FROM now()) * 1000000)::bigint
"""


@dataclass(frozen=True, slots=True)
class _Known:
    database: Database
    actors: frozenset[str]
    asked: float


_known: OrderedDict[int, _Known] = OrderedDict()


async def learn(server: Server, connection: Connection) -> None:
    """Ask who has a glass open, if that was not asked just now."""
    database, now = server.database, time.monotonic()
    known = _known.get(id(database))
    if known is not None and now - known.asked < LEARNT_SECONDS:
        return
    rows = await (await connection.execute(_OPEN)).fetchall()
    _known[id(database)] = _Known(database, frozenset(actor for (actor,) in rows), now)
    if len(_known) > _MOST:
        _known.popitem(last=False)


def forget(server: Server) -> None:
    """Have it asked anew, as somebody has just opened a record."""
    _known.pop(id(server.database), None)


def have_none(server: Server, users: Iterable[str]) -> bool:
    """Return whether it is known that none of these persons (references) has a glass open."""
    known = _known.get(id(server.database))
    if known is None or time.monotonic() - known.asked > _BELIEVED_SECONDS:
        return False
    return known.actors.isdisjoint(f"{GLASS}{one}" for one in users)
