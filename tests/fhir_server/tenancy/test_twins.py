"""Two tenants with equal ids, record numbers and accession numbers see nothing of each other."""

import asyncio
import hashlib
import json
import re
import socket
import threading
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from adapters.dicom import listener
from adapters.dicom.network.scu import Instance, Refusal, Sender
from adapters.dicom.simulation.computed_tomography import Study, instances, uid
from adapters.dicom.storage.tiered import archive_blobs
from adapters.dicom.studies import fold
from adapters.hl7.astm import client as astm
from adapters.hl7.astm import own_port
from adapters.hl7.inbox import process, turns
from adapters.hl7.mllp import channels
from adapters.hl7.mllp.client import send
from adapters.hl7.simulate.chemistry import oru
from fhir_server import jobs
from fhir_server.at_rest.folder import new_key, unsealed
from fhir_server.audit.happening import ERASURE, EXPORTED
from fhir_server.audit.record import read
from fhir_server.errors import BadRequest, Conflict
from fhir_server.jobs import Job
from fhir_server.main import migrate, tenants
from fhir_server.main.tenant_export import export
from fhir_server.server import Server
from fhir_server.tenancy import tenant
from fhir_server.tenancy.handles import Register, attend
from fhir_server.worker.runner import carrying
from tests.fhir_server.tenancy.conftest import LOGIN, NAMES, Installation, by_rest, happens, opened

pytestmark = pytest.mark.anyio
ROUNDS = 6
RESULT = (
    b"H|\\^&|||Maker^Model^1||||||||LIS2-A2|20260110080000\r"
    b"P|1|4711||X|Rao^Asha||19800115|F\r"
    b"O|1|S-1||^^^GLU|R||20260110073000\r"
    b"R|1|^^^GLU^Glucose|5.4|mmol/L|3.9-5.6|N||F||||20260110075900\r"
    b"L|1|N\r"
)


def named(name: str, value: bytes) -> bytes:
    """Return a message with the tenant's name in place of the family name (PID-5)."""
    return re.sub(rb"(\rPID\|1\|\|[^|]*\|\|)[^^|]*", rb"\g<1>" + name.encode(), value)


async def everything(client: httpx.AsyncClient, name: str, type_name: str) -> list[Any]:
    answer = await client.get(f"/fhir/t/{name}/{type_name}?_count=1000")
    assert answer.status_code == 200
    return [entry["resource"] for entry in answer.json().get("entry", [])]


async def port_of(handle: Server) -> int:
    """Return the port of the tenant's channel, once it listens."""
    found: list[int] = []

    async def listens() -> bool:
        async with handle.database.connection() as connection:
            found[:] = [
                one["port"]  # type: ignore[misc]
                for one in await channels.states(connection)
                if one["state"] == "listening"
            ]
        return bool(found)

    await happens(listens)
    return found[0]


def analyzers(log: pytest.LogCaptureFixture) -> dict[str, int]:
    """Return the ports for analyzers that are open, by tenant."""
    said = [one.args for one in log.records if one.msg == own_port.LISTENS]
    return {str(one[0]): int(one[1]) for one in said if isinstance(one, tuple)}  # type: ignore[arg-type, call-overload]


def result(port: int, name: str) -> bool:
    """Send what an analyzer says of a patient, the same but for the name; return how it went."""
    text = RESULT.replace(b"Rao", name.encode())
    return all(one.ok for one in astm.send("127.0.0.1", port, [text], 240))


async def arrived(handle: Server, count: int) -> None:
    async def are_there() -> bool:
        async with handle.database.connection() as connection:
            cursor = await connection.execute("SELECT count(*) FROM hl7_message")
            return await cursor.fetchone() == (count,)

    await happens(are_there)


def pictures(name: str) -> list[Instance]:
    """Return one study of the same UIDs, patient and accession number for each tenant."""
    study = Study(3, 2, size=16)
    return [
        Instance(
            one.sop_class_uid,
            one.sop_instance_uid,
            one.transfer_syntax_uid,
            one.data_set.replace(b"Simulated^P", f"{name}....^P".encode()),
        )
        for one in instances(study)
    ]


def store(address: tuple[str, int], name: str) -> list[int]:
    sent = pictures(name)
    contexts = [(one.sop_class_uid, one.transfer_syntax_uid) for one in sent]
    with Sender(address, called=name.upper(), calling="CT", contexts=contexts) as sender:
        return [sender.store(one) for one in sent]


async def test_what_comes_in_by_rest_mllp_astm_and_dicom_at_once_stays_with_its_tenant(
    client: httpx.AsyncClient,
    server: Server,
    empty: Installation,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", own_port.__name__)
    stop, over = asyncio.Event(), threading.Event()
    handles: dict[str, Server] = {}

    async def messages(handle: Server, ended: asyncio.Event) -> None:
        handles[handle.tenant] = handle
        await asyncio.gather(channels.serve(handle, None, ended), own_port.serve(handle, ended))

    opener = tenants.opener(empty.settings, empty.conninfo, server.base)
    serving = asyncio.create_task(attend(Register(server.database, 0.01), opener, messages, stop))
    sock = socket.create_server(("127.0.0.1", 0))
    guests = tenants.guests(empty.settings, empty.conninfo)
    listening = asyncio.create_task(
        asyncio.to_thread(listener.serve, server, sock, over, guests=guests)
    )
    try:
        await happens(lambda: set(handles) == set(NAMES))
        ports = {name: await port_of(handles[name]) for name in NAMES}
        await happens(lambda: set(analyzers(caplog)) == set(NAMES))
        results = [oru(n) for n in range(1, 4)]
        work = [by_rest(client, name, n) for n in range(ROUNDS) for name in NAMES]
        for name in NAMES:
            sent = [named(name, one) for one in results]
            work.append(
                asyncio.to_thread(lambda p, s: list(send("127.0.0.1", p, s)), ports[name], sent)
            )
            work.append(asyncio.to_thread(store, sock.getsockname(), name))
            work.append(asyncio.to_thread(result, analyzers(caplog)[name], name))
        outcomes = await asyncio.gather(*work)
        stored = [one for one in outcomes if isinstance(one, list) and isinstance(one[0], int)]
        assert stored == [[0, 0], [0, 0]]
        for name in NAMES:
            await arrived(handles[name], 4)
        await asyncio.gather(*(process.run(handles[name], {}) for name in NAMES))
        folded = {"study": uid(3, "study")}
        await asyncio.gather(*(fold.run(handles[name], folded) for name in NAMES))
        for name in NAMES:
            await only_its_own(client, handles[name])
        assert [len(files(empty, name)) for name in NAMES] == [2, 2]
        assert not files(empty, "north") & files(empty, "south")
    finally:
        stop.set()
        over.set()
        await asyncio.gather(serving, listening)
        sock.close()
    async with server.database.connection() as connection:
        cursor = await connection.execute(
            "SELECT (SELECT count(*) FROM resource) + (SELECT count(*) FROM hl7_message)"
            " + (SELECT count(*) FROM dicom_instance)"
        )
        assert await cursor.fetchone() == (0,)


SHOWN = (
    "/fhir/t/{}/Patient",
    "/fhir/t/{}/_history?_count=500",
    "/fhir/t/{}/Patient?_has:Observation:subject:status=final&_count=500",
    "/fhir/t/{}/ImagingStudy?_include=ImagingStudy:subject",
    "/t/{}/dicom-web/studies?includefield=all",
    "/t/{}/hl7/messages/{}/raw",
)
"""What shows records of a tenant, each of which names it."""


async def only_its_own(client: httpx.AsyncClient, handle: Server) -> None:
    """Assert that a tenant has what was sent to it, whole, and nothing of the other."""
    name = handle.tenant
    (other,) = set(NAMES) - {name}
    (message, *_) = (await client.get(f"/t/{name}/hl7/messages")).json()["messages"]
    for path in SHOWN:
        answer = await client.get(path.format(name, message["id"]))
        assert (path, answer.status_code) == (path, 200)
        said = answer.text.replace(f"/t/{name}", "")
        assert (path, name in said, other in said) == (path, True, False)
    patients = await everything(client, name, "Patient")
    assert sorted(one["name"][0]["family"] for one in patients) == sorted(
        [name] * (ROUNDS + 3 + 1) + [f"{name}...."]
    )
    observations = await everything(client, name, "Observation")
    assert len(observations) == ROUNDS + 3 * 25 + 1
    (study,) = await everything(client, name, "ImagingStudy")
    assert study["numberOfInstances"] == 2
    async with handle.database.connection() as connection:
        for table in ("body", "hl7_message", "dicom_instance", "change", "edge", "job"):
            # Bytes are written in hexadecimal.
            cursor = await connection.execute(
                f"SELECT count(*) FILTER (WHERE t::text ~* %s), count(*) > 0 FROM {table} AS t",
                (f"{other}|{other.encode().hex()}",),
            )
            assert (table, await cursor.fetchone()) == (table, (0, True))


def files(installation: Installation, name: str) -> set[str]:
    """Return the large files of a tenant by their digests."""
    found = installation.blobs(name).rglob("*")
    return {place.name for place in found if place.is_file()}


REFUSED = {
    "another tenant's bodies": "SELECT FROM {south}.body",
    "another tenant's bodies by name and role": "SET ROLE {south}; SELECT FROM {north}.body",
    "the installation's bodies": "SELECT FROM public.body",
    "the register of tenants": "SELECT FROM tenancy.tenant",
    "changing code systems": "DELETE FROM tx.code_system",
    "tables outside of its schema": "CREATE TABLE public.mine (a int)",
    "schemas": "CREATE SCHEMA mine",
    "its own bodies without its role": "SET ROLE NONE; SELECT FROM {north}.body",
    "the installation's bodies without its role": "SET ROLE NONE; SELECT FROM public.body",
    "another tenant's job channel's rows": "INSERT INTO {south}.job (kind) VALUES ('x')",
}


@pytest.mark.parametrize("statement", REFUSED.values(), ids=REFUSED.keys())
def test_postgresql_itself_refuses_a_tenant(installation: Installation, statement: str) -> None:
    schemas = {name: installation.of(name).schema for name in NAMES}
    *before, wanted = statement.format(**schemas).split("; ")
    with psycopg.connect(installation.as_tenant("north"), autocommit=True) as connection:
        for one in before:
            connection.execute(one)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(wanted)


@pytest.mark.parametrize("reset", ["RESET ROLE", "DISCARD ALL", "SELECT FROM tx.code_system"])
def test_a_session_that_is_reset_is_still_the_tenants(
    installation: Installation, reset: str
) -> None:
    one = installation.of("north")
    with psycopg.connect(installation.as_tenant("north"), autocommit=True) as connection:
        connection.execute(reset)
        row = connection.execute("SELECT current_user, current_schema").fetchone()
    assert row == (one.role, one.schema)


def test_the_login_owns_nothing_and_inherits_nothing(installation: Installation) -> None:
    query = (
        "SELECT rolsuper, rolinherit, rolbypassrls, rolcreaterole,"
        " (SELECT count(*) FROM pg_class WHERE relowner = r.oid) FROM pg_roles AS r"
        " WHERE rolname = %s"
    )
    with psycopg.connect(installation.conninfo) as connection:
        row = connection.execute(query, (LOGIN,)).fetchone()
    assert row == (False, False, False, False, 0)


PATHS = {
    "/fhir/t/north/Patient": 200,
    "/fhir/t/north?_type=Patient": 200,
    "/t/north/fhir/Patient": 200,
    "/t/north/health/live": 200,
    "/fhir/t/north/Patient/p1": 404,
    "/fhir/t/west/Patient": 404,
    "/fhir/t/default/Patient": 404,
    "/fhir/t/North/Patient": 404,
    "/fhir/t/north%2F..%2Fsouth/Patient": 404,
    "/fhir/%74/north/Patient": 404,
    "/fhir/t": 404,
}


async def test_the_url_alone_says_which_tenant(
    client: httpx.AsyncClient, empty: Installation
) -> None:
    await by_rest(client, "south", 1)
    misleading = {"X-Forwarded-Prefix": "/fhir/t/south", "X-Forwarded-Host": "south"}
    found = {path: await client.get(path, headers=misleading) for path in PATHS}
    assert {path: one.status_code for path, one in found.items()} == PATHS
    assert [path for path, one in found.items() if "south" in one.text] == []


async def test_a_tenant_sees_its_own_figures_and_no_counters_of_all(
    client: httpx.AsyncClient, empty: Installation
) -> None:
    with psycopg.connect(empty.as_tenant("south"), autocommit=True) as connection:
        jobs.enqueue_sync(connection, [Job("note", {}, delay_seconds=60)])
    found = {name: (await client.get(f"/t/{name}/metrics")).text for name in NAMES}
    waiting = 'sangam_jobs_waiting{state="ready"} '
    assert {name: waiting + "1.0" in text for name, text in found.items()} == {
        "north": False,
        "south": True,
    }
    counted = (await client.get("/metrics")).text
    assert 'sangam_tenant_requests_total{tenant="south"}' in counted
    assert "sangam_tenant_requests" not in found["north"]


async def test_links_are_of_the_tenant_and_open_nothing_at_another(
    client: httpx.AsyncClient, empty: Installation
) -> None:
    for n in range(3):
        for name in NAMES:
            await by_rest(client, name, n)
    page = (await client.get("/fhir/t/north/Patient?_count=1")).json()
    links = {one["relation"]: one["url"] for one in page["link"]}
    assert links["next"].startswith("http://testserver/fhir/t/north/")
    assert (await client.get(links["next"])).json()["entry"][0]["resource"]["id"] == "p1"
    stolen = links["next"].replace("north", "south")
    assert (await client.get(stolen)).status_code in {400, 404}


async def test_a_suspended_tenant_is_refused_at_every_door(
    client: httpx.AsyncClient, server: Server, empty: Installation
) -> None:
    sock = socket.create_server(("127.0.0.1", 0))
    over, stop = threading.Event(), asyncio.Event()
    served: list[str] = []

    async def messages(handle: Server, ended: asyncio.Event) -> None:
        served.append(handle.tenant)
        await ended.wait()
        served.remove(handle.tenant)

    guests = tenants.guests(empty.settings, empty.conninfo)
    opener = tenants.opener(empty.settings, empty.conninfo, server.base)
    serving = asyncio.create_task(attend(Register(server.database, 0.01), opener, messages, stop))
    await by_rest(client, "north", 1)
    await happens(lambda: sorted(served) == ["north", "south"])
    empty.enter("north", "suspended")
    listening = asyncio.create_task(
        asyncio.to_thread(listener.serve, server, sock, over, guests=guests)
    )
    try:
        refused = await client.get("/fhir/t/north/Patient/p1")
        assert (refused.status_code, "suspended" in refused.text) == (403, True)
        with pytest.raises(Refusal):
            await asyncio.to_thread(store, sock.getsockname(), "north")
        assert await asyncio.to_thread(store, sock.getsockname(), "south") == [0, 0]
        await happens(lambda: served == ["south"])
    finally:
        empty.enter("north", "active")
        over.set()
        stop.set()
        await asyncio.gather(listening, serving)
        sock.close()
    assert (await client.get("/fhir/t/north/Patient/p1")).status_code == 200


async def test_locks_and_words_of_jobs_do_not_reach_another_tenant(empty: Installation) -> None:
    async with AsyncExitStack() as stack:
        north, south = [
            await stack.enter_async_context(
                await psycopg.AsyncConnection.connect(empty.as_tenant(name), autocommit=True)
            )
            for name in NAMES
        ]
        assert [await turns.claim(one, [1, 2]) for one in (north, south)] == [[1, 2], [1, 2]]
        await jobs.listen(south)
        for one in (north, south):
            await jobs.enqueue(one, [Job("note", {})])
        (told,) = [one async for one in south.notifies(timeout=5, stop_after=1)]
        assert told.pid == south.info.backend_pid


async def test_a_worker_carries_out_each_tenants_jobs_with_its_own_handle(
    empty: Installation,
) -> None:
    done: list[tuple[str, str]] = []

    async def note(handle: Server, payload: dict[str, Any]) -> None:
        done.append((handle.tenant, payload["of"]))

    stop = asyncio.Event()
    async with opened(empty, "http://testserver/fhir") as own, carrying("memory://") as carrier:
        working = [
            asyncio.create_task(carrier.work(own[name], {"note": note}, stop)) for name in NAMES
        ]
        for name in NAMES:
            async with own[name].database.transaction() as connection:
                await jobs.enqueue(
                    connection, [Job("note", {"of": name}, str(n)) for n in range(9)]
                )
        await happens(lambda: len(done) >= 18)
        stop.set()
        await asyncio.gather(*working)
    assert sorted(done) == [(name, name) for name in NAMES for _ in range(9)]


KEPT = """
INSERT INTO dicom_conflict (sop_instance_uid, kind, study_instance_uid, series_instance_uid,
                            transfer_syntax_uid, blob, data_set_hash, calling_ae, peer)
VALUES ('1', 'instance', '1', '1', '1', %s, '', '', '')
"""


async def test_a_tenant_is_made_exported_and_erased(
    client: httpx.AsyncClient, empty: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("the machine stops")

    with monkeypatch.context() as patch:
        patch.setattr(tenants, "migrate", broken)
        with pytest.raises(OSError, match="stops"):
            tenants.create(empty.settings, empty.conninfo, "east")
    assert (await client.get("/fhir/t/east/metadata")).status_code == 404
    made = tenants.create(empty.settings, empty.conninfo, "east")
    assert migrate.is_current(empty.as_tenant("east"))
    with pytest.raises(Conflict):
        tenants.create(empty.settings, empty.conninfo, "east")
    await by_rest(client, "east", 1)
    await by_rest(client, "north", 2)
    opener = tenants.opener(empty.settings, empty.conninfo, "http://testserver/fhir")
    async with opener(made) as handle:
        handle.blobs.put(b"a picture")
        archive = archive_blobs(handle.blobs, handle.settings.dicom)
        async with handle.database.statement() as connection:
            await connection.execute(KEPT, (bytes.fromhex(archive.put(b"a slice")),))
        key = new_key(tmp_path / "key")
        assert await export(handle, made, tmp_path / "sealed", key) == 2
        assert recorded(empty.as_tenant("east"), EXPORTED) == [["east"]]
    sealed = [path.read_bytes() for path in (tmp_path / "sealed").rglob("*") if path.is_file()]
    assert [one for one in sealed if b"resourceType" in one or b"a slice" in one] == []
    assert unsealed(tmp_path / "sealed", tmp_path / "key", tmp_path / "out") == len(sealed) - 1
    check_export(tmp_path / "out")
    with pytest.raises(Conflict):
        tenants.erase(empty.settings, empty.conninfo, "east", "east")
    empty.enter("east", "suspended")
    with pytest.raises(BadRequest):
        tenants.erase(empty.settings, empty.conninfo, "east", "north")
    tenants.erase(empty.settings, empty.conninfo, "east", "east")
    assert left(empty, made) == (0, 0, 0)
    assert recorded(empty.conninfo, ERASURE) == [["east"]]
    assert not (empty.settings.data_dir / "tenants/east").exists()
    assert (await client.get("/fhir/t/east/metadata")).status_code == 404
    assert (await client.get("/fhir/t/north/Patient/p2")).status_code == 200


def recorded(conninfo: str, happening: str) -> list[list[str]]:
    """What was recorded of a kind of happening, by what it is about."""
    with psycopg.connect(conninfo) as connection:
        rows = connection.execute("SELECT said FROM audit_record").fetchall()
    records = [record for (said,) in rows for record in read(said)]
    return [one.about for one in records if one.happening == happening]


def check_export(folder: Path) -> None:
    found = {str(one.relative_to(folder)): one for one in folder.rglob("*") if one.is_file()}
    digest = hashlib.sha256(b"a picture").hexdigest()
    assert {one for one in found if not one.startswith("database/")} == {
        "SHA256SUMS",
        "tenant.json",
        "database.json",
        "keys.json",
        "resources/Patient.ndjson",
        "resources/Observation.ndjson",
        "history/Patient.ndjson",
        "history/Observation.ndjson",
        f"blobs/{digest}",
        f"images/{hashlib.sha256(b'a slice').hexdigest()}",
    }
    assert json.loads(found["resources/Patient.ndjson"].read_text())["id"] == "p1"
    (version,) = map(json.loads, found["history/Patient.ndjson"].read_text().splitlines())
    assert (version["id"], version["version"]) == ("p1", 1)
    assert f"{digest}  blobs/{digest}\n" in found["SHA256SUMS"].read_text()


def left(installation: Installation, one: tenant.Tenant) -> tuple[Any, ...] | None:
    """Return how many rows, schemas and roles are left of a tenant."""
    query = (
        "SELECT (SELECT count(*) FROM tenancy.tenant WHERE name = %s),"
        " (SELECT count(*) FROM pg_namespace WHERE nspname = %s),"
        " (SELECT count(*) FROM pg_roles WHERE rolname = %s)"
    )
    with psycopg.connect(installation.conninfo) as connection:
        return connection.execute(query, (one.name, one.schema, one.role)).fetchone()
