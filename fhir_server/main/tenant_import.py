"""A tenant brought back from an export, whole or not at all.

    checked   every file is as it was sealed, and fits what is here: nothing is written yet
    importing the tenant has a name and is served nowhere: schema, keys, large content, rows
    suspended it is whole

What breaks off is begun anew by the same command: until it is whole there is nothing in it that
could not be brought in again.
"""

import asyncio
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import psycopg

from adapters.dicom.storage.tiered import archive_blobs
from fhir_server.at_rest import texts
from fhir_server.at_rest.custody import custody
from fhir_server.at_rest.folder import Reading
from fhir_server.at_rest.keyring import WRAPPING
from fhir_server.at_rest.keys import Damaged, DataKey, One, new
from fhir_server.audit.happening import IMPORTED
from fhir_server.bases import of_tenant
from fhir_server.blobs import Blobs, blobs_of
from fhir_server.config import Settings
from fhir_server.errors import BadRequest, Conflict, SangamError
from fhir_server.installation import PURPOSE
from fhir_server.interactions import data_key_rotation, erasure
from fhir_server.jobs import enqueue_sync
from fhir_server.main import administered, migrate, tenants
from fhir_server.main.wiring import ERASERS
from fhir_server.tenancy import copying, erased, manifest, roles, tenant
from fhir_server.tenancy.manifest import BLOBS, IMAGES, Manifest
from fhir_server.tenancy.own_settings import settings_of
from fhir_server.tenancy.tenant import Connection, Tenant

_SHARED: Final = "SELECT pg_advisory_xact_lock_shared(%s)"
_OLD_KEY: Final = """
INSERT INTO data_key (id, wrapped, "current", retired_at)
VALUES (%s, %s, false, clock_timestamp())
"""
_NEW_KEY: Final = 'INSERT INTO data_key (id, wrapped, "current") VALUES (%s, %s, true)'
# Files are sealed as they come; secrets in columns wait for the job.
_ROTATING: Final = """
INSERT INTO data_key_rotation (id, plain, pass, began_at, pass_at)
VALUES (1, false, 1, clock_timestamp(), clock_timestamp())
"""
_ROOT: Final = "UPDATE installation SET root = %s WHERE root IS NULL"
# Of sessions, so that it ends with a process that is killed.
_ALONE: Final = "SELECT pg_try_advisory_lock(7261966, hashtext(%s))"
_SPARE: Final = 1 << 28

Told = Callable[[str, int, int], None]
"""Is told what is under way, and how many bytes of how many are through."""


@dataclass(frozen=True, slots=True)
class Bringing:
    """An import: of which export, by what name, and what is to be otherwise than it was.

    `settings` take the place of those in the export, `erased` are more digests of what must not
    come back, as lines of a ledger.
    """

    folder: Reading
    name: str
    settings: Mapping[str, Any] | None = None
    erased: frozenset[bytes] = frozenset()


def bring(settings: Settings, conninfo: str, base: str, wanted: Bringing, told: Told) -> Tenant:
    """Bring a tenant in, and return it as it is then: suspended.

    BadRequest or Damaged where the export, or what it asks for, does not fit, Conflict where
    there is a tenant of the name: nothing is left of it then.
    """
    said = checked(wanted, told)
    _check_settings(settings, wanted, said)
    with tenants.connected(conninfo) as connection:
        _alone(connection, wanted.name)
        new_one = _new(wanted, said, of_tenant(base, wanted.name))
        _check_room(settings, wanted.folder)
        tenants.check(settings, connection, new_one)
        begun = _begun(settings, connection, conninfo, new_one)
        try:
            tenants.make(settings, conninfo, connection, begun)
            _fill(settings, conninfo, begun, wanted, said, told)
        except (SangamError, Damaged):
            _forget(settings, connection, conninfo, begun)
            raise
        gone = wanted.erased | erased.everywhere(settings, conninfo, tenant.listed(connection))
        asyncio.run(erase_again(settings, conninfo, base, begun, said.erased, gone))
        _told_of(connection, conninfo, begun, wanted.folder)
        return tenant.named(connection, begun.name)


def _fill(
    settings: Settings,
    conninfo: str,
    begun: Tenant,
    wanted: Bringing,
    said: Manifest,
    told: Told,
) -> None:
    """Bring all of it into the tenant's schema and folder."""
    own, at = settings_of(settings, begun), roles.as_tenant(conninfo, begun)
    migrate.migrate(at, said.tables.revision, tenant=True)
    with psycopg.connect(at) as connection:
        copying.check(connection, said.tables)
    present = _keys(own, at, begun.name, said)
    _files(own, at, begun.name, wanted.folder, told)
    _rows(at, wanted.folder, said, present, told)
    migrate.migrate(at, tenant=True)
    _analyse(at, said)


def _told_of(connection: Connection, conninfo: str, begun: Tenant, folder: Reading) -> None:
    """Record the import, and let the tenant be there."""
    detail = f"export {folder.digest()}"
    administered.note(roles.as_tenant(conninfo, begun), begun.name, IMPORTED, detail)
    with connection.transaction():
        administered.keep(connection, begun.name, IMPORTED, detail)
        tenant.enter(connection, begun.name, "suspended", ("importing",))


def checked(wanted: Bringing, told: Told) -> Manifest:
    """Return what the export says, after all of it was read; nothing is written."""
    said = manifest.read(wanted.folder)
    _check_revision(said.tables.revision)
    total = sum(map(wanted.folder.size, wanted.folder.sums))
    done = 0
    for name in wanted.folder.sums:
        wanted.folder.check(name)
        done += wanted.folder.size(name)
        told("Reading", done, total)
    return said


def _alone(connection: Connection, name: str) -> None:
    """Let nobody else bring in a tenant of this name meanwhile; Conflict while another does."""
    if connection.execute(_ALONE, (name,)).fetchone() != (True,):
        raise Conflict(f"The tenant {name} is being imported at this moment")


def _new(wanted: Bringing, said: Manifest, base: str) -> Tenant:
    own = said.said.settings if wanted.settings is None else wanted.settings
    quotas = {"max_resources": said.said.max_resources, "max_bytes": said.said.max_bytes}
    made = tenant.new(wanted.name, own, **quotas)
    former = [one for one in dict.fromkeys([*said.said.former, said.said.base]) if one != base]
    return replace(made, state="importing", former=former)


def _check_settings(settings: Settings, wanted: Bringing, said: Manifest) -> None:
    """Refuse settings of the export that would have files of this machine read.

    A password file is told to the mail server that the same settings name. Who imports may say
    the same by settings of their own.
    """
    if wanted.settings is not None:
        return
    named = [place for place, one in _texts("", said.said.settings) if _is_here(settings, one)]
    if named:
        raise BadRequest(
            f"The settings of the export name what lies on this machine: {', '.join(named)}. "
            "Look at tenant.json (sangam tenant unseal), and give settings by --settings"
        )


def _texts(place: str, given: object) -> Iterator[tuple[str, str]]:
    """Yield the places of texts in settings, with the texts."""
    if isinstance(given, Mapping):
        for name, one in given.items():
            yield from _texts(f"{place}.{name}" if place else str(name), one)
    elif isinstance(given, list):
        for one in given:
            yield from _texts(place, one)
    elif isinstance(given, str) and given:
        yield place, given


def _is_here(settings: Settings, name: str) -> bool:
    """Return whether a text is the path of something here, wherever a server is started."""
    path = Path(name)
    if ".." in path.parts or name.startswith("~"):
        return True
    here = Path.cwd(), Path("/"), settings.data_dir.absolute(), settings.data_dir.absolute().parent
    try:
        return any((root / path).exists() for root in here)
    except PermissionError:
        return True
    except (OSError, ValueError):  # none that a file can have
        return False


def _check_revision(revision: str) -> None:
    if not migrate.knows(revision):
        raise BadRequest(
            "The export is of a schema that this version does not know: a newer one wrote it. "
            "Bring this installation up to date, then import it."
        )


def _check_room(settings: Settings, folder: Reading) -> None:
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    needed = sum(folder.size(one) for one in folder.sums if one.startswith((BLOBS, IMAGES)))
    if shutil.disk_usage(settings.data_dir).free < needed + _SPARE:
        raise BadRequest("The disk of the data directory has no room for the files of the export")


def _begun(settings: Settings, connection: Connection, conninfo: str, wanted: Tenant) -> Tenant:
    """Return the row of the tenant, new; what an import that broke off left goes before."""
    for one in tenant.listed(connection):
        if one.name == wanted.name and one.state == "importing":
            _forget(settings, connection, conninfo, one)
    tenant.add(connection, wanted)
    return wanted


def _forget(settings: Settings, connection: Connection, conninfo: str, begun: Tenant) -> None:
    """Drop what there is of an import that came to nothing."""
    tenants.clear(settings, connection, conninfo, begun)
    tenant.remove(connection, begun.name)


def _keys(own: Settings, at: str, name: str, said: Manifest) -> One:
    """Keep the keys that opened it before, beside a new one that seals from now on."""
    present = new()
    with psycopg.connect(at) as connection:
        connection.execute(_SHARED, (WRAPPING,))
        held = custody(own)
        held.make()
        opening = held.read(fresh=True)
        for id_, key in said.secrets.data_keys.items():
            old = DataKey(bytes.fromhex(id_), key)
            connection.execute(_OLD_KEY, (old.id, opening.wrapped(name, old)))
        connection.execute(_NEW_KEY, (present.id, opening.wrapped(name, present)))
        connection.execute(_ROTATING)
    return One(present)


def _files(own: Settings, at: str, name: str, folder: Reading, told: Told) -> None:
    """Store large content and DICOM files, sealed under the tenant's key."""
    own.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    blobs = blobs_of(own, at, name)
    archive = archive_blobs(blobs, own.dicom)
    names = [one for one in folder.sums if one.startswith((BLOBS, IMAGES))]
    total, done = sum(map(folder.size, names)), 0
    for one in names:
        _put(folder, one, archive if one.startswith(IMAGES) else blobs)
        done += folder.size(one)
        told("Files", done, total)


def _put(folder: Reading, name: str, blobs: Blobs) -> None:
    arrival = blobs.arrive()
    try:
        folder.check(name, arrival.write)
        if arrival.digest().hex() != name.rpartition("/")[2]:
            raise Damaged(f"{name} does not hold what its name says")
        arrival.keep()
    finally:
        arrival.drop()


def _rows(at: str, folder: Reading, said: Manifest, present: One, told: Told) -> None:
    """Bring all rows in, in one transaction."""
    total = sum(folder.size(manifest.rows_of(one)) for one in said.tables.tables)
    done = 0
    with psycopg.connect(at) as connection:
        aside = copying.unforced(connection)
        for name in copying.in_order(connection, said.tables):
            with folder.open(manifest.rows_of(name)) as rows:
                copying.fill(connection, name, said.tables.tables[name], rows)
            done += folder.size(manifest.rows_of(name))
            told("Rows", done, total)
        copying.forced(connection, aside)
        copying.count(connection, said.tables)
        if said.secrets.root is not None:
            sealed = texts.seal(present, PURPOSE, "", said.secrets.root)
            connection.execute(_ROOT, (sealed.encode(),))
        enqueue_sync(connection, [data_key_rotation.JOB])


def _analyse(at: str, said: Manifest) -> None:
    with psycopg.connect(at, autocommit=True) as connection:
        copying.analyse(connection, said.tables)


async def erase_again(
    settings: Settings,
    conninfo: str,
    base: str,
    one: Tenant,
    own: Collection[bytes],
    gone: Collection[bytes],
) -> None:
    """Erase what was erased since the export was made, before anybody sees it.

    `own` is its ledger as it came, `gone` that of others. Digests are keyed by the tenant's
    secret, so that what is not of it matches nothing, and is not kept.
    """
    folder = settings_of(settings, one).data_dir
    erased.write(folder, {*own, *gone})
    async with tenants.opener(settings, conninfo, base)(one) as server:
        await erasure.apply(server, ERASERS)
        async with server.database.connection() as connection:
            rows = await (await connection.execute(erased.NOTED)).fetchall()
    erased.write(folder, {*own, *(bytes(row[0]) for row in rows)})
