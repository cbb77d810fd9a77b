"""How many connections with PostgreSQL a server may hold, and how many it gets.

https://www.postgresql.org/docs/current/runtime-config-connection.html
"""

from typing import Any, Final

import psycopg

from fhir_server.config import Settings
from fhir_server.main.refused import Refused

LEAST: Final = 2
"""The smallest pool: who holds a connection may have to wait for another's."""

_MOST: Final = 16
_SHARED: Final = 160
_ASIDE: Final = 2
# A command, a backup, and what keeps audit (database.py).
_OTHERS: Final = 3
_RESERVED: Final = 3

_ALLOWED: Final = """
SELECT least(
    current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int,
    nullif(d.datconnlimit, -1), nullif(r.rolconnlimit, -1))
FROM pg_database AS d, pg_roles AS r
WHERE d.datname = current_database() AND r.rolname = session_user
"""


def processes(settings: Settings) -> int:
    """Return how many processes a server has that hold pools (serve.py)."""
    astm = settings.astm_port is not None or (
        settings.astm.connect and bool(settings.hl7.profiles_dir)
    )
    # MLLP and the worker are one each, the worker being the first of those that map messages.
    return settings.processes + 1 + astm + _images(settings) + settings.hl7.processes


def _images(settings: Settings) -> int:
    ports = settings.dicom.plain_port + (settings.dicom.tls_port is not None)
    return settings.dicom.processes * ports


def of_pools(size: int) -> int:
    """Return what the pools of a database hold at most (database.py), each of this size.

    For searches, for reads whose plans are kept, for writing, a few aside, and two behind the
    second wall.
    """
    return 3 * size + max(1, min(_ASIDE, size - 1)) + 2 * max(2, size // 2)


def preferred(settings: Settings) -> int:
    """Return the size of the pools of each process, where PostgreSQL allows that."""
    share = _SHARED // (processes(settings) + 2)
    return max(LEAST, min(_MOST, (share - _ASIDE) // 2))


def needed(settings: Settings, size: int, tenants: int) -> int:
    """Return how many connections there may be at once, with pools of this size.

    Of each tenant as many as one of its pools holds in each process: idle, it has none, and not
    all are busy everywhere at once.
    """
    each, own = processes(settings), settings.dicom
    images = _images(settings) * (own.connections + own.query_connections + 1)
    # Each process that maps messages or works listens for jobs.
    listening = settings.hl7.processes
    of_tenants = tenants * (each * settings.tenants.connections + listening)
    return each * of_pools(size) + images + listening + of_tenants + _OTHERS


def for_embedded(settings: Settings, tenants: int = 0) -> int:
    """Return what `max_connections` of an embedded PostgreSQL has to be."""
    return needed(settings, preferred(settings), tenants) + _RESERVED


def fitting(settings: Settings, allowed: int, tenants: int) -> int:
    """Return the size of pools of which so many connections are enough; Refused without any."""
    for size in range(preferred(settings), LEAST - 1, -1):
        if needed(settings, size, tenants) <= allowed:
            return size
    least, best = needed(settings, LEAST, tenants), for_embedded(settings, tenants)
    raise Refused(
        f"PostgreSQL allows this login {allowed} connections, and {processes(settings)} processes "
        f"with {tenants} tenants need {least}. Set its max_connections ({best} is best), or have "
        "fewer processes, hl7.processes, dicom.processes, dicom.connections or tenants.connections."
    )


def allowed(connection: psycopg.Connection[Any]) -> int:
    """Return how many connections the login of a connection may hold with this database."""
    row = connection.execute(_ALLOWED).fetchone()
    assert row is not None
    return int(row[0])


def tenants_of(connection: psycopg.Connection[Any]) -> int:
    """Return how many tenants there are, 0 before there is a register of them."""
    there = connection.execute("SELECT to_regclass('tenancy.tenant') IS NOT NULL").fetchone()
    if not (there and there[0]):
        return 0
    row = connection.execute("SELECT count(*) FROM tenancy.tenant").fetchone()
    return int(row[0]) if row else 0
