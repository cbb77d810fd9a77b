"""vread: one version of a resource.

https://hl7.org/fhir/R4/http.html#vread
"""

from collections.abc import Iterable

from fhir_server.access.queries import Walls
from fhir_server.access.reach import reading
from fhir_server.access.restriction import required
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Gone, NotFound
from fhir_server.interactions import coded, past
from fhir_server.interactions.past import Past
from fhir_server.server import Server
from fhir_server.store import read as store
from fhir_server.store.read import Stored


async def vread(
    server: Server,
    caller: Caller,
    type_name: str,
    id_: str,
    version: str,
) -> Stored:
    """Return that version as it lies; NotFound when there is none, Gone when it is a deletion.

    The data of a large Binary are a mark, which `binary.whole` replaces.
    """
    async with reading(server, caller) as connection:
        return await vread_on(server, connection, caller, type_name, id_, version)


async def vread_on(
    server: Server,
    connection: Connection,
    caller: Caller,
    type_name: str,
    id_: str,
    version: str,
) -> Stored:
    """Read on an open connection."""
    known = version.isdecimal() and len(version) < 10  # noqa: PLR2004  (fits the column)
    type_id = server.definitions.type_ids[type_name]
    await coded.answer_rights(server, connection, caller)
    wall = required(server, caller.rights, type_name, "r")
    found = await store.version(connection, type_id, id_, int(version), wall) if known else None
    if known and found is None and caller.rights.walls:
        await store.require_none(connection, type_id, id_, int(version), wall)
    if found is not None and wall is not None:
        (seen,) = await past.seen(
            server, connection, {type_id: wall}, [Past(type_id, id_, found.body)]
        )
        found = found if seen else None
    if found is None:
        raise NotFound(f"There is no such version of this {type_name}")
    if found.deleted:
        raise Gone(f"This version deleted the {type_name}", headers={"ETag": f'W/"{version}"'})
    return found


async def versions_on(
    server: Server,
    connection: Connection,
    caller: Caller,
    wanted: Iterable[tuple[str, str, int]],
) -> dict[tuple[str, str, int], Stored]:
    """Return many versions by (type, id, number), without those that are deletions or not there."""
    ids, names = server.definitions.type_ids, server.definitions.type_names
    asked = [(ids[kind], id_, number) for kind, id_, number in wanted]
    await coded.answer_rights(server, connection, caller)
    walls = Walls(server, caller.rights, sorted({names[one[0]] for one in asked}), "r")
    found = await store.versions(connection, asked, walls.any)
    places = [Past(*place[:2], one.body) for place, one in found.items()]
    seen = await past.seen(server, connection, walls.each, places)
    return {
        (names[type_id], id_, number): one
        for ((type_id, id_, number), one), shown in zip(found.items(), seen, strict=True)
        if shown and not one.deleted
    }
