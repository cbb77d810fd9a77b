"""What a logged-in person may see in pages: what the roles let through."""

from fhir_server.access import role_store
from fhir_server.caller import Caller
from fhir_server.identity import caller_of, persons
from fhir_server.identity.caller_of import Known
from fhir_server.identity.sessions import Visitor
from fhir_server.server import Server


async def caller(
    server: Server, visitor: Visitor, address: str | None, *, door: str = "login"
) -> Caller:
    """Return the person as a caller; Forbidden for one without a role."""
    user, session = visitor.user, visitor.session
    async with server.database.connection() as connection:
        person = await persons.person(server, connection, user.fhir_user)
        # As it is now: what was in force two seconds ago might be remembered for long.
        table = await role_store.table(connection)
    known, settings = Known(user.roles, person), server.settings.security
    return Caller(
        name=f"user/{user.id}",
        door=door,
        rights=caller_of.of_person(settings, table, known),
        user=user.fhir_user,
        roles=user.roles,
        purpose=caller_of.purpose(settings, table, known),
        session=session.id,
        authenticated=int(session.authenticated_at.timestamp()),
        address=address,
    )
