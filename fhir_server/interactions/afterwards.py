"""What a write must have made for who writes, asked in the transaction that has made it.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from collections.abc import Iterable, Sequence

from fhir_server.access import labels
from fhir_server.access.queries import Walls
from fhir_server.access.restriction import required
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Forbidden
from fhir_server.rights import AFTER
from fhir_server.search.condition import either
from fhir_server.server import Server
from fhir_server.store import walls as store
from fhir_server.store.transact import Method, Write, dangling


async def referred(
    connection: Connection, caller: Caller, writes: Sequence[Write]
) -> set[tuple[int, str]]:
    """Return what the resources refer to before they are written: who changes them knows of it."""
    if not caller.rights.walls:
        return set()
    return await store.referred(connection, [one.key for one in writes if one.previous])


async def require(
    server: Server, connection: Connection, caller: Caller, writes: Sequence[Write]
) -> None:
    """Refuse writes that have made what the caller may not make.

    Forbidden; the transaction is then to be rolled back.
    """
    if not caller.rights.walls:
        return
    stored = [one for one in writes if one.text is not None]
    await _require_within(
        server, connection, caller, "c", [o for o in stored if o.method is Method.POST]
    )
    await _require_within(
        server, connection, caller, AFTER, [o for o in stored if o.method is not Method.POST]
    )


async def _require_within(
    server: Server, connection: Connection, caller: Caller, letter: str, writes: Iterable[Write]
) -> None:
    names = server.definitions.type_names
    types = sorted({names[one.type_id] for one in writes})
    for name in types:
        required(server, caller.rights, name, letter)
    walls = Walls(server, caller.rights, types, letter)
    asked = {one.key for one in writes if one.type_id in walls.each}
    if not asked or walls.any is None:
        return
    if await store.meeting(connection, asked, walls.any) == asked:
        return
    # Who labels something above the own clearance does not see it again, and may do so.
    raised = Walls(server, labels.aside(caller.rights), types, letter)
    if raised.any is not None and await store.meeting(connection, asked, raised.any) != asked:
        raise Forbidden("What would be stored is not among your rights")


async def require_there(
    server: Server, connection: Connection, caller: Caller, writes: Sequence[Write]
) -> None:
    """Refuse references to what is hidden as those to what is not stored: Unprocessable.

    To be asked before the write: what it makes, as an Encounter, an order or an account, may
    itself be why its patient is seen, and nobody makes oneself a reason.
    """
    if not caller.rights.walls:
        return
    needed: dict[tuple[int, str], list[str]] = {}
    for write in writes:
        for type_id, id_, path in write.references:
            needed.setdefault((type_id, id_), []).append(path)
    made = {(one.type_id, one.id) for one in writes if one.text is not None}
    known = await referred(connection, caller, writes)
    asked = needed.keys() - made - _own(server, caller) - known
    names = server.definitions.type_names
    if not server.settings.write.referential_integrity:
        asked = {one for one in asked if names[one[0]] == "Patient"}
    types = sorted({names[type_id] for type_id, _ in asked})
    walls = [Walls(server, caller.rights, types, letter) for letter in "rs"]
    seen = either([one.any for one in walls if one.any is not None])
    if missing := sorted(asked - await store.there(connection, asked, seen)):
        raise dangling(needed, missing)


def _own(server: Server, caller: Caller) -> set[tuple[int, str]]:
    """Return the places of the user and of the patient in context, which are no secret."""
    given = [caller.user or "", f"Patient/{caller.patient}" if caller.patient else ""]
    parts = [one.partition("/") for one in given if one]
    ids = server.definitions.type_ids
    return {(ids[name], id_) for name, _, id_ in parts if name in ids}
