"""The database's schema brought to this version, which mostly is there already.

What Alembic needs to find that out is a good part of what a start costs, for each tenant.
"""

from pathlib import Path
from typing import Any, Final

import psycopg

import fhir_server
from fhir_server import second_wall
from fhir_server.main.late import found
from fhir_server.main.postgres import connect

LOCK: Final = 7_261_964_001
"""The advisory lock of who migrates: any 64-bit number, the same in every version."""

_PACKAGE: Final = Path(fhir_server.__file__).parent
# Inside the package when installed from a wheel, beside it in a checkout.
_PLACES: Final = (_PACKAGE / "migrations", _PACKAGE.parent / "migrations")
SCRIPTS: Final = next((place for place in _PLACES if place.is_dir()), _PLACES[0])

# A tenant's schema is the first of its path; what others on it have counts for nothing.
_PRESENT: Final = "SELECT to_regclass(format('%I.alembic_version', current_schema))::text"


def migrate(conninfo: str, *, tenant: bool = False) -> None:
    """Run the migrations that are missing, and see to the second wall.

    A `tenant` has tables in its own schema. Unavailable when the database cannot be reached.
    """
    with connect(conninfo) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
        if is_newest(connection):
            second_wall.stand(connection)
            return
    found("fhir_server.main.migrate:migrate")(conninfo, tenant=tenant)


def is_newest(connection: psycopg.Connection[Any]) -> bool:
    """Return whether the present schema is at the newest revision."""
    row = connection.execute(_PRESENT).fetchone()
    if row is None or row[0] is None:
        return False
    found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return found == [(newest(),)]


def newest() -> str:
    """Return the newest revision: scripts are numbered, and each follows the one before."""
    return max(path.name for path in (SCRIPTS / "versions").glob("[0-9]*.py")).partition("_")[0]
