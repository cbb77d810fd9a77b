"""read: the current version of a resource.

https://hl7.org/fhir/R4/http.html#read
"""

from fhir_server.access.reach import reading
from fhir_server.access.restriction import required
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Forbidden, Gone, NotFound
from fhir_server.interactions import coded
from fhir_server.server import Server
from fhir_server.store import find
from fhir_server.store import read as store
from fhir_server.store.read import Stored

STAFF = "Practitioner"
FORBIDDEN = 403


async def read(server: Server, caller: Caller, type_name: str, id_: str) -> Stored:
    """Return the current version as it lies; NotFound when never stored, Gone when deleted.

    The data of a large Binary are a mark, which `binary.whole` replaces.
    """
    async with reading(server, caller, kept=True) as connection:
        return await read_on(server, connection, caller, type_name, id_)


async def read_on(
    server: Server,
    connection: Connection,
    caller: Caller,
    type_name: str,
    id_: str,
) -> Stored:
    """Read on an open connection."""
    await coded.answer_rights(server, connection, caller)
    wall = required(server, caller.rights, type_name, "r")
    found = await store.current(connection, server.definitions.type_ids[type_name], id_, wall)
    if found is None and wall is not None and server.settings.security.hidden_read == FORBIDDEN:
        await _tell_staff(server, connection, caller, type_name, id_)
    return present(found, type_name)


async def _tell_staff(
    server: Server, connection: Connection, caller: Caller, type_name: str, id_: str
) -> None:
    """Tell who could break the glass that there is something behind it."""
    if not (caller.user or "").startswith(STAFF):
        return
    if await find.homes(connection, [id_], [server.definitions.type_ids[type_name]]):
        raise Forbidden("This is hidden from you; in an emergency the glass may be broken")


def present(found: Stored | None, type_name: str) -> Stored:
    """Return what was found; NotFound when never stored, Gone when deleted."""
    if found is None:
        raise NotFound(f"There is no {type_name} with this id")
    if found.deleted:
        raise Gone(f"The {type_name} was deleted", headers={"ETag": f'W/"{found.version}"'})
    return found
