"""The keys that sign tokens: sealed in the database, published as a JWK set, rotated.

A new key is published for a while before it signs, and an old one for as long as what it has
signed may live, so that who verifies is never without.

https://www.rfc-editor.org/rfc/rfc7517
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
from joserfc import jwt
from joserfc.jwk import RSAKey
from psycopg.types.json import Jsonb

from fhir_server.database import Connection
from fhir_server.errors import Unavailable
from fhir_server.identity import opaque
from fhir_server.server import Server

ALGORITHM: Final = "RS256"
"""Of id_tokens as SMART has it, and of access tokens."""

_BITS: Final = 2048
SEAL: Final = "signing key"
"""For what private keys are sealed."""

# Two processes that start at once must not each make a first key.
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('identity_signing_key' || current_schema))"
_CURRENT: Final = """
SELECT kid, private FROM identity_signing_key
WHERE withdrawn_at IS NULL AND signs_from <= clock_timestamp() ORDER BY signs_from DESC LIMIT 1
"""
# Those that sign no more are published for as long as their last token may live.
_PUBLISHED: Final = """
SELECT public FROM identity_signing_key AS one
WHERE withdrawn_at IS NULL AND NOT EXISTS (
  SELECT FROM identity_signing_key AS later
  WHERE later.withdrawn_at IS NULL AND later.signs_from > one.signs_from
    AND later.signs_from < clock_timestamp() - make_interval(secs => %(life)s)
) ORDER BY signs_from DESC
"""
_LIST: Final = """
SELECT kid, created_at, signs_from, CASE
  WHEN withdrawn_at IS NOT NULL THEN 'withdrawn'
  WHEN signs_from > clock_timestamp() THEN 'next'
  WHEN signs_from = max(signs_from) FILTER (
    WHERE withdrawn_at IS NULL AND signs_from <= clock_timestamp()) OVER () THEN 'signs'
  ELSE 'published' END
FROM identity_signing_key ORDER BY signs_from DESC
"""
_ADD: Final = """
INSERT INTO identity_signing_key (kid, public, private, signs_from)
VALUES (%s, %s, %s, clock_timestamp() + make_interval(secs => %s))
"""
_LEEWAY: Final = 120


async def sign(server: Server, claims: Mapping[str, Any], kind: str) -> str:
    """Return the claims as a signed JWT; `kind` is its `typ` (`JWT`, `at+jwt`)."""
    kid, sealed = await _current(server)
    key = await _opened(server, kid, sealed)
    header = {"alg": ALGORITHM, "kid": kid, "typ": kind}
    return await asyncio.to_thread(jwt.encode, header, dict(claims), key)


async def published(server: Server) -> dict[str, Any]:
    """Return the JWK set of our public keys."""
    await _current(server)
    async with server.database.connection() as connection:
        values = {"life": server.settings.security.identity.access_token_seconds + _LEEWAY}
        rows = await (await connection.execute(_PUBLISHED, values)).fetchall()
    return {"keys": [row[0] for row in rows]}


async def rotate(server: Server, lead: float) -> str:
    """Add a key that signs from `lead` seconds on, and return its id."""
    key = await asyncio.to_thread(RSAKey.generate_key, _BITS)
    async with server.database.transaction() as connection:
        return await _add(server, connection, key, lead)


async def withdraw(connection: Connection, kid: str) -> bool:
    """Publish a key no more, as when it is known to others: its tokens end at once."""
    cursor = await connection.execute(
        "UPDATE identity_signing_key SET withdrawn_at = clock_timestamp()"
        " WHERE kid = %s AND withdrawn_at IS NULL",
        (kid,),
    )
    return bool(cursor.rowcount)


@dataclass(frozen=True, slots=True)
class Key:
    """A key as operators see it; `state` is `next`, `signs`, `published` or `withdrawn`."""

    kid: str
    made: datetime
    signs: datetime
    state: str


async def listed(connection: Connection) -> list[Key]:
    """Return all keys, the newest first."""
    return [Key(*row) for row in await (await connection.execute(_LIST)).fetchall()]


async def _current(server: Server) -> tuple[str, str]:
    """Return id and sealed text of the key that signs now; the first is made when it is needed."""
    async with server.database.connection() as connection:
        row = await (await connection.execute(_CURRENT)).fetchone()
    if row is None:
        key = await asyncio.to_thread(RSAKey.generate_key, _BITS)
        async with server.database.transaction() as connection:
            await connection.execute(_LOCK)
            row = await (await connection.execute(_CURRENT)).fetchone()
            if row is None:
                await _add(server, connection, key, 0)
                row = await (await connection.execute(_CURRENT)).fetchone()
    if row is None:
        raise Unavailable("There is no key to sign with; make one: sangam keys rotate --now")
    return row[0], row[1]


async def _add(server: Server, connection: Connection, key: RSAKey, lead: float) -> str:
    kid = key.thumbprint()
    shown = {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": ALGORITHM}
    private = msgspec.json.encode(key.as_dict(private=True))
    sealed = await opaque.stored(server, SEAL, kid, private)
    await connection.execute(_ADD, (kid, Jsonb(shown), sealed, lead))
    return kid


@lru_cache(maxsize=64)
def _loaded(kid: str, raw: bytes) -> RSAKey:
    return RSAKey.import_key({**msgspec.json.decode(raw), "kid": kid})


async def _opened(server: Server, kid: str, sealed: str) -> RSAKey:
    raw = await opaque.brought(server, SEAL, kid, sealed)
    if raw is None:
        raise Unavailable("The signing key was sealed by another secret")
    return _loaded(kid, raw)
