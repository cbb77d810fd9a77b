"""Audit of who administers tenants: told twice, by the installation's chain and by the tenant's.

The installation's says what was done to which tenant, also of one that is gone; the tenant's own
goes with it when it moves. What cannot be recorded is not done.
"""

import getpass

import psycopg

from fhir_server.audit.record import Record, keep_beside, who, written
from fhir_server.caller import Caller, trusted
from fhir_server.tenancy.tenant import Connection


def operator() -> Caller:
    """Return the account of the machine that types the command."""
    return trusted(_account(), "cli")


def keep(connection: Connection, name: str, happening: str, detail: str) -> None:
    """Record what is done to a tenant, in the transaction of the connection if there is one."""
    keep_beside(connection, [written(_record(name, happening, detail))])


def note(conninfo: str, name: str, happening: str, detail: str) -> None:
    """Record the same in the tenant's own chain; `conninfo` is the tenant's."""
    with psycopg.connect(conninfo) as connection:
        keep(connection, name, happening, detail)


def _record(name: str, happening: str, detail: str) -> Record:
    said = who(operator())
    return Record("happening", said, happening=happening, about=[name], detail=detail)


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number without a name, as in some containers
        return "operator"
