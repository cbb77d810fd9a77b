"""What is kept here of who holds a token: whether it was revoked, who is active, which roles.

https://www.rfc-editor.org/rfc/rfc7009
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fhir_server.database import Connection, Database
from fhir_server.identity.claims import Claims, refuse

_ISSUED: Final = """
SELECT client.id, client.origins, person.id, person.fhir_user, person.roles
FROM identity_issued AS token
JOIN identity_grant AS one ON one.id = token.grant_id
JOIN identity_client AS client ON client.id = one.client_id
LEFT JOIN identity_user AS person ON person.id = one.user_id
WHERE token.jti = %(jti)s AND token.revoked_at IS NULL AND one.ended_at IS NULL
  AND client.active AND (%(demo)s OR NOT client.demo)
  AND (one.user_id IS NULL OR person.active AND (%(demo)s OR NOT person.demo))
"""
_REVOKED: Final = "SELECT EXISTS (SELECT FROM revoked_token WHERE issuer = %s AND jti = %s)"
_OF_USER: Final = """
SELECT roles, active FROM identity_user WHERE fhir_user = %s AND NOT demo
"""
_CHANGES: Final = "SELECT count(*), min(id), max(id) FROM access_change"


@dataclass(frozen=True, slots=True)
class Standing:
    """Who holds a token: `roles` is None for a system without a user."""

    roles: tuple[str, ...] | None
    origins: tuple[str, ...] = ()


async def of_ours(connection: Connection, claims: Claims, *, demo: bool) -> Standing:
    """Return the standing behind a token that was issued here; Unauthenticated without any."""
    cursor = await connection.execute(_ISSUED, {"jti": claims.jti, "demo": demo})
    row = await cursor.fetchone()
    if row is None:
        refuse("The access token was revoked")
    client, origins, person, user, roles = row
    # Whoever was made another person since is not who the token speaks of.
    if (client, user) != (claims.client, claims.user) or (person or client) != claims.subject:
        refuse()
    return Standing(tuple(roles) if person is not None else None, tuple(origins))


async def of_theirs(connection: Connection, claims: Claims) -> Standing:
    """Return the standing behind a token of another issuer; Unauthenticated for one revoked.

    A user of whom the issuer tells no roles has those of `here`. Who is blocked here is refused
    whatever the issuer says.
    """
    row = await (await connection.execute(_REVOKED, (claims.issuer, claims.jti))).fetchone()
    if row is None or row[0]:
        refuse("The access token was revoked")
    if claims.user is None:
        return Standing(None)
    own = await here(connection, claims.user)
    if own is None:
        refuse("The user may not log in here")
    return Standing(own if claims.roles is None else claims.roles)


async def here(connection: Connection, person: str) -> tuple[str, ...] | None:
    """Return the roles that a person (a reference) has by a user here; None for who is blocked.

    Of several users the active ones count: who was blocked by all that there are is blocked.
    Roles are those of the one active user; none where there are several, or there is none.
    """
    rows = await (await connection.execute(_OF_USER, (person,))).fetchall()
    let_in = [tuple(roles) for roles, active in rows if active]
    if rows and not let_in:
        return None
    return let_in[0] if len(let_in) == 1 else ()


async def revoke(connection: Connection, issuer: str, jti: str) -> None:
    """Have a token of another issuer refused from now on."""
    await connection.execute(
        "INSERT INTO revoked_token (issuer, jti) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        (issuer, jti),
    )


class Watch:
    """Whether what is remembered of tokens may hold no more, looked up every few seconds.

    `generation` is another after each change that was seen.
    """

    def __init__(
        self, database: Database, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.generation = 0
        self._database = database
        self._seconds = seconds
        self._clock = clock
        self._looked: float | None = None
        self._seen: tuple[object, ...] | None = None

    def is_fresh(self) -> bool:
        """Return whether it was looked up so short ago that it need not be now."""
        return self._looked is not None and self._clock() - self._looked < self._seconds

    async def look(self) -> None:
        """Look it up; raises as the database does when it is away."""
        began = self._clock()
        async with self._database.connection() as connection:
            seen = await (await connection.execute(_CHANGES)).fetchone()
        if seen != self._seen:
            self._seen = seen
            self.generation += 1
        self._looked = began
