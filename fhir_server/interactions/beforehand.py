"""What a write must find for who writes.

Who may not see what lies under an id is told what is told of an id that was never used.
An update, which would make the resource, is refused under an id of either kind.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from collections.abc import Iterable, Mapping, Sequence

from fhir_server.access.queries import Walls
from fhir_server.access.restriction import required, restriction
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Forbidden
from fhir_server.interactions.step import Step
from fhir_server.rights import BEFORE, is_wide
from fhir_server.search.condition import either
from fhir_server.server import Server
from fhir_server.store import walls as store

_NOT_YOURS = (
    "What is stored under this id, if anything is, is not yours to change;"
    " make a new resource by POST, under an id that the server chooses"
)
LETTERS: Mapping[str, str] = {"POST": "c", "PUT": BEFORE, "PATCH": BEFORE, "DELETE": "d"}


def require_letters(server: Server, caller: Caller, writes: Iterable[Step]) -> None:
    """Refuse the writes of types that the caller may not write at all."""
    if not caller.rights.walls:
        return
    for one in writes:
        with one.refusals():
            required(server, caller.rights, one.target.type, LETTERS[one.method])


async def require(
    server: Server, connection: Connection, caller: Caller, writes: Sequence[Step]
) -> None:
    """Refuse to change what the caller may not change, of rows that are locked.

    A step that would patch or delete what is hidden goes on as if nothing lay there.
    """
    if not caller.rights.walls:
        return
    _refuse_chosen(server, caller, writes)
    held = [one for one in writes if one.present is not None and not one.existing]
    _forget_deleted(server, caller, held)
    held = [one for one in held if one.present is not None and not one.present.deleted]
    met = await _met(server, connection, caller, held, BEFORE) | await _met(
        server, connection, caller, held, "d"
    )
    refused = [one for one in held if _key(one) not in met]
    seen = await _seen(server, connection, caller, refused)
    for one in refused:
        if one.method == "PUT" or _key(one) in seen:
            with one.refusals():
                raise Forbidden(_NOT_YOURS)
        one.present = None


async def unreadable(
    server: Server, connection: Connection, caller: Caller, steps: Sequence[Step]
) -> set[int]:
    """Return the indexes of the patches whose result the caller may not read."""
    patches = [one for one in steps if one.method == "PATCH" and one.present is not None]
    if not caller.rights.walls or not patches:
        return set()
    types = sorted({one.target.type for one in patches})
    walls = Walls(server, caller.rights, types, "r")
    if walls.any is None:
        return set()
    readable = await store.meeting(connection, [_key(one) for one in patches], walls.any)
    return {one.index for one in patches if _key(one) not in readable}


def _refuse_chosen(server: Server, caller: Caller, writes: Iterable[Step]) -> None:
    """Refuse to make a resource under a chosen id, of a type of which something may be hidden.

    Under an id that is free it is refused as under one that is taken by what is hidden: else
    who may make it would learn which ids there are (docs/decisions/0059). Services that labels
    and consents alone limit bring resources with the ids of where they come from.
    """
    if server.settings.security.restricted_update_create:
        return
    for one in writes:
        if is_wide(caller.rights, one.target.type, "u"):
            continue
        chosen = one.method == "PUT" and (one.entry.resource or {}).get("id") is not None
        free = one.present is None or one.present.deleted
        if chosen and free and restriction(server, caller.rights, one.target.type, BEFORE):
            with one.refusals():
                raise Forbidden(_NOT_YOURS)


def _key(one: Step) -> int:
    assert one.present is not None
    return one.present.key


def _forget_deleted(server: Server, caller: Caller, held: Iterable[Step]) -> None:
    """Let patches and deletions find nothing where something hidden may have been deleted."""
    for one in held:
        gone = one.present is not None and one.present.deleted and one.method != "PUT"
        if gone and restriction(server, caller.rights, one.target.type, "r") is not None:
            one.present = None


async def _met(
    server: Server, connection: Connection, caller: Caller, held: Sequence[Step], letter: str
) -> set[int]:
    """Return the keys of those steps with this letter whose resources may be changed so."""
    asked = [one for one in held if LETTERS[one.method] == letter]
    types = sorted({one.target.type for one in asked})
    walls = Walls(server, caller.rights, types, letter)
    keys = {_key(one) for one in asked}
    return keys if walls.any is None else await store.meeting(connection, keys, walls.any)


async def _seen(
    server: Server, connection: Connection, caller: Caller, refused: Sequence[Step]
) -> set[int]:
    """Return the keys of those that the caller knows of."""
    types = sorted({one.target.type for one in refused})
    walls = [Walls(server, caller.rights, types, letter) for letter in "rs"]
    known = either([one.any for one in walls if one.any is not None])
    return await store.meeting(connection, [_key(one) for one in refused], known)
