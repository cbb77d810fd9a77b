"""The secret of one database, and the keys that are made of it.

All processes of all servers on a database must agree on the key of the index
terms, so what decides it lies in the database: the secret itself, or, where a file
holds that, a fingerprint by which a wrong file is known.
"""

import secrets
from dataclasses import dataclass

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


async def keys(connection: Connection, given: bytes | None) -> Keys:
    """Return the keys of the database; its first server settles the secret.

    That is `given`, else a random one that the database keeps. Conflict when the
    database has another, or when `given` is what it lacks. The connection is in
    autocommit.
    """
    root = given or secrets.token_bytes(SHORTEST)
    values = {"root": None if given else root, "fingerprint": _fingerprint(root)}
    await connection.execute(_SETTLE, values)
    row = await (await connection.execute(_READ)).fetchone()
    if row is None:
        raise Conflict("The database has resources and no secret: a table was not restored")
    kept, terms, fingerprint = row
    root = given or kept
    if root is None:
        raise Conflict("The database's secret is in a file; name it by the setting secret_file")
    if _fingerprint(root) != fingerprint:
        raise Conflict("The file of secret_file does not hold this database's secret")
    return Keys(terms or derived(root, "index terms"), derived(root, "page links"))


def _fingerprint(root: bytes) -> bytes:
    return derived(root, "fingerprint", 16)
