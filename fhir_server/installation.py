"""The secret of one database, and the keys that are made of it.

All processes of all servers on a database must agree on the key of the index
terms, so what decides it lies in the database: the secret itself, sealed, or, where a
file holds that, a fingerprint by which a wrong file is known.
"""

import asyncio
import secrets
from dataclasses import dataclass

from fhir_server.at_rest import texts
from fhir_server.at_rest.keys import Damaged
from fhir_server.at_rest.keys import Keys as DataKeys
from fhir_server.database import Connection
from fhir_server.errors import Conflict
from fhir_server.seal import derived

SHORTEST = 32


@dataclass(frozen=True, slots=True)
class Keys:
    """The key of the index terms, and that of what clients hold for the server."""

    terms: bytes
    pages: bytes


# A row without a fingerprint is that of a database that was indexed before it had a secret.
_SETTLE = """
INSERT INTO installation (id, root, fingerprint)
SELECT 1, %(root)b::bytea, %(fingerprint)b::bytea
WHERE EXISTS (SELECT FROM installation) OR NOT EXISTS (SELECT FROM resource)
ON CONFLICT (id) DO UPDATE SET root = excluded.root, fingerprint = excluded.fingerprint
WHERE installation.fingerprint IS NULL
"""

_READ = "SELECT root, terms_key, fingerprint FROM installation"
_KEPT = "SELECT EXISTS (SELECT FROM installation WHERE root IS NOT NULL)"
# One that was stored before secrets were sealed.
_SEAL = "UPDATE installation SET root = %s WHERE root = %s"

PURPOSE = "installation"
"""For what the secret is sealed in its column (at_rest/texts.py), bound to nobody."""


async def keys(
    connection: Connection, given: bytes | None, data_keys: DataKeys | None = None
) -> Keys:
    """Return the keys of the database; its first server settles the secret.

    That is `given`, else a random one that the database keeps, sealed where there are data
    keys. Conflict when the database has another, or when `given` is what it lacks. The
    connection is in autocommit.
    """
    first = given or secrets.token_bytes(SHORTEST)
    new = None if given else await asyncio.to_thread(_sealed, first, data_keys)
    await connection.execute(_SETTLE, {"root": new, "fingerprint": _fingerprint(first)})
    row = await (await connection.execute(_READ)).fetchone()
    if row is None:
        raise Conflict("The database has resources and no secret: a table was not restored")
    kept, terms, fingerprint = row
    if kept is not None and data_keys is not None and len(kept) == SHORTEST:
        sealed = await asyncio.to_thread(_sealed, kept, data_keys)
        await connection.execute(_SEAL, (sealed, kept))
    root = given or (None if kept is None else await asyncio.to_thread(_opened, kept, data_keys))
    if root is None:
        raise Conflict("The database's secret is in a file; name it by the setting secret_file")
    if _fingerprint(root) != fingerprint:
        raise Conflict("The file of secret_file does not hold this database's secret")
    return Keys(terms or derived(root, "index terms"), derived(root, "page links"))


async def keeps_secret(connection: Connection) -> bool:
    """Return whether the database keeps its secret, so that no file need give it."""
    row = await (await connection.execute(_KEPT)).fetchone()
    return bool(row and row[0])


async def reseal(connection: Connection, data_keys: DataKeys) -> int:
    """Seal the secret under the present data key; return 1 if it was not, in autocommit."""
    row = await (await connection.execute(_READ)).fetchone()
    kept = row[0] if row else None
    new = None if kept is None else await asyncio.to_thread(_renewed, kept, data_keys)
    if new is None:
        return 0
    return (await connection.execute(_SEAL, (new, kept))).rowcount


def _renewed(kept: bytes, data_keys: DataKeys) -> bytes | None:
    """Return the secret as its column is to have it, None where it has it so."""
    if len(kept) != SHORTEST:
        found = texts.key_id(kept.decode("ascii", "replace"))
        if found == data_keys.current().id:
            return None
    return _sealed(_opened(kept, data_keys), data_keys)


def _sealed(root: bytes, data_keys: DataKeys | None) -> bytes:
    return root if data_keys is None else texts.seal(data_keys, PURPOSE, "", root).encode()


def _opened(kept: bytes, data_keys: DataKeys | None) -> bytes:
    if len(kept) == SHORTEST:
        return kept
    if data_keys is None:
        raise Conflict("The database's secret is sealed, and its keys were not opened")
    try:
        return texts.unseal(data_keys, PURPOSE, "", kept.decode("ascii", "replace"))
    except Damaged as error:
        raise Conflict("The database's secret cannot be opened") from error


def _fingerprint(root: bytes) -> bytes:
    return derived(root, "fingerprint", 16)
