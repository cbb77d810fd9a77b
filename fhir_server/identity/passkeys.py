"""The keys of users' authenticators, as rows, and what these were asked to sign.

https://www.w3.org/TR/webauthn-3/
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from psycopg.errors import UniqueViolation

from fhir_server.database import Connection
from fhir_server.errors import BadRequest, Unauthenticated
from fhir_server.identity import opaque, webauthn
from fhir_server.identity.users import User
from fhir_server.identity.webauthn import Passkey, Place

Purpose = Literal["make", "use"]

MOST: Final = 20
"""Keys of a user."""

LONGEST_NAME: Final = 60

_CHALLENGE_BYTES: Final = 32
_SPEND: Final = """
DELETE FROM identity_challenge
WHERE secret = %s AND user_id = %s AND purpose = %s AND expires_at > clock_timestamp()
"""
# Two requests that bring the same count are one too many. A count of 0 is that of
# authenticators that count nothing (WebAuthn, 6.1.1).
_USE: Final = """
UPDATE identity_passkey SET count = %(count)s, used_at = clock_timestamp()
WHERE credential = %(credential)s AND user_id = %(user)s
  AND (count < %(count)s OR (count = 0 AND %(count)s = 0))
"""
_ADD: Final = """
INSERT INTO identity_passkey (id, user_id, credential, attested, count, synced, name)
SELECT %(id)s, %(user)s, %(credential)s, %(attested)s, %(count)s, %(synced)s, %(name)s
WHERE (SELECT count(*) FROM identity_passkey WHERE user_id = %(user)s) < %(most)s
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A key as its user sees it."""

    id: str
    name: str
    created_at: datetime
    used_at: datetime | None
    synced: bool


async def listed(connection: Connection, user_id: str) -> list[Kept]:
    """Return the keys of a user, the oldest first."""
    cursor = await connection.execute(
        "SELECT id, name, created_at, used_at, synced FROM identity_passkey"
        " WHERE user_id = %s ORDER BY created_at, id",
        (user_id,),
    )
    return [Kept(*row) for row in await cursor.fetchall()]


async def to_make(connection: Connection, here: Place, user: User) -> str:
    """Return what a browser is asked for a new key of the user, as JSON."""
    known = [one.credential for one in await _of_user(connection, user.id)]
    challenge = await _asked(connection, user.id, "make")
    return webauthn.creation(here, (user.id, user.name, user.display), known, challenge)


async def to_use(connection: Connection, here: Place, user: User) -> str:
    """Return what a browser is asked for a signature by one of the user's keys, as JSON."""
    known = [one.credential for one in await _of_user(connection, user.id)]
    return webauthn.request(here, known, await _asked(connection, user.id, "use"))


async def made(connection: Connection, here: Place, user: User, answer: str) -> Passkey:
    """Return the new key of a browser's answer; Unauthenticated when it is not one to us."""
    challenge = await _spent(connection, user.id, "make", answer)
    return webauthn.registered(here, answer, challenge)


async def used(connection: Connection, here: Place, user: User, answer: str) -> str:
    """Return how a browser's answer proves the second factor (RFC 8176); else Unauthenticated.

    The challenge is spent also when the rest is refused: commit nevertheless.
    """
    challenge = await _spent(connection, user.id, "use", answer)
    known = await _of_user(connection, user.id)
    key, count = webauthn.asserted(here, answer, challenge, user.id, known)
    values = {"credential": key.credential, "user": user.id, "count": count}
    if not (await connection.execute(_USE, values)).rowcount:
        # Its counter went back, as when somebody copied the key.
        raise Unauthenticated(webauthn.WRONG)
    return method(key)


def method(key: Passkey) -> str:
    """Return by what a key proves who has it: hardware, or software (RFC 8176)."""
    return "swk" if key.synced else "hwk"


async def add(connection: Connection, id_: str, user_id: str, key: Passkey, name: str) -> None:
    """Keep a key of the user; BadRequest when it is known already, or one too many."""
    values = {
        "id": id_,
        "user": user_id,
        "credential": key.credential,
        "attested": key.attested,
        "count": key.count,
        "synced": key.synced,
        "name": named(name),
        "most": MOST,
    }
    try:
        cursor = await connection.execute(_ADD, values)
    except UniqueViolation as error:
        raise BadRequest("This passkey is set up already") from error
    if not cursor.rowcount:
        raise BadRequest(f"There are {MOST} passkeys already; remove one first")


async def remove(connection: Connection, user_id: str, id_: str) -> bool:
    """Forget a key of the user; return whether there was one of this id."""
    cursor = await connection.execute(
        "DELETE FROM identity_passkey WHERE id = %s AND user_id = %s", (id_, user_id)
    )
    return bool(cursor.rowcount)


def named(name: str) -> str:
    """Return a name that can be shown."""
    plain = "".join(one for one in name if one.isprintable()).strip()
    return plain[:LONGEST_NAME] or "Passkey"


async def _asked(connection: Connection, user_id: str, purpose: Purpose) -> bytes:
    challenge = secrets.token_bytes(_CHALLENGE_BYTES)
    await connection.execute(
        "INSERT INTO identity_challenge (secret, user_id, purpose, expires_at)"
        " VALUES (%s, %s, %s, clock_timestamp() + make_interval(secs => %s))",
        (_hashed(challenge), user_id, purpose, webauthn.SECONDS),
    )
    return challenge


async def _spent(connection: Connection, user_id: str, purpose: Purpose, answer: str) -> bytes:
    """Return the challenge of an answer, once; Unauthenticated when it was never asked."""
    challenge = webauthn.challenge_of(answer)
    cursor = await connection.execute(_SPEND, (_hashed(challenge), user_id, purpose))
    if not cursor.rowcount:
        raise Unauthenticated(webauthn.WRONG)
    return challenge


def _hashed(challenge: bytes) -> bytes:
    return opaque.hashed(challenge.hex())


async def _of_user(connection: Connection, user_id: str) -> Sequence[Passkey]:
    cursor = await connection.execute(
        "SELECT attested, count, synced FROM identity_passkey WHERE user_id = %s", (user_id,)
    )
    return [Passkey(*row) for row in await cursor.fetchall()]
