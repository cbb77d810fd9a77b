"""A tenant that left by an export comes back whole, elsewhere and by another name."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import pytest

from adapters.dicom.storage.tiered import archive_blobs
from fhir_server.api.app import create_app
from fhir_server.at_rest.folder import SUMS, Folder, Reading, named
from fhir_server.at_rest.keys import Damaged, DataKey
from fhir_server.audit import chain, ledger
from fhir_server.audit.happening import IMPORTED
from fhir_server.audit.record import AUDIT_EVENT, read
from fhir_server.config import Settings
from fhir_server.errors import BadRequest, Conflict
from fhir_server.identity import opaque, second_factor
from fhir_server.interactions import auditing
from fhir_server.main import migrate, tenant_import, tenants
from fhir_server.main.tenant_export import export
from fhir_server.main.tenant_import import Bringing, bring
from fhir_server.server import Server
from fhir_server.tables import Xid8
from fhir_server.tenancy import copying, erased, manifest, roles, tenant
from fhir_server.tenancy.copying import Tables
from fhir_server.tenancy.manifest import Said, Secrets
from fhir_server.tenancy.tenant import Tenant
from tests.fhir_server.tenancy.conftest import NAMES, Installation

pytestmark = pytest.mark.anyio
BASE = "http://testserver/fhir"
THERE = "https://there.example/fhir"
LARGE = b"%PDF" + bytes(200_000)
MRN = "urn:mrn"

FILLED = """
INSERT INTO identity_user (id, name, display, roles, password, seed)
VALUES ('u1', 'asha', 'Asha\tRao\\', '{DOCTOR}', 'argon', %(seed)s);
INSERT INTO identity_client (id, name, authentication, scope)
VALUES ('c1', 'App', 'none', 'openid');
INSERT INTO identity_session (id, secret, user_id) VALUES ('s1', 'x', 'u1');
INSERT INTO role (name, version, definition, changed_by) VALUES ('CLERK', 1, '{"a": 1}', 'me');
INSERT INTO idx_care VALUES (-5, 'Practitioner/1', 'p1', 1, 0, 9);
INSERT INTO job (kind, payload, state, worker) VALUES ('note', '{"a": "end"}', 'running', 3);
INSERT INTO dicom_conflict (sop_instance_uid, kind, study_instance_uid, series_instance_uid,
                            transfer_syntax_uid, blob, data_set_hash, calling_ae, peer)
VALUES ('1', 'instance', '1', '1', '1', %(slice)s, '', '', '');
INSERT INTO hl7_message (channel, peer, sender, raw, state, sha256, partition_keys, ack_mode)
VALUES ('lab', 'x', 'y', 'MSH|\tx', 'applied', '', '{}', 'original')
"""


@dataclass(frozen=True)
class Exported:
    """The tenant `north` as it was filled, and its export."""

    of: Installation
    folder: Path
    key: DataKey

    def reading(self) -> Reading:
        return Reading(self.folder, self.key)


@asynccontextmanager
async def handle(settings: Settings, conninfo: str, one: Tenant) -> AsyncIterator[Server]:
    async with tenants.opener(settings, conninfo, BASE)(one) as server:
        yield server


async def fill(server: Server) -> None:
    transport = httpx.ASGITransport(app=create_app(server))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        for n in range(1, 4):
            patient = {"resourceType": "Patient", "id": f"p{n}", "gender": "female"}
            patient["identifier"] = [{"system": MRN, "value": f"M{n}"}]  # type: ignore[assignment]
            assert (await client.put(f"Patient/p{n}", json=patient)).status_code == 201
        said = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
        said["subject"] = {"reference": f"{server.base}/Patient/p1"}
        assert (await client.post("Observation", json=said)).status_code == 201
        assert (await client.put("Patient/p2", json={**patient, "id": "p2"})).status_code == 200
        assert (await client.delete("Patient/p3")).status_code == 204
        pdf = {"Content-Type": "application/pdf"}
        assert (await client.put("Binary/b", content=LARGE, headers=pdf)).status_code == 201
    archive = archive_blobs(server.blobs, server.settings.dicom)
    seed = await opaque.stored(server, second_factor.SEED, "u1", b"seed")
    given = {"seed": seed, "slice": bytes.fromhex(archive.put(b"a slice"))}
    async with server.database.transaction() as connection:
        for statement in FILLED.split(";\n"):
            await connection.execute(statement, given)
    await auditing.settle(server)


@pytest.fixture
async def exported(empty: Installation, tmp_path: Path) -> Exported:
    key = named(bytes(range(32)))
    one = empty.of("north")
    async with handle(empty.settings, empty.conninfo, one) as server:
        await fill(server)
        await export(server, one, tmp_path / "out", key)
    return Exported(empty, tmp_path / "out", key)


@pytest.fixture
def elsewhere(installation: Installation, tmp_path: Path) -> Iterator[Settings]:
    """Settings of an installation with a data directory, master key and secret of its own."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"another installation's secret 32")
    given = {"data_dir": tmp_path / "elsewhere", "secret_file": str(secret)}
    yield installation.settings.model_copy(update=given)
    with psycopg.connect(installation.conninfo, autocommit=True) as connection:
        for one in tenant.listed(connection):
            if one.name == "west":
                roles.drop(connection, one)
                tenant.remove(connection, one.name)


def rows(conninfo: str) -> dict[str, list[bytes]]:
    """Return what would leave of each table, as its lines."""
    found = {}
    with psycopg.connect(conninfo) as connection:
        for one in copying.leaving(connection.execute(copying.TABLES).fetchall()):
            with connection.cursor() as cursor, cursor.copy(one.statement) as copy:
                found[one.name] = sorted(bytes(b"".join(map(bytes, copy))).splitlines())
    return found


def told(*_: object) -> None:
    """Draw nothing."""


async def test_it_comes_back_row_by_row_and_is_served_under_new_keys(
    exported: Exported, elsewhere: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, conninfo = exported.of, exported.of.conninfo
    before = rows(of.as_tenant("north"))
    wanted = Bringing(exported.reading(), "west", {"search": {"max_count": 9}})

    with monkeypatch.context() as patch:
        patch.setattr(tenant_import, "_fill", broken)
        with pytest.raises(OSError, match="stops"):
            await brought(elsewhere, conninfo, wanted)
    half = of.of("west")
    assert half.state == "importing"
    with pytest.raises(Conflict):
        tenants.create(elsewhere, conninfo, "west")
    made = await brought(elsewhere, conninfo, wanted)
    assert (made.state, made.settings) == ("suspended", {"search": {"max_count": 9}})
    assert made.schema != half.schema

    at = roles.as_tenant(conninfo, made)
    assert migrate.is_current(at)
    after = rows(at)
    # A job that seals secrets anew, and the record of the import.
    more = [
        one for name in ("job", "audit_record") for one in after[name] if one not in before[name]
    ]
    assert [b"data_key.rotate" in one or IMPORTED.encode() in one for one in more] == [True, True]
    left = {name: [one for one in found if one not in more] for name, found in after.items()}
    assert left == before
    assert [one for one in ("body", "identity_user", "idx_care", "role") if not before[one]] == []
    check_numbers(at)
    for said_by in (conninfo, at):
        assert recorded(said_by, "west") == [f"export {wanted.folder.digest()}"]
    async with handle(elsewhere, conninfo, made) as server:
        await check_served(server)
    await check_erased_again(elsewhere, conninfo, made)


def check_numbers(conninfo: str) -> None:
    """Assert that no number that is given from now on is taken."""
    columns = """
        SELECT c.table_name, c.column_name, pg_get_serial_sequence(c.table_name, c.column_name)
        FROM information_schema.columns AS c
        WHERE c.table_schema = current_schema AND c.is_identity = 'YES'
    """
    with psycopg.connect(conninfo) as connection:
        found = connection.execute(columns).fetchall()
        assert len(found) > 10
        for table, column, sequence in found:
            query = f"SELECT coalesce(max({column}), 0) < nextval(%s) FROM {table}"
            row = connection.execute(query, (sequence,)).fetchone()
            assert (table, row) == (table, (True,))


def recorded(conninfo: str, name: str) -> list[str | None]:
    """Return the details of imports of a tenant that were recorded."""
    with psycopg.connect(conninfo) as connection:
        said = connection.execute("SELECT said FROM audit_record").fetchall()
    found = [one for (text,) in said for one in read(text) if one.happening == IMPORTED]
    return [one.detail for one in found if one.about == [name]]


async def check_erased_again(settings: Settings, conninfo: str, one: Tenant) -> None:
    """Assert that who was erased since the export is erased again, and another is not."""
    async with handle(settings, conninfo, one) as server:
        secret = server.registry.context.page_key
    gone = {ledger.digest(secret, "Patient/p2"), ledger.digest(bytes(32), "Patient/p1")}
    await tenant_import.erase_again(settings, conninfo, BASE, one, [], gone)
    ids = "SELECT id FROM resource WHERE type_id = %s AND key > 0 ORDER BY id"
    async with handle(settings, conninfo, one) as server:
        patient = server.definitions.type_ids["Patient"]
        async with server.database.connection() as connection:
            left = await (await connection.execute(ids, (patient,))).fetchall()
        assert left == [("p1",), ("p3",)]
        kept = erased.read(server.settings.data_dir / ledger.FILE)
    assert ledger.digest(secret, "Patient/p2") in kept
    assert ledger.digest(bytes(32), "Patient/p1") not in kept


async def check_served(server: Server) -> None:
    transport = httpx.ASGITransport(app=create_app(server))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        found = (await client.get(f"Patient?identifier={MRN}|M1")).json()
        assert [one["resource"]["id"] for one in found["entry"]] == ["p1"]
        assert (await client.get("Patient/p3")).status_code == 410
        assert len((await client.get("Patient/p2/_history")).json()["entry"]) == 2
        assert (await client.get("Observation?subject=Patient/p1")).json()["total"] == 1
        assert (await client.get("Binary/b")).content == LARGE
        local = f"{BASE}/t/north/Patient/p1"
        said = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
        said["subject"] = {"reference": local}
        assert (await client.post("Observation", json=said)).status_code == 201
        assert (await client.get("Observation?subject=Patient/p1")).json()["total"] == 2
    assert (
        archive_blobs(server.blobs, server.settings.dicom).get(
            hashlib.sha256(b"a slice").hexdigest()
        )
        == b"a slice"
    )
    await auditing.settle(server)
    async with server.database.connection() as connection:
        row = await (await connection.execute("SELECT seed FROM identity_user")).fetchone()
        assert row is not None
        assert await opaque.brought(server, second_factor.SEED, "u1", row[0]) == b"seed"
        secret, type_id = server.registry.context.page_key, server.definitions.type_ids[AUDIT_EVENT]
        assert await chain.verify(connection, secret, type_id) == []
        old = await (await connection.execute("SELECT count(*) FROM identity_session")).fetchone()
        assert old == (0,)


def broken(*_: object, **__: object) -> None:
    raise OSError("the machine stops")


async def brought(settings: Settings, conninfo: str, wanted: Bringing) -> Tenant:
    return await asyncio.to_thread(bring, settings, conninfo, BASE, wanted, told)


KEY = named(bytes(32))
MAIL = {"host": "mail.evil.example", "sender": "a@b.example", "to": ["a@b.example"], "user": "a"}
FILES: dict[str, Any] = {
    "tenant.json": Said("north", {}, THERE, format=manifest.FORMAT),
    "database.json": Tables("0042", {"job": ["id"]}, {}),
    "keys.json": Secrets({}),
    "database/job.copy": b"",
}


def packed(root: Path, files: dict[str, Any]) -> Path:
    """Write an export as small as one can be, otherwise in some files; None: without it."""
    folder = Folder(root, KEY)
    for name, content in (FILES | files).items():
        if content is not None:
            with folder.create(name) as file:
                file.write(content if type(content) is bytes else msgspec.json.encode(content))
    folder.close()
    return root


UNFIT = {
    "older form": {"tenant.json": Said("north", {}, THERE)},
    "no keys": {"keys.json": None},
    "newer schema": {"database.json": Tables("9999", {"job": ["id"]}, {})},
    "no table of what it lists": {"database/job.copy": None},
    "a table that it does not list": {"database/more.copy": b""},
    "a file of another kind": {"resources/run.sh": b""},
    "no JSON": {"tenant.json": b"["},
    "a key that is none": {"keys.json": Secrets({"00" * 16: b"short"})},
    "a port of the installation": {
        "tenant.json": Said("north", {"astm": {"port": 2575}}, THERE, format=manifest.FORMAT)
    },
    "no ledger": {"erased": b"no digest"},
}


@pytest.mark.parametrize("files", UNFIT.values(), ids=UNFIT.keys())
def test_what_does_not_fit_is_refused_before_anything_is_written(
    installation: Installation, tmp_path: Path, files: dict[str, Any]
) -> None:
    reading = Reading(packed(tmp_path / "out", files), KEY)
    refuses(installation, reading, "west", BadRequest)


@pytest.mark.parametrize(
    "password_file",
    [__file__, __file__.removeprefix("/"), "pyproject.toml", "../x", "~/x"],
    ids=["absolute", "from the root", "from here", "from above", "of an account"],
)
def test_settings_of_an_export_have_no_file_of_the_machine_sent_to_anybody(
    installation: Installation, tmp_path: Path, password_file: str
) -> None:
    mail = {**MAIL, "password_file": password_file, "ca_file": "there-is-none.pem"}
    said = Said("north", {"security": {"glass": {"mail": mail}}}, THERE, format=manifest.FORMAT)
    reading = Reading(packed(tmp_path / "out", {"tenant.json": said}), KEY)
    named_there = r"this machine: security\.glass\.mail\.password_file\. "
    with pytest.raises(BadRequest, match=named_there):
        bring(installation.settings, installation.conninfo, BASE, Bringing(reading, "west"), told)
    own = Bringing(reading, "north", said.settings)
    with pytest.raises(Conflict, match="There is a tenant north already"):
        bring(installation.settings, installation.conninfo, BASE, own, told)


def refuses(of: Installation, reading: Reading, name: str, error: type[Exception]) -> None:
    """Assert that an import is refused and leaves nothing."""
    asked = "SELECT (SELECT count(*) FROM pg_namespace), array_agg(t) FROM tenancy.tenant AS t"
    with psycopg.connect(of.conninfo, autocommit=True) as connection:
        before = connection.execute(asked).fetchone()
        with pytest.raises(error):
            bring(of.settings, of.conninfo, BASE, Bringing(reading, name), told)
        assert connection.execute(asked).fetchone() == before


def test_a_tenant_that_is_there_is_not_written_over(
    installation: Installation, tmp_path: Path
) -> None:
    refuses(installation, Reading(packed(tmp_path / "out", {}), KEY), "north", Conflict)


def cut(root: Path) -> None:
    whole = (root / "database.json").read_bytes()
    (root / "database.json").write_bytes(whole[:-20])


def exchanged(root: Path) -> None:
    (root / "keys.json").write_bytes((root / "tenant.json").read_bytes())


def linked(root: Path) -> None:
    (root / "keys.json").rename(root.parent / "keys.json")
    (root / "keys.json").symlink_to(root.parent / "keys.json")


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut": cut,
    "another file": exchanged,
    "a link": linked,
    "a link to a folder": lambda root: (root / "images").symlink_to(root.parent),
    "a file is away": lambda root: (root / "database/job.copy").unlink(),
    "a file more": lambda root: (root / "database/body.copy").write_bytes(b""),
    "not to its end": lambda root: (root / SUMS).unlink(),
    "not sealed": lambda root: (root / "tenant.json").write_bytes(b"{}"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_export_is_refused_before_anything_is_written(
    installation: Installation, tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    root = packed(tmp_path / "out", {})
    damage(root)
    asked = "SELECT count(*) FROM tenancy.tenant"
    with pytest.raises(Damaged):
        bring(
            installation.settings,
            installation.conninfo,
            BASE,
            Bringing(Reading(root, KEY), "west"),
            told,
        )
    with psycopg.connect(installation.conninfo) as connection:
        assert connection.execute(asked).fetchone() == (len(NAMES),)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../x", "a//b", "a\\b", "a/b/c/d", ".x"]
)
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    folder = Folder(tmp_path / "in/out", KEY)
    with folder.create("a") as file:
        file.write(b"x")
    with folder.create(SUMS) as file:
        file.write(f"{'0' * 64}  {name}\n".encode())
    with pytest.raises(Damaged):
        Reading(folder.root, KEY)


def test_every_transaction_id_and_every_reference_of_tables_is_thought_of() -> None:
    tables = {one for one in migrate.declared().tables.values() if one.schema is None}
    ordered = {
        (one.name, c.name) for one in tables for c in one.columns if isinstance(c.type, Xid8)
    }
    assert ordered == {
        (name, column)
        for name, columns in copying.CHANGED.items()
        for column in columns
        if column in {"feed_xid", "since"}
    }
    needed = {(t.name, k.column.table.name) for t in tables for k in t.foreign_keys}
    assert {one for one in needed if one[0] not in copying.LEFT and one[1] in copying.LEFT} == set()
