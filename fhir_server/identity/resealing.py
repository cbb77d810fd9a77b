"""Secrets of users and keys that sign tokens, sealed anew under the present data key."""

import asyncio
from typing import Final

from psycopg import sql

from fhir_server.at_rest import texts
from fhir_server.identity import opaque, second_factor, signing
from fhir_server.server import Server

# Tables, the column that owns a secret, that of the secret, and what it is sealed for.
_SECRETS: Final = (
    ("identity_user", "id", "seed", second_factor.SEED),
    ("identity_signing_key", "kid", "private", signing.SEAL),
)
_FIND: Final = "SELECT {owner}, {secret} FROM {table} WHERE {secret} IS NOT NULL"
_REPLACE: Final = "UPDATE {table} SET {secret} = %s WHERE {owner} = %s AND {secret} = %s"


async def reseal(server: Server) -> int:
    """Seal what is not sealed under the present data key; return how many secrets that were.

    One that cannot be opened stays as it is: its user sets up another.
    """
    present, done = (await asyncio.to_thread(server.data_keys.current)).id, 0
    for table, owner, secret, purpose in _SECRETS:
        names = {"table": table, "owner": owner, "secret": secret}
        find, replace = (
            sql.SQL(text).format(**{k: sql.Identifier(v) for k, v in names.items()})
            for text in (_FIND, _REPLACE)
        )
        async with server.database.statement() as connection:
            for bound, text in await (await connection.execute(find)).fetchall():
                if texts.is_sealed(text) and texts.key_id(text) == present:
                    continue
                content = await opaque.brought(server, purpose, bound, text)
                if content is not None:
                    new = await opaque.stored(server, purpose, bound, content)
                    done += (await connection.execute(replace, (new, bound, text))).rowcount
    return done
