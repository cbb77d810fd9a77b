"""Keys of projects as their column has them: sealed, as who has one can tell who a copy is of."""

import asyncio
from typing import Final

from adapters.dicom.deidentification.project import KEY_BYTES
from fhir_server.at_rest import texts
from fhir_server.at_rest.keys import Keys
from fhir_server.server import Server

_PURPOSE: Final = "project"
_FIND: Final = "SELECT name, key FROM dicom_project ORDER BY name"
_REPLACE: Final = "UPDATE dicom_project SET key = %s WHERE name = %s AND key = %s"


def kept(keys: Keys, project: str, key: bytes) -> bytes:
    """Return a project's key as its column has it."""
    return texts.seal(keys, _PURPOSE, project, key).encode()


def opened(keys: Keys, project: str, content: bytes) -> bytes:
    """Return the key; those of before lie there as they are. Raises Damaged."""
    if len(content) == KEY_BYTES:
        return content
    return texts.unseal(keys, _PURPOSE, project, content.decode("ascii", "replace"))


async def reseal(server: Server) -> int:
    """Seal what is not sealed under the present data key; return how many keys that were."""
    done = 0
    async with server.database.statement() as connection:
        for name, content in await (await connection.execute(_FIND)).fetchall():
            new = await asyncio.to_thread(_renewed, server.data_keys, name, content)
            if new is not None:
                cursor = await connection.execute(_REPLACE, (new, name, content))
                done += cursor.rowcount
    return done


def _renewed(keys: Keys, name: str, content: bytes) -> bytes | None:
    """Return a key as its column is to have it, None where it has it so."""
    if len(content) != KEY_BYTES:
        found = texts.key_id(content.decode("ascii", "replace"))
        if found == keys.current().id:
            return None
    return kept(keys, name, opened(keys, name, content))
