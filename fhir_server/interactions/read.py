"""read: the current version of a resource.

https://hl7.org/fhir/R4/http.html#read
"""

from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Gone, NotFound
from fhir_server.server import Server
from fhir_server.store import read as store
from fhir_server.store.read import Stored


async def read(server: Server, caller: Caller, type_name: str, id_: str) -> Stored:
    """Return the current version as it lies; NotFound when never stored, Gone when deleted.

    The data of a large Binary are a mark, which `binary.whole` replaces.
    """
    async with server.database.connection() as connection:
        return await read_on(server, connection, caller, type_name, id_)


async def read_on(
    server: Server,
    connection: Connection,
    caller: Caller,  # noqa: ARG001  (rights come with the security issue)
    type_name: str,
    id_: str,
) -> Stored:
    """Read on an open connection."""
    found = await store.current(connection, server.definitions.type_ids[type_name], id_)
    return present(found, type_name)


def present(found: Stored | None, type_name: str) -> Stored:
    """Return what was found; NotFound when never stored, Gone when deleted."""
    if found is None:
        raise NotFound(f"There is no {type_name} with this id")
    if found.deleted:
        raise Gone(f"The {type_name} was deleted", headers={"ETag": f'W/"{found.version}"'})
    return found
