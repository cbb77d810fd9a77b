"""What was erased in an installation, of tenants that are here and of those that went.

A tenant's ledger lies beside its database (audit/ledger.py). When the tenant goes, its digests
stay in a file of the installation, as an older export of it could bring back whom it forgot.
"""

import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

import psycopg

from fhir_server.audit.ledger import FILE
from fhir_server.config import Settings
from fhir_server.errors import BadRequest
from fhir_server.tenancy import roles
from fhir_server.tenancy.own_settings import settings_of
from fhir_server.tenancy.tenant import Tenant

OF_GONE: Final = "erased-of-tenants"
"""The file of tenants that went, in the data directory of the installation."""

NOTED: Final = "SELECT digest FROM erased"
"""What a tenant's own tables know of it."""

_THERE: Final = "SELECT to_regclass('erased') IS NOT NULL"
_DIGEST: Final = re.compile("[0-9a-f]{64}")


def read(place: Path) -> frozenset[bytes]:
    """Return the digests of a ledger's file, none where there is none; BadRequest for another."""
    lines = place.read_text("ascii", "replace").split() if place.exists() else []
    if not all(map(_DIGEST.fullmatch, lines)):
        raise BadRequest(f"The file {place} is no ledger of erasures")
    return frozenset(map(bytes.fromhex, lines))


def write(folder: Path, digests: Iterable[bytes]) -> None:
    """Write the ledger of a tenant, durably, in place of the one that is there."""
    _write(folder / FILE, digests)


def everywhere(settings: Settings, conninfo: str, tenants: Collection[Tenant]) -> frozenset[bytes]:
    """Return what was erased here, of these tenants and of those that went."""
    found = set(read(settings.data_dir / OF_GONE))
    for one in tenants:
        found |= of_tenant(settings, conninfo, one)
    return frozenset(found)


def of_tenant(settings: Settings, conninfo: str, one: Tenant) -> frozenset[bytes]:
    """Return what was erased of one tenant, by its tables and by the file beside them."""
    kept = read(settings_of(settings, one).data_dir / FILE)
    with psycopg.connect(roles.as_tenant(conninfo, one), autocommit=True) as connection:
        row = connection.execute(_THERE).fetchone()
        rows = connection.execute(NOTED).fetchall() if row and row[0] else []
    return kept | {bytes(digest) for (digest,) in rows}


def remember(settings: Settings, conninfo: str, leaving: Tenant) -> None:
    """Keep the ledger of a tenant that goes."""
    place = settings.data_dir / OF_GONE
    before = read(place)
    found = of_tenant(settings, conninfo, leaving)
    if not found <= before:
        _write(place, before | found)


def _write(place: Path, digests: Iterable[bytes]) -> None:
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o600), "w") as file:
        file.writelines(f"{one.hex()}\n" for one in sorted(digests))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(place)
