"""The parts of a running server, put together."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from starlette.routing import BaseRoute

from adapters.dicom.commitment import deliver as dicom_commitment
from adapters.dicom.commitment import rows as dicom_commitments
from adapters.dicom.commitment.figures import figures as dicom_figures
from adapters.dicom.deidentification import project_keys as dicom_project_keys
from adapters.dicom.documents import apply as dicom_documents
from adapters.dicom.documents.figures import figures as dicom_document_figures
from adapters.dicom.mpps import apply as dicom_mpps
from adapters.dicom.mpps import rows as dicom_steps
from adapters.dicom.operators.api import routes as dicom_operators
from adapters.dicom.query import backfill as dicom_backfill
from adapters.dicom.storage import recompress as dicom_recompress
from adapters.dicom.storage import renewing as dicom_renewing
from adapters.dicom.storage import verify as dicom_verify
from adapters.dicom.storage.figures import figures as dicom_archive
from adapters.dicom.studies import erase as dicom_erase
from adapters.dicom.studies import expunge as dicom_expunge
from adapters.dicom.studies import fold as dicom
from adapters.dicom.studies import notes as dicom_notes
from adapters.dicom.studies import transferred as dicom_transferred
from adapters.dicom.studies.figures import figures as dicom_studies
from adapters.dicom.viewer.page import routes as dicom_viewer
from adapters.dicom.web.routes import routes as dicomweb_routes
from adapters.dicom.worklist import follow as dicom_worklist
from adapters.hl7.codes import follow as hl7_codes
from adapters.hl7.inbox import erase as hl7_erase
from adapters.hl7.inbox import process as hl7
from adapters.hl7.inbox import retention as hl7_retention
from adapters.hl7.inbox.figures import figures as hl7_inbox
from adapters.hl7.laboratory import critical as hl7_critical
from adapters.hl7.laboratory import following as hl7_following
from adapters.hl7.laboratory.figures import figures as hl7_alerts
from adapters.hl7.operators.api import routes as hl7_routes
from adapters.hl7.outbound.figures import figures as hl7_outbound
from fhir_server.api import rest
from fhir_server.api.ops import Figures
from fhir_server.at_rest.keyring import FOLDER, Keyring, keyring
from fhir_server.bases import DEFAULT, beside
from fhir_server.blobs import Blobs
from fhir_server.codings import Codings
from fhir_server.config import Settings
from fhir_server.database import Connection, Database
from fhir_server.errors import Conflict
from fhir_server.fhirpath.evaluation import Callbacks
from fhir_server.identity import resealing as identity_resealing
from fhir_server.identity import tidying
from fhir_server.installation import SHORTEST, Keys, keeps_secret, keys
from fhir_server.interactions import (
    asynchronous,
    consents,
    data_key_rotation,
    erasure,
    glass_mail,
    reindex,
    retention,
)
from fhir_server.keys import key_source, new_id
from fhir_server.main import connections, logins, walls
from fhir_server.main.catching_up import figures as rights_behind
from fhir_server.profiles import stored
from fhir_server.profiles.profiles import Profiles
from fhir_server.profiles.stored import StoredDefinitions
from fhir_server.r4 import definitions
from fhir_server.seal import derived
from fhir_server.search.context import Context
from fhir_server.search.registry import Registry
from fhir_server.server import InForce, Server
from fhir_server.validation.structure import Validator
from fhir_server.vocabulary import assembly
from fhir_server.vocabulary.freshness import Freshness
from fhir_server.worker.runner import Function
from terminology.choosing import Choices
from terminology.memberships import Memberships
from terminology.readings import Readings
from terminology.recent import Recent
from terminology.ucum.unit import unit

SENT_BYTES = 20_000_000
"""Bytes of JSON of which a process keeps what it read: of resources sent along, of caches."""

MOST_KEPT = 1 << 10
"""Elements of each tenant whose index rows a process keeps: some 3 KB each, and there are many."""

ERASERS: Sequence[erasure.Eraser] = (hl7_erase.erase, dicom_erase.erase)
"""What removes what the adapters keep of a patient."""

STORES: data_key_rotation.Stores = (dicom_renewing.store,)
"""Which files are sealed, besides those of the server itself."""

RESEALERS: Sequence[data_key_rotation.Resealer] = (
    identity_resealing.reseal,
    dicom_project_keys.reseal,
)
"""What seals secrets in columns anew."""

JOBS: Mapping[str, Function] = {
    asynchronous.CARRY_OUT: rest.carry_out,
    asynchronous.SWEEP: asynchronous.sweep,
    "hl7.process": hl7.run,
    "hl7.codes": hl7_codes.run,
    hl7_critical.FOLLOW: hl7_following.run,
    hl7_retention.KIND: hl7_retention.run,
    "dicom.fold": dicom.run,
    "dicom.note": dicom_notes.run,
    dicom_expunge.KIND: dicom_expunge.run,
    dicom_transferred.KIND: dicom_transferred.run,
    dicom_documents.KIND: dicom_documents.run,
    dicom_backfill.KIND: dicom_backfill.run,
    dicom_verify.KIND: dicom_verify.run,
    dicom_recompress.KIND: dicom_recompress.run,
    dicom_worklist.ORDER: dicom_worklist.run,
    dicom_worklist.REBUILD: dicom_worklist.run_rebuild,
    dicom_commitments.KIND: dicom_commitment.run,
    dicom_steps.KIND: dicom_mpps.run,
    reindex.KIND: reindex.run,
    consents.KIND: consents.run,
    erasure.KIND: erasure.job(ERASERS),
    retention.KIND: retention.run,
    data_key_rotation.KIND: data_key_rotation.job(STORES, RESEALERS),
    tidying.KIND: tidying.run,
    glass_mail.KIND: glass_mail.run,
}
"""Which kind of job is which function."""

FIGURES: Sequence[Figures] = (
    hl7_inbox,
    hl7_alerts,
    hl7_outbound,
    dicom_figures,
    dicom_archive,
    dicom_document_figures,
    dicom_studies,
    rights_behind,
)
"""What adds to the metrics of the server."""


BESIDE: Sequence[Callable[[Server], Sequence[BaseRoute]]] = (
    hl7_routes,
    dicom_operators,
    dicomweb_routes,
    dicom_viewer,
)
"""What is served outside of the FHIR base."""


@asynccontextmanager
async def serving(
    settings: Settings, conninfo: str, base: str, tenant: str
) -> AsyncIterator[Server]:
    """Build the handle of a tenant, as `running` does that of the installation.

    `settings`, `conninfo` and `base` are the tenant's; its pools are small and empty in time.
    """
    database = Database(
        conninfo,
        size=settings.tenants.connections,
        read_seconds=settings.limits.search_seconds,
        write_seconds=settings.limits.write_seconds,
        walled=walls.is_required(settings),
        keeper=logins.keeper(settings, conninfo),
        idle_seconds=settings.tenants.idle_seconds,
    )
    await database.open()
    try:
        yield await build(settings, database, base, tenant)
    finally:
        await database.close()


@asynccontextmanager
async def running(
    settings: Settings, conninfo: str, base: str, *, size: int | None = None
) -> AsyncIterator[Server]:
    """Build the handle of this process over an open database; closed at the end.

    `base` is the FHIR base URL; the database is migrated. `size` is that of the pools of
    connections, else as if PostgreSQL allowed as many as are best.
    """
    database = Database(
        conninfo,
        size=size or connections.preferred(settings),
        read_seconds=settings.limits.search_seconds,
        write_seconds=settings.limits.write_seconds,
        walled=walls.is_required(settings),
        keeper=logins.keeper(settings, conninfo),
    )
    await database.open()
    try:
        yield await build(settings, database, base)
    finally:
        await database.close()


async def build(settings: Settings, database: Database, base: str, tenant: str = DEFAULT) -> Server:
    """Return the handle; the process takes a number of its own for its keys."""
    known = definitions.load()
    async with database.statement() as connection:
        cursor = await connection.execute("SELECT nextval('process_node')")
        row = await cursor.fetchone()
        ring = keyring(settings, database.conninfo, tenant)
        own = await opened_keys(connection, ring, settings, tenant)
    assert row is not None
    base = base.rstrip("/")
    bases = (base, *(alias.rstrip("/") for alias in settings.base_aliases))
    if tenant != DEFAULT:
        bases = (*bases, f"{beside(base)}/fhir")
    context = Context.of(settings.search, bases)
    if tenant != DEFAULT:
        context = replace(context, most_kept=MOST_KEPT)
    context = replace(context, secret=own.terms, page_key=own.pages)
    registry = Registry.build(known, context)
    vocabulary = assembly.vocabulary(database, registry, settings.terminology.kept_bytes)
    return Server(
        settings=settings,
        base=base,
        bases=bases,
        database=database,
        definitions=known,
        in_force=InForce(registry),
        validator=_validator(known),
        memberships=Memberships(vocabulary),
        profiles=Profiles(known),
        stored_profiles=StoredDefinitions(database, registry, _changes(known, database)),
        vocabulary=vocabulary,
        codings=Codings(database),
        choices=Choices(),
        readings=Readings(SENT_BYTES),
        caches=Recent(SENT_BYTES),
        blobs=_blobs(settings.data_dir / FOLDER, ring),
        new_id=new_id,
        new_key=key_source(int(row[0])),
        tenant=tenant,
        data_keys=ring,
    )


async def opened_keys(
    connection: Connection, ring: Keyring, settings: Settings, tenant: str = DEFAULT
) -> Keys:
    """Open the data keys of a tenant, and return those that its secret gives; in autocommit.

    Conflict when the master key or the secret is not the database's.
    """
    await ring.open(connection)
    given = secret_of(settings, tenant)
    # A tenant that was imported brought its secret, which lies sealed in its schema.
    if given is not None and tenant != DEFAULT and await keeps_secret(connection):
        given = None
    return await keys(connection, given, ring)


# It holds rules alone, which take a while to make: one does for all handles of a process.
@lru_cache(maxsize=1)
def _validator(known: definitions.Definitions) -> Validator:
    return Validator(known, Callbacks(units=unit))


def _changes(known: definitions.Definitions, database: Database) -> Callable[[], Awaitable[int]]:
    """Return what tells whether a StructureDefinition was written since."""
    type_id = known.type_ids[stored.TYPE]
    freshness = Freshness(database, [type_id])

    async def generation() -> int:
        return (await freshness.now())[type_id]

    return generation


def _blobs(root: Path, ring: Keyring) -> Blobs:
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    blobs = Blobs(root, ring)
    blobs.forget_partial()
    return blobs


def secret_of(settings: Settings, tenant: str) -> bytes | None:
    """Return the secret of a tenant's schema, made of that of the file if there is one."""
    root = secret(settings)
    return root if root is None or tenant == DEFAULT else derived(root, f"tenant {tenant}")


def secret(settings: Settings) -> bytes | None:
    """Return what `secret_file` holds, None without one; Conflict when it is no secret."""
    if not settings.secret_file:
        return None
    try:
        found = Path(settings.secret_file).read_bytes().strip()
    except OSError as error:
        raise Conflict(f"The secret_file cannot be read ({error.strerror})") from error
    if len(found) < SHORTEST:
        raise Conflict(f"The secret_file holds less than {SHORTEST} bytes")
    return found
