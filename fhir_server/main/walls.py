"""Whether the second wall stands, and what is missing where it does not."""

from typing import Final

import psycopg

from fhir_server.config import Settings
from fhir_server.database import Connection
from fhir_server.second_wall import MISSING, READER, STANDS

STANDING: Final = "stands"
_WHY: Final = (
    "no role may be {role}: CREATE ROLE {role} NOLOGIN NOINHERIT, then sangam migrate",
    "the login may not become {role}: GRANT {role} TO the login that serves",
    "the table body has no policy for it: sangam migrate",
)


_PASSES: Final = "SELECT FROM pg_roles WHERE rolname = session_user AND (rolsuper OR rolbypassrls)"


def is_required(settings: Settings) -> bool:
    """Return whether nothing is shown to restricted callers without a second wall.

    The embedded PostgreSQL has it by itself. A demonstration restricts nobody who does not log in,
    and takes a database as it is unless the settings say otherwise.
    """
    if not settings.database_url:
        return True
    security = settings.security
    if settings.demo and "second_wall" not in security.model_fields_set:
        return False
    return security.second_wall == "required"


async def second_wall(connection: Connection) -> str:
    """Return `stands`, or what to do for the second wall of the installation itself.

    A login that is a superuser is told of too: sessions behind the wall are restricted all the
    same, but could leave their role for one that passes all policies.
    """
    if await (await connection.execute(STANDS)).fetchone() is None:
        return _missing(await (await connection.execute(MISSING)).fetchone())
    return _standing(await (await connection.execute(_PASSES)).fetchone())


def found(conninfo: str) -> str:
    """Return the same of a database that is reached by this conninfo."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        if connection.execute(STANDS).fetchone() is None:
            return _missing(connection.execute(MISSING).fetchone())
        return _standing(connection.execute(_PASSES).fetchone())


def warning(conninfo: str) -> str:
    """Return a line for who starts a server, "" where the second wall stands."""
    said = found(conninfo)
    return "" if said.startswith(STANDING) else f"!! THE SECOND WALL {said}\n"


def _missing(row: tuple[bool, ...] | None) -> str:
    lacks = _WHY[next((number for number, one in enumerate(row or ()) if not one), -1)]
    return f"is missing: {lacks.format(role=READER)}"


def _standing(passes: tuple[()] | None) -> str:
    if passes is not None:
        return f"{STANDING}, but this login is a superuser or passes policies: choose another"
    return STANDING
