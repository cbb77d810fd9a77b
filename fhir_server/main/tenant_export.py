"""A tenant written to a folder: all its rows, large content, settings and keys.

Resources, versions and messages are there once more as NDJSON, for people and other programs.

https://hl7.org/fhir/R4/nd-json.html
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
import psycopg

from adapters.dicom.storage.tiered import archive_blobs
from fhir_server.at_rest.custody import custody
from fhir_server.at_rest.folder import Folder, Writing
from fhir_server.at_rest.keys import DataKey
from fhir_server.audit import ledger
from fhir_server.audit.happening import EXPORTED, happened
from fhir_server.blobs import Blobs
from fhir_server.errors import Conflict
from fhir_server.interactions.binary import whole
from fhir_server.main.administered import operator
from fhir_server.main.wiring import secret_of
from fhir_server.server import Server
from fhir_server.tenancy import copying, manifest
from fhir_server.tenancy.copying import Tables
from fhir_server.tenancy.manifest import BLOBS, IMAGES, Said, Secrets
from fhir_server.tenancy.tenant import Tenant

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_PIECE: Final = 1 << 20
_CURRENT: Final = """
SELECT r.type_id, b.json FROM resource AS r JOIN body AS b USING (key, version)
WHERE r.key > 0 AND NOT r.deleted ORDER BY r.type_id, r.id
"""
_VERSIONS: Final = """
SELECT r.type_id, r.id, b.version, b.last_updated, b.json = '', b.json
FROM resource AS r JOIN body AS b ON b.key = r.key
WHERE r.key > 0 ORDER BY r.type_id, r.id, b.version
"""
INSTANCES: Final = """
SELECT encode(blob, 'hex') FROM dicom_instance UNION SELECT encode(blob, 'hex') FROM dicom_conflict
"""
"""What is asked of a tenant for the digests of its DICOM files."""

_MESSAGES: Final = """
SELECT id, channel, sender, received_at, state, encode(raw, 'base64') FROM hl7_message ORDER BY id
"""

_KEYS: Final = "SELECT id, wrapped FROM data_key"
_ROOT: Final = "SELECT root IS NULL FROM installation"

_Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]


async def export(server: Server, tenant: Tenant, root: Path, key: DataKey | None) -> int:
    """Write all that a tenant has to a new folder; return how many resources there are.

    It is sealed under `key`, and can be imported (manifest.py says what is in it). Without one,
    everybody who has it can read it, and it cannot be imported: it has no rows and no keys.

    All of the database is of one moment. It is recorded first. Conflict when the folder is
    there already.
    """
    folder = _begun(root, key, tenant, server.base)
    async with server.database.transaction() as recording:
        await happened(recording, operator(), EXPORTED, about=[tenant.name])
    async with await psycopg.AsyncConnection.connect(server.database.conninfo) as connection:
        await connection.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)
        count = await _written(folder, "resources/", _current(server, connection))
        await _written(folder, "history/", _versions(server, connection))
        await _written(folder, "", _messages(connection))
        if key is not None:
            await _rows(folder, connection)
            await _keys(folder, server, connection)
        instances = await (await connection.execute(INSTANCES)).fetchall()
    archive = archive_blobs(server.blobs, server.settings.dicom)
    for part, blobs, digests in (
        (BLOBS, server.blobs, _own_files(server.blobs)),
        (IMAGES, archive, (str(digest) for (digest,) in instances)),
    ):
        await asyncio.to_thread(_copy_blobs, blobs, digests, folder, part)
    _erased(folder, server)
    folder.close()
    return count


def _begun(root: Path, key: DataKey | None, tenant: Tenant, base: str) -> Folder:
    try:
        root.mkdir(mode=0o700, parents=True)
    except FileExistsError as error:
        raise Conflict("The folder is there already; name a new one") from error
    said = Said(
        tenant.name,
        dict(tenant.settings),
        base,
        tenant.max_resources,
        tenant.max_bytes,
        list(tenant.former),
        manifest.FORMAT,
    )
    folder = Folder(root, key)
    with folder.create(manifest.TENANT) as file:
        file.write(msgspec.json.encode(said))
    return folder


async def _rows(folder: Folder, connection: _Connection) -> None:
    """Write the rows of each table, and what is to be known of them to bring them back."""
    found = await (await connection.execute(copying.TABLES)).fetchall()
    leaving = copying.leaving(found)
    for one in leaving:
        with folder.create(manifest.rows_of(one.name)) as file:
            async with connection.cursor() as cursor, cursor.copy(one.statement) as copy:
                async for piece in copy:
                    file.write(bytes(piece))
    row = await (await connection.execute(copying.REVISION)).fetchone()
    assert row is not None
    counted = await (await connection.execute(copying.SEQUENCES)).fetchall()
    sequences = {name: last for name, last in counted if last is not None}
    tables = Tables(row[0], {one.name: list(one.columns) for one in leaving}, sequences)
    with folder.create(manifest.DATABASE) as file:
        file.write(msgspec.json.encode(tables))


async def _keys(folder: Folder, server: Server, connection: _Connection) -> None:
    """Write the keys under which secrets in the rows are sealed, as they are."""
    opening = await asyncio.to_thread(custody(server.settings).read)
    rows = await (await connection.execute(_KEYS)).fetchall()
    keys = [opening.unwrapped(server.tenant, id_, wrapped) for id_, wrapped in rows]
    row = await (await connection.execute(_ROOT)).fetchone()
    root = secret_of(server.settings, server.tenant) if row and row[0] else None
    with folder.create(manifest.KEYS) as file:
        file.write(msgspec.json.encode(Secrets({one.id.hex(): one.key for one in keys}, root)))


def _erased(folder: Folder, server: Server) -> None:
    """Write the ledger of erasures that lies beside the database."""
    kept = server.settings.data_dir / ledger.FILE
    if kept.exists():
        with folder.create(manifest.ERASED) as file:
            file.write(kept.read_bytes())


async def _written(folder: Folder, part: str, lines: AsyncIterator[tuple[str, bytes]]) -> int:
    """Write each line to the file that it names in a part of the folder; return how many."""
    count = 0
    with ExitStack() as stack:
        files: dict[str, Writing] = {}
        async for name, line in lines:
            if name not in files:
                file = folder.create(f"{part}{name}.ndjson")
                files[name] = stack.enter_context(file)
            files[name].write(line + b"\n")
            count += 1
    return count


async def _current(server: Server, connection: _Connection) -> AsyncIterator[tuple[str, bytes]]:
    names = {number: name for name, number in server.definitions.type_ids.items()}
    async with connection.cursor("current_resources") as cursor:
        await cursor.execute(_CURRENT)
        async for type_id, text in cursor:
            yield names[type_id], await whole(server, str(text).encode())


async def _versions(server: Server, connection: _Connection) -> AsyncIterator[tuple[str, bytes]]:
    names = {number: name for name, number in server.definitions.type_ids.items()}
    async with connection.cursor("all_versions") as cursor:
        await cursor.execute(_VERSIONS)
        async for type_id, id_, version, at, deleted, text in cursor:
            raw = None if deleted else msgspec.Raw(str(text).encode())
            row = {"id": id_, "version": version, "lastUpdated": at, "resource": raw}
            yield names[type_id], msgspec.json.encode(row)


async def _messages(
    connection: _Connection,
) -> AsyncIterator[tuple[str, bytes]]:
    columns = ("id", "channel", "sender", "receivedAt", "state", "raw")
    async with connection.cursor("messages") as cursor:
        await cursor.execute(_MESSAGES)
        async for row in cursor:
            yield "messages", msgspec.json.encode(dict(zip(columns, row, strict=True)))


def _copy_blobs(blobs: Blobs, digests: Iterable[str], folder: Folder, part: str) -> None:
    """Copy large content as it was given; what the object store alone has is fetched."""
    for digest in digests:
        with blobs.open(digest) as source, folder.create(f"{part}{digest}") as copy:
            while piece := source.read(_PIECE):
                copy.write(piece)


def _own_files(blobs: Blobs) -> Iterator[str]:
    """Yield the digests of the large content of resources; the archive lies in a folder of it."""
    for place in blobs.root.rglob("*"):
        if _DIGEST.fullmatch(place.name) and place == blobs.place(place.name):
            yield place.name
