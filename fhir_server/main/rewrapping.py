"""A new master key: the data keys of all tenants wrapped under it in one transaction.

The file has both keys before the transaction begins and loses the old one after it, so that
wherever this breaks off, and whatever a process has read, everything can be opened.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql

from fhir_server.at_rest import master
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

Connection = psycopg.Connection[tuple[Any, ...]]


def rotated(conninfo: str, path: Path) -> tuple[int, bool]:
    """Wrap every data key under a new master key; return how many, and whether the file was left.

    With several keys in the file the first is taken for the new one. Then, and where the file
    cannot be written, the operator takes the others out. Conflict when a key cannot be opened.
    """
    with psycopg.connect(conninfo, autocommit=True) as connection:
        # A data key that is made meanwhile would be wrapped under the old one.
        connection.execute(_ALONE, (WRAPPING,))
        present = master.read(path)
        given = len(present.keys) > 1
        if not given:
            present = Master((master.new(), *present.keys))
            _write(path, present)
        with connection.transaction():
            count = sum(_wrapped(connection, name, present) for name in _entered(connection))
        written = not given and _write(path, Master(present.keys[:1]))
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


def _write(path: Path, keys: Master) -> bool:
    try:
        return master.write(path, keys.keys)
    except OSError as error:
        raise Conflict(
            f"The master key file {path} cannot be written ({type(error).__name__}). Put a new key "
            "(32 random bytes in base64) in front of the present one, on each machine, and run "
            "this again."
        ) from error
