"""A new master key: the data keys of all tenants wrapped under it in one transaction.

The file has both keys before the transaction begins and loses the old one after it, so that
wherever this breaks off, and whatever a process has read, everything can be opened.
"""

from collections.abc import Iterator
from typing import Any, Final

import psycopg
from psycopg import sql

from fhir_server.at_rest import master
from fhir_server.at_rest.custody import Custody
from fhir_server.at_rest.keyring import WRAPPING
from fhir_server.at_rest.master import Master
from fhir_server.bases import DEFAULT
from fhir_server.errors import Conflict
from fhir_server.tenancy import tenant

_THERE: Final = "SELECT to_regclass('data_key') IS NOT NULL"
_READ: Final = "SELECT id, wrapped FROM data_key ORDER BY id FOR UPDATE"
_WRAP: Final = "UPDATE data_key SET wrapped = %s WHERE id = %s"
_ALONE: Final = "SELECT pg_advisory_lock(%s)"
_RELEASED: Final = "SELECT pg_advisory_unlock(%s)"

_IN_FRONT: Final = (
    "put a line with a new key (32 random bytes in base64) in front of the present one, on each "
    "machine, and run this again."
)

Connection = psycopg.Connection[tuple[Any, ...]]


def rotated(conninfo: str, held: Custody) -> tuple[int, bool]:
    """Wrap every data key under a new master key; return how many, and whether the file was left.

    With several keys the first is taken for the new one. Then the operator takes the others out.
    Conflict when a key cannot be opened, or a new one is to come from the operator.
    """
    with psycopg.connect(conninfo, autocommit=True) as connection:
        # A data key that is made meanwhile would be wrapped under the old one.
        connection.execute(_ALONE, (WRAPPING,))
        present = held.read(fresh=True)
        given = len(present.keys) > 1
        if not given:
            present = Master((master.new(), *present.keys))
            if not _write(held, present):
                raise Conflict(f"A new master key comes from {held}: {_IN_FRONT}")
        with connection.transaction():
            count = sum(_wrapped(connection, name, present) for name in _entered(connection))
        written = not given and _write(held, Master(present.keys[:1]))
        connection.execute(_RELEASED, (WRAPPING,))
    return count, written


def _entered(connection: Connection) -> Iterator[str]:
    """Yield the name of each tenant, the connection being that tenant's meanwhile."""
    others = tenant.listed(connection)
    yield DEFAULT
    for one in others:
        for setting, value in (("role", one.role), ("search_path", one.schema)):
            statement = sql.SQL("SET LOCAL {} TO {}")
            connection.execute(statement.format(sql.Identifier(setting), sql.Identifier(value)))
        yield one.name
        connection.execute("RESET ROLE")
        connection.execute("SET LOCAL search_path TO DEFAULT")


def _wrapped(connection: Connection, name: str, new: Master) -> int:
    row = connection.execute(_THERE).fetchone()
    if not row or not row[0]:
        return 0  # a tenant whose making broke off
    found = connection.execute(_READ).fetchall()
    for id_, wrapped in found:
        if not new.wraps(wrapped):
            key = new.unwrapped(name, id_, wrapped)
            connection.execute(_WRAP, (new.wrapped(name, key), id_))
    return len(found)


def _write(held: Custody, keys: Master) -> bool:
    try:
        return held.replace(keys.keys)
    except OSError as error:
        raise Conflict(
            f"The master key file {held} cannot be written ({type(error).__name__}): {_IN_FRONT}"
        ) from error
