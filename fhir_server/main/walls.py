"""Whether the second wall stands, and what is missing where it does not."""

from typing import Final

from fhir_server.database import Connection
from fhir_server.second_wall import MISSING, READER, STANDS

STANDING: Final = "stands"
_WHY: Final = (
    "no role may be {role}: CREATE ROLE {role} NOLOGIN NOINHERIT, then sangam migrate",
    "the login may not become {role}: GRANT {role} TO the login of database_url",
    "the table body has no policy for it: sangam migrate",
)


async def second_wall(connection: Connection) -> str:
    """Return `stands`, or what to do for the second wall of the installation itself.

    A login that is a superuser is told of too: sessions behind the wall are restricted all the
    same, but could leave their role for one that passes all policies.
    """
    if await (await connection.execute(STANDS)).fetchone() is None:
        row = await (await connection.execute(MISSING)).fetchone()
        assert row is not None
        lacks = _WHY[next((number for number, one in enumerate(row) if not one), -1)]
        return f"is missing: {lacks.format(role=READER)}"
    query = "SELECT FROM pg_roles WHERE rolname = session_user AND (rolsuper OR rolbypassrls)"
    if await (await connection.execute(query)).fetchone() is not None:
        return f"{STANDING}, but this login is a superuser or passes policies: choose another"
    return STANDING
