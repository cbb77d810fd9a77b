"""Whether a database may be served, with what is in it."""

from typing import Any, Final

import psycopg

from fhir_server.config import Settings
from fhir_server.main import walls
from fhir_server.main.refused import Refused

_PEOPLE: Final = "SELECT EXISTS (SELECT FROM identity_user WHERE active AND NOT demo)"
_TENANTS: Final = "SELECT EXISTS (SELECT FROM tenancy.tenant)"


def check_people(settings: Settings, conninfo: str) -> None:
    """Refuse to open what is real to a demonstration, or a server into which nobody can log in."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        people, tenants = _is_any(connection, _PEOPLE), _is_any(connection, _TENANTS)
    if settings.demo and (people or tenants):
        raise Refused(
            "This database has users or tenants of its own, so it is not opened by --demo. "
            "Start without --demo, or choose another --data-dir."
        )
    if not settings.demo and not people and not settings.security.issuers:
        raise Refused(
            "Nobody could log in yet: add the first user by `sangam user add NAME --role ADMIN` "
            "(with the same --data-dir), then start again. --demo shows the server without."
        )


def check_wall(settings: Settings, conninfo: str) -> None:
    """Refuse a database without a second wall where one is required.

    `conninfo` is that by which it is served, of the installation or of a tenant.
    """
    if not walls.is_required(settings):
        return
    found = walls.found(conninfo)
    if not found.startswith(walls.STANDING):
        raise Refused(
            f"The second wall of the database {found}. Without it what restricted callers read "
            "rests on queries alone; docs/security-access.md says more, and security.second_wall "
            '= "where possible" does without.'
        )


def _is_any(connection: psycopg.Connection[tuple[Any, ...]], statement: str) -> bool:
    row = connection.execute(statement).fetchone()
    return bool(row and row[0])
