"""Who asked a while ago, as they are now: whether they still may, and what.

https://www.rfc-editor.org/rfc/rfc7009
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from fhir_server.access import role_store
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Unauthenticated
from fhir_server.identity import caller_of, persons, standing
from fhir_server.identity.caller_of import Known
from fhir_server.rights import Consented, Limit, Related, Rights, Wall
from fhir_server.server import Server

_ISSUED: Final = """
SELECT client.id, person.fhir_user, person.roles,
    token.revoked_at IS NULL AND one.ended_at IS NULL AND client.active
    AND (%(demo)s OR NOT client.demo)
    AND (one.user_id IS NULL OR person.active AND (%(demo)s OR NOT person.demo))
FROM identity_issued AS token
JOIN identity_grant AS one ON one.id = token.grant_id
JOIN identity_client AS client ON client.id = one.client_id
LEFT JOIN identity_user AS person ON person.id = one.user_id
WHERE token.jti = %(jti)s
"""
# Of an issuer outside only the number of a token is carried: one that any revoked is refused.
# Who is named as by our own tokens had one, of which nothing is known any more.
_REVOKED: Final = """
SELECT EXISTS (SELECT FROM revoked_token WHERE jti = %(jti)s)
    OR EXISTS (SELECT FROM identity_user WHERE 'user/' || id = %(name)s)
    OR EXISTS (SELECT FROM identity_client WHERE 'client/' || id = %(name)s)
"""
_ENDED: Final = "Who asked may not any more: the access was ended since"


async def present(server: Server, caller: Caller) -> Caller:
    """Return the caller of a request that was sealed, with what it may by now.

    Unauthenticated where its token, login, user or app was ended since, Forbidden where the
    user has no role any more. Rights are never more than they were; where nothing changed it
    is the same caller, so that its links hold. Who asked without a token, as in demo mode and
    by jobs, is as before.
    """
    if caller.token is None:
        return caller
    async with server.database.connection() as connection:
        given = {"jti": caller.token, "user": caller.user, "demo": server.settings.demo}
        given["name"] = caller.name
        row = await (await connection.execute(_ISSUED, given)).fetchone()
        if row is None:
            return await _of_theirs(server, connection, caller, given)
        client, user, roles, stands = row
        if not stands or (client, user) != (caller.client, caller.user):
            raise Unauthenticated(_ENDED)
        if roles is None:
            return caller
        return await _limited(server, connection, caller, tuple(roles))


async def _of_theirs(
    server: Server, connection: Connection, caller: Caller, given: Mapping[str, object]
) -> Caller:
    """Return the caller by a token of another issuer, unless it was revoked."""
    issuers = server.settings.security.issuers
    row = await (await connection.execute(_REVOKED, given)).fetchone()
    if not issuers or row is None or row[0]:
        raise Unauthenticated(_ENDED)
    if caller.user is None:
        return caller
    kept = await standing.here(connection, caller.user)
    if kept is None:
        raise Unauthenticated(_ENDED)
    if not caller.roles:
        return caller
    # Which issuer it was is not carried: where one tells of roles, these may be its.
    told = any(one.roles_claim for one in issuers)
    roles = tuple(one for one in caller.roles if told or one in kept)
    return await _limited(server, connection, caller, roles)


async def _limited(
    server: Server, connection: Connection, caller: Caller, roles: tuple[str, ...]
) -> Caller:
    person = await persons.person(server, connection, caller.user)
    table = await role_store.table(connection)
    settings = server.settings.security
    disclosing = caller.client in settings.consent.disclosed_to
    known = Known(roles, person)
    own = caller_of.of_person(settings, table, known, disclosing=disclosing)
    before = {_said(wall) for wall in caller.rights.walls}
    new = tuple(wall for wall in own.walls if _said(wall) not in before)
    operator = caller.rights.operator & own.operator
    if not new and operator == caller.rights.operator:
        return caller
    return replace(caller, rights=Rights((*caller.rights.walls, *new), operator))


def _said(wall: Wall) -> str:
    """Return what a wall says, whatever the order in which roles and teams were found."""
    grants = (replace(one, limits=tuple(map(_ordered, one.limits))) for one in wall)
    return repr(tuple(grants))


def _ordered(limit: Limit) -> Limit:
    if isinstance(limit, Related | Consented):
        return replace(limit, actors=tuple(sorted(limit.actors)))
    return limit
