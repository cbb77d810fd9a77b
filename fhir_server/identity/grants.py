"""What users let apps do, as rows: codes, refresh tokens, and the access tokens under way.

A grant is a family of tokens. It ends as a whole: when the user or an operator takes it back,
when a session ends on which it hangs, when a code or a refresh token comes a second time.

https://www.rfc-editor.org/rfc/rfc9700#section-4.14
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from psycopg.types.json import Jsonb

from fhir_server.database import Connection
from fhir_server.identity import opaque

Whose = Literal["id", "user_id", "client_id"]

_COLUMNS: Final = (
    "one.id, one.client_id, one.user_id, one.session_id, one.scope, one.context,"
    " one.authenticated_at, one.created_at"
)
_SPEND_CODE: Final = f"""
UPDATE identity_code AS code SET used_at = clock_timestamp()
FROM identity_grant AS one
WHERE code.secret = %(secret)s AND one.id = code.grant_id AND one.client_id = %(client)s
  AND code.used_at IS NULL AND code.expires_at > clock_timestamp() AND one.ended_at IS NULL
RETURNING code.redirect_uri, code.challenge, code.nonce, {_COLUMNS}
"""
# The session of a grant that hangs on one may not have ended, nor be too old.
_SPEND_REFRESH: Final = f"""
UPDATE identity_refresh AS token SET used_at = clock_timestamp()
FROM identity_grant AS one LEFT JOIN identity_session AS session ON session.id = one.session_id
WHERE token.secret = %(secret)s AND one.id = token.grant_id AND one.client_id = %(client)s
  AND token.used_at IS NULL AND token.expires_at > clock_timestamp() AND one.ended_at IS NULL
  AND (session.id IS NULL OR (session.ended_at IS NULL
    AND session.created_at > clock_timestamp() - make_interval(secs => %(session)s)))
RETURNING token.scope, {_COLUMNS}
"""
_END: Final = """
WITH ended AS (
  UPDATE identity_grant SET ended_at = clock_timestamp(), reason = %(reason)s
  WHERE {whose} = %(value)s AND ended_at IS NULL RETURNING id
), revoked AS (
  UPDATE identity_issued SET revoked_at = clock_timestamp()
  WHERE grant_id IN (SELECT id FROM ended) AND revoked_at IS NULL
)
SELECT count(*) FROM ended
"""
_HELD: Final = f"""
SELECT {_COLUMNS}, client.name FROM identity_grant AS one
JOIN identity_client AS client ON client.id = one.client_id
WHERE one.user_id = %(user)s AND one.ended_at IS NULL AND (
  EXISTS (SELECT FROM identity_refresh AS token WHERE token.grant_id = one.id
    AND token.used_at IS NULL AND token.expires_at > clock_timestamp())
  OR EXISTS (SELECT FROM identity_issued AS token WHERE token.grant_id = one.id
    AND token.expires_at > clock_timestamp()))
ORDER BY one.created_at DESC
"""


@dataclass(frozen=True, slots=True)
class Grant:
    """What one app may do for one user, or for nobody in particular (a backend service)."""

    id: str
    client_id: str
    user_id: str | None
    session_id: str | None
    scope: str
    context: Mapping[str, Any]
    authenticated_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Redeemed:
    """A code that was given for its grant, and what it is bound to."""

    redirect_uri: str
    challenge: str
    nonce: str | None
    grant: Grant


@dataclass(frozen=True, slots=True)
class Draft:
    """A grant to be stored."""

    client_id: str
    user_id: str | None
    session_id: str | None
    scope: str
    context: Mapping[str, Any]
    authenticated_at: datetime


async def begin(connection: Connection, id_: str, draft: Draft) -> Grant:
    """Store a grant."""
    cursor = await connection.execute(
        "INSERT INTO identity_grant AS one (id, client_id, user_id, session_id, scope, context,"
        f" authenticated_at) VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING {_COLUMNS}",
        (
            id_,
            draft.client_id,
            draft.user_id,
            draft.session_id,
            draft.scope,
            Jsonb(dict(draft.context)),
            draft.authenticated_at,
        ),
    )
    row = await cursor.fetchone()
    assert row is not None
    return Grant(*row)


async def add_code(
    connection: Connection,
    grant: Grant,
    *,
    redirect_uri: str,
    challenge: str,
    nonce: str | None,
    seconds: int,
) -> str:
    """Store a code and return it."""
    code = opaque.new()
    await connection.execute(
        "INSERT INTO identity_code (secret, grant_id, redirect_uri, challenge, nonce, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))",
        (opaque.hashed(code), grant.id, redirect_uri, challenge, nonce, seconds),
    )
    return code


async def spend_code(connection: Connection, code: str, client_id: str) -> Redeemed | None:
    """Return what the code stands for, once; the grant of one that comes again ends."""
    values = {"secret": opaque.hashed(code), "client": client_id}
    row = await (await connection.execute(_SPEND_CODE, values)).fetchone()
    if row is None:
        await _end_of_used(connection, "identity_code", code)
        return None
    return Redeemed(row[0], row[1], row[2], Grant(*row[3:]))


async def add_refresh(connection: Connection, grant: Grant, scope: str, seconds: int) -> str:
    """Store a refresh token and return it."""
    token = opaque.new()
    await connection.execute(
        "INSERT INTO identity_refresh (secret, grant_id, scope, expires_at)"
        " VALUES (%s, %s, %s, clock_timestamp() + make_interval(secs => %s))",
        (opaque.hashed(token), grant.id, scope, seconds),
    )
    return token


async def spend_refresh(
    connection: Connection, token: str, client_id: str, session_seconds: int
) -> tuple[str, Grant] | None:
    """Return scope and grant of a refresh token, once; the grant of one that comes again ends."""
    values = {"secret": opaque.hashed(token), "client": client_id, "session": session_seconds}
    row = await (await connection.execute(_SPEND_REFRESH, values)).fetchone()
    if row is None:
        await _end_of_used(connection, "identity_refresh", token)
        return None
    return row[0], Grant(*row[1:])


async def add_issued(connection: Connection, grant: Grant, jti: str, seconds: int) -> None:
    """Note an access token, so that it can be revoked."""
    await connection.execute(
        "INSERT INTO identity_issued (jti, grant_id, expires_at)"
        " VALUES (%s, %s, clock_timestamp() + make_interval(secs => %s))",
        (jti, grant.id, seconds),
    )


async def end(connection: Connection, whose: Whose, value: str, reason: str) -> int:
    """End the grants of an id, a user or a client, and revoke their tokens; return how many."""
    values = {"value": value, "reason": reason}
    row = await (await connection.execute(_END.format(whose=whose), values)).fetchone()
    return int(row[0]) if row else 0


async def held(connection: Connection, user_id: str) -> list[tuple[Grant, str]]:
    """Return the grants by which apps can act for a user now, each with the app's name."""
    rows = await (await connection.execute(_HELD, {"user": user_id})).fetchall()
    return [(Grant(*row[:-1]), row[-1]) for row in rows]


async def of_refresh(connection: Connection, token: str) -> tuple[str, Grant, datetime] | None:
    """Return scope, grant and end of a refresh token that could be used now."""
    cursor = await connection.execute(
        f"SELECT token.scope, {_COLUMNS}, token.expires_at FROM identity_refresh AS token"
        " JOIN identity_grant AS one ON one.id = token.grant_id"
        " WHERE token.secret = %s AND token.used_at IS NULL"
        " AND token.expires_at > clock_timestamp() AND one.ended_at IS NULL",
        (opaque.hashed(token),),
    )
    row = await cursor.fetchone()
    return (row[0], Grant(*row[1:-1]), row[-1]) if row else None


async def client_of_refresh(connection: Connection, token: str) -> str | None:
    """Return the id of the client to which a refresh token was given, used or not."""
    cursor = await connection.execute(
        "SELECT one.client_id FROM identity_refresh AS token"
        " JOIN identity_grant AS one ON one.id = token.grant_id WHERE token.secret = %s",
        (opaque.hashed(token),),
    )
    row = await cursor.fetchone()
    return row[0] if row else None


async def of_issued(connection: Connection, jti: str) -> Grant | None:
    """Return the grant of an access token that is not revoked."""
    cursor = await connection.execute(
        f"SELECT {_COLUMNS} FROM identity_issued AS token"
        " JOIN identity_grant AS one ON one.id = token.grant_id"
        " WHERE token.jti = %s AND token.revoked_at IS NULL"
        " AND token.expires_at > clock_timestamp() AND one.ended_at IS NULL",
        (jti,),
    )
    row = await cursor.fetchone()
    return Grant(*row) if row else None


async def revoke_issued(connection: Connection, jti: str) -> None:
    """Revoke one access token."""
    await connection.execute(
        "UPDATE identity_issued SET revoked_at = clock_timestamp()"
        " WHERE jti = %s AND revoked_at IS NULL",
        (jti,),
    )


async def _end_of_used(connection: Connection, table: str, secret: str) -> None:
    """End the grant of a code or refresh token that was used before: two parties hold it."""
    cursor = await connection.execute(
        f"SELECT grant_id FROM {table} WHERE secret = %s AND used_at IS NOT NULL",
        (opaque.hashed(secret),),
    )
    rows: Sequence[tuple[Any, ...]] = await cursor.fetchall()
    for (grant_id,) in rows:
        await end(connection, "id", grant_id, "used twice")
