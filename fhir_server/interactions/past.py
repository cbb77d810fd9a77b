"""Versions that may not be the present ones, as far as they may be seen.

That its resource may be seen now is asked in SQL. What a version itself said, of whom and
under which labels, has no index rows any more, and is judged by its text.

https://hl7.org/fhir/R4/http.html#vread
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fhir_server.access.own import Version, holds
from fhir_server.database import Connection
from fhir_server.errors import SangamError
from fhir_server.search.condition import Condition
from fhir_server.server import Server
from fhir_server.store import read as store
from fhir_server.store.mark import marked
from fhir_server.store.read import Stored


class Past(NamedTuple):
    """A version: of which resource, and its text, empty for a deletion."""

    type_id: int
    id: str
    body: bytes


async def seen(
    server: Server,
    connection: Connection,
    walls: Mapping[int, Condition],
    versions: Sequence[Past],
) -> list[bool]:
    """Return for each version whether its content met the wall of its type.

    Where content does not tell, as of a care relationship, a version must be of no other
    patients than the present one, of which the wall was asked. A deletion has no content.
    """
    judged = [_judged(server, walls, one) for one in versions]
    doubtful = {
        (one.type_id, one.id) for one, (_, met) in zip(versions, judged, strict=True) if met is None
    }
    present = await store.currents(connection, doubtful) if doubtful else {}
    return [
        met is True if met is not None else _alike(server, one, version, present)
        for one, (version, met) in zip(versions, judged, strict=True)
    ]


def _alike(
    server: Server,
    one: Past,
    version: Version | None,
    present: Mapping[tuple[int, str], Stored],
) -> bool:
    """Return whether a version is of no other patients than the present one."""
    now = present.get((one.type_id, one.id))
    other = _read(server, one._replace(body=now.body)) if now and now.body else None
    return version is not None and other is not None and version.patients <= other.patients


def _judged(
    server: Server, walls: Mapping[int, Condition], one: Past
) -> tuple[Version | None, bool | None]:
    wall = walls.get(one.type_id)
    if wall is None or not one.body:
        return None, True
    version = _read(server, one)
    return (None, False) if version is None else (version, holds(version, wall))


def _read(server: Server, one: Past) -> Version | None:
    """Return the version, None for what cannot be read or indexed (any more), so not judged."""
    blob = marked(one.body)
    try:
        text = one.body if blob is None else blob[0] + b"}"
        return Version(server, server.definitions.type_names[one.type_id], text)
    except (SangamError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return None
