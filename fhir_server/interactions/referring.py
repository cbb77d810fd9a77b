"""What refers to a resource, so that it can be made to refer to another.

https://hl7.org/fhir/R4/references.html#literal
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Forbidden
from fhir_server.interactions.references import literal_references, split
from fhir_server.server import Server
from fhir_server.store import read as store


@dataclass(frozen=True, slots=True)
class Referring:
    """A current resource that refers to another; `key` is its place in the order of all."""

    key: int
    type: str
    id: str
    version: int
    body: bytes


async def hold(server: Server, connection: Connection, literals: Collection[str]) -> None:
    """Keep others from changing these resources, and from referring to them, until the end.

    Who refers to one of them and has not committed is waited for, and is seen afterwards.
    """
    await store.lock(connection, [_place(server, literal) for literal in literals], "UPDATE")


def _require_everything(caller: Caller) -> None:
    """Refuse who may not see everything: what refers to a resource is asked for jobs of ours."""
    if caller.rights.walls:
        raise Forbidden("What refers to a resource is for who may see everything")


async def count(
    server: Server,
    connection: Connection,
    caller: Caller,
    literal: str,
    *,
    besides: Sequence[str] = (),
) -> int:
    """Return how many resources refer to `Type/id`, without those of the types `besides`.

    Forbidden for who may not see everything.
    """
    _require_everything(caller)
    types = [server.definitions.type_ids[name] for name in besides]
    return await store.referring_count(connection, _place(server, literal), besides=types)


async def referring(
    server: Server,
    connection: Connection,
    caller: Caller,
    literal: str,
    *,
    besides: Sequence[str] = (),
    after: int = 0,
    most: int = 100,
) -> list[Referring]:
    """Return resources that refer to `Type/id`, the next ones `after` the key of another.

    References to a version do not count: that version stays what it is. Forbidden for who
    may not see everything.
    """
    _require_everything(caller)
    names = server.definitions.type_names
    types = [server.definitions.type_ids[name] for name in besides]
    place = _place(server, literal)
    found = await store.referring(connection, place, besides=types, after=after, most=most)
    return [
        Referring(key, names[type_id], id_, version, body)
        for key, type_id, id_, version, body in found
    ]


def repointed(
    server: Server,
    type_name: str,
    data: dict[str, Any],
    moves: Mapping[str, str],
    besides: Collection[str] = (),
) -> int:
    """Let `data` refer to other resources, as `moves` says by `Type/id`; return how often.

    References to a version stay, and those whose FHIRPath begins with one of `besides`.
    """
    names, moved = server.definitions.type_names, 0
    for path, holder in literal_references(server, type_name, data):
        parts = split(server.definitions.type_ids, server.bases, holder["reference"])
        if parts is None or parts[2] is not None or path.startswith(tuple(besides)):
            continue
        new = moves.get(f"{names[parts[0]]}/{parts[1]}")
        if new is not None:
            _, mark, fragment = holder["reference"].partition("#")
            holder["reference"] = f"{new}{mark}{fragment}"
            moved += 1
    return moved


def _place(server: Server, literal: str) -> tuple[int, str]:
    type_name, _, id_ = literal.partition("/")
    return server.definitions.type_ids[type_name], id_
