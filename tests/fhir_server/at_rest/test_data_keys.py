"""Data keys: wrapped under the master key, known to all processes, replaced without a gap."""

import asyncio
import base64
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psycopg
import pytest

from adapters.dicom.deidentification import project_keys
from fhir_server import installation
from fhir_server.at_rest import keyring, master
from fhir_server.at_rest.custody import custody
from fhir_server.at_rest.files import sealed_under
from fhir_server.at_rest.keyring import Keyring
from fhir_server.at_rest.keys import Damaged, DataKey, new
from fhir_server.at_rest.progress import progress
from fhir_server.bases import DEFAULT
from fhir_server.blobs import Blobs, blobs_of
from fhir_server.config import Settings
from fhir_server.errors import Conflict
from fhir_server.identity import opaque, resealing, second_factor, signing
from fhir_server.interactions import data_key_rotation as rotation
from fhir_server.interactions.sealing_anew import Tally, renew, renewed
from fhir_server.main import wiring
from fhir_server.main.preparing import check_secret
from fhir_server.main.rewrapping import rotated
from fhir_server.server import Server

BASE = "http://testserver/fhir"
LARGE = 1 << 21


def asked(conninfo: str, statement: str, values: Mapping[str, Any] | None = None) -> list[Any]:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def ids(server: Server) -> list[bytes]:
    return [row[0] for row in asked(server.database.conninfo, "SELECT id FROM data_key")]


async def carried_out(server: Server) -> None:
    """Run the job until the rotation has ended."""
    run = wiring.JOBS[rotation.KIND]
    for _ in range(5):
        await run(server, {})
        async with server.database.connection() as connection:
            state = await progress(connection)
        if state and state.ended:
            return
    pytest.fail("the rotation does not end")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process knows a new key at once."""
    monkeypatch.setattr(rotation, "SETTLED_SECONDS", 0.0)


async def test_what_is_stored_is_nowhere_on_disk_as_it_came(
    client: httpx.AsyncClient, server: Server
) -> None:
    marker = b"PLANTED^PATIENT"
    body = marker * (LARGE // len(marker))
    made = await client.post("/Binary", content=body, headers={"Content-Type": "text/plain"})
    assert made.status_code == 201
    files = [path for path in server.settings.data_dir.rglob("*") if path.is_file()]
    assert max(path.stat().st_size for path in files) > len(body)
    assert [path for path in files if marker in path.read_bytes()] == []
    place = f"/Binary/{made.json()['id']}" if made.content else made.headers["location"]
    plain = {"Accept": "text/plain"}
    assert (await client.get(place, headers=plain)).content == body
    part = await client.get(place, headers={**plain, "Range": "bytes=65530-65545"})
    assert part.content == body[65530:65546]
    [stored] = server.blobs.root.glob("??/??/*")
    stored.write_bytes(stored.read_bytes()[:-1])
    for accept in (plain, {"Accept": "application/fhir+json"}):
        refused = await client.get(place, headers=accept)
        assert (refused.status_code, b"is damaged" in refused.content) == (503, True)


async def test_the_secret_and_signing_keys_are_sealed_under_the_data_key(server: Server) -> None:
    await signing.published(server)
    [[root]] = asked(server.database.conninfo, "SELECT root FROM installation")
    [[private]] = asked(server.database.conninfo, "SELECT private FROM identity_signing_key")
    assert (root[:2], private[:2]) == (b"1.", "1.")
    other = b'"d":'
    assert other not in root + private.encode()


async def test_a_secret_is_sealed_beside_the_event_loop(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, threads = new(), []

    def current(_: Keyring) -> DataKey:
        threads.append(threading.current_thread())
        return key

    monkeypatch.setattr(Keyring, "current", current)
    await opaque.stored(server, "seed", "somebody", b"content")
    assert [one is threading.main_thread() for one in threads] == [False]


async def test_no_request_or_job_waits_for_the_keys_on_the_event_loop(
    client: httpx.AsyncClient, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    body = b"x" * LARGE
    made = await client.post("/Binary", content=body, headers={"Content-Type": "text/plain"})
    place, ring = made.headers["location"].removesuffix("/_history/1"), rotation._keyring(server)  # noqa: SLF001
    seed = await opaque.stored(server, second_factor.SEED, "1", b"seed")
    await signing.published(server)
    statements = server.database.statement

    async def secret() -> None:
        async with statements() as connection:
            await installation.reseal(connection, ring)

    async def read(media: str) -> None:
        assert (await client.get(place, headers={"Accept": media})).status_code == 200

    for step in (
        lambda: read("text/plain"),
        lambda: read("application/fhir+json"),
        lambda: client.post("/Binary", content=body, headers={"Content-Type": "text/plain"}),
        lambda: opaque.brought(server, second_factor.SEED, "1", seed),
        lambda: signing.sign(server, {}, "JWT"),
        lambda: project_keys.reseal(server),
        lambda: resealing.reseal(server),
        secret,
        lambda: rotation.again(server),
        lambda: wiring.JOBS[rotation.KIND](server, {}),
    ):
        ring._state = keyring._State()  # noqa: SLF001  (as after a long pause)
        await step()
        assert "event loop" not in caplog.text
    ring.look()
    assert "the data keys are read on an event loop" in caplog.text


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(lambda path: path.unlink(), "There is no master key", id="missing"),
        pytest.param(
            lambda path: master.write(path, [master.new()]), "does not hold the key", id="another"
        ),
        pytest.param(lambda path: path.chmod(0o444), "chmod 0400", id="readable by all"),
        pytest.param(
            lambda path: (path.chmod(0o600), path.write_text("short\n")), "is no key", id="none"
        ),
    ],
)
async def test_a_server_does_not_start_without_its_master_key(
    server: Server, change: Any, says: str
) -> None:
    path = custody(server.settings).path
    assert path.stat().st_mode & 0o777 == 0o400
    change(path)
    with pytest.raises(Conflict, match=says):
        async with wiring.running(server.settings, server.database.conninfo, BASE):
            pass


def test_the_supervisor_refuses_before_any_process_starts(
    database_url: str, settings: Settings
) -> None:
    check_secret(settings, database_url)
    path = custody(settings).path
    master.write(path, [master.new()])
    with pytest.raises(Conflict, match="does not hold the key"):
        check_secret(settings, database_url)


def test_a_data_key_is_of_use_to_its_tenant_alone(tmp_path: Path) -> None:
    held = master.Master((master.new(),))
    key = new()
    wrapped = held.wrapped("north", key)
    assert held.unwrapped("north", key.id, wrapped) == key
    with pytest.raises(Conflict):
        held.unwrapped("south", key.id, wrapped)


async def test_a_rotation_leaves_nothing_under_the_old_key_and_removes_it(
    server: Server, at_once: None
) -> None:
    await signing.published(server)
    contents = [os.urandom(100_000 + n) for n in range(6)]
    digests = [server.blobs.put(one) for one in contents]
    [old] = ids(server)
    reading = server.blobs.open(digests[0])
    begun = reading.read(70_000)
    arriving = server.blobs.arrive()
    arriving.write(b"under the old key")
    project = project_keys.kept(server.data_keys, "P", b"p" * 32)
    values = {"key": project, "plain": b"q" * 32}
    added = "INSERT INTO dicom_project (name, key) VALUES ('P', %(key)s), ('Q', %(plain)s)"
    asked(server.database.conninfo, added, values)

    await rotation.begin(server)
    with pytest.raises(Conflict, match="under way"):
        await rotation.begin(server)
    await wiring.JOBS[rotation.KIND](server, {})
    await wiring.JOBS[rotation.KIND](server, {})
    assert old in ids(server)  # something arrives under it
    digests.append(arriving.keep().digest)
    await carried_out(server)

    [new] = ids(server)
    assert new != old
    found = asked(server.database.conninfo, "SELECT name, key FROM dicom_project ORDER BY 1")
    again = keyring.keyring(server.settings, server.database.conninfo, DEFAULT)
    opened = [project_keys.opened(again, name, key) for name, key in found]
    assert (opened, len(found[1][1]) > 32) == ([b"p" * 32, b"q" * 32], True)
    assert begun + reading.read() == contents[0]
    reading.close()
    assert [server.blobs.get(one) for one in digests] == [*contents, b"under the old key"]
    async with wiring.running(server.settings, server.database.conninfo, BASE) as other:
        assert other.registry.context.page_key == server.registry.context.page_key
        assert await signing.published(other) == await signing.published(server)
        assert [other.blobs.get(one) for one in digests][:6] == contents
        assert await signing.sign(other, {"a": 1}, "JWT")


async def test_a_rotation_that_is_killed_goes_on_where_it_was(
    server: Server, at_once: None
) -> None:
    contents = [os.urandom(1000 + n) for n in range(9)]
    digests = [server.blobs.put(one) for one in contents]
    await rotation.begin(server)
    child = os.fork()
    if not child:
        _die_in_the_middle(server.settings, server.database.conninfo, digests)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == -9
    server.data_keys.look()  # type: ignore[attr-defined]
    present = server.data_keys.current().id
    under = [sealed_under(server.blobs.place(one)) == present for one in digests]
    assert (under.count(True), len(list(server.blobs.incoming.iterdir()))) == (4, 1)
    assert [server.blobs.get(one) for one in digests] == contents
    await carried_out(server)
    assert ids(server) == [present]
    assert [server.blobs.get(one) for one in digests] == contents


def _die_in_the_middle(settings: Settings, conninfo: str, digests: list[str]) -> None:
    blobs = blobs_of(settings, conninfo, DEFAULT)
    replace, count = blobs.replace, 0

    def fatal(temporary: Path, digest: str) -> None:
        nonlocal count
        count += 1
        if count > 4:
            os.kill(os.getpid(), 9)
        replace(temporary, digest)

    blobs.replace = fatal  # type: ignore[method-assign]
    renew(blobs, digests, Tally())
    os._exit(0)


async def test_plain_files_are_read_until_they_are_sealed_and_none_is_believed_then(
    server: Server, at_once: None
) -> None:
    digest = Blobs(server.blobs.root).put(b"of before")
    with pytest.raises(Damaged, match="not sealed"):
        server.blobs.get(digest)  # a new database has no files of before
    asked(server.database.conninfo, "UPDATE data_key_rotation SET plain = true")
    server.data_keys.look()  # type: ignore[attr-defined]
    assert server.blobs.get(digest) == b"of before"
    await rotation.again(server)
    await carried_out(server)
    assert server.blobs.get(digest) == b"of before"
    assert b"of before" not in server.blobs.place(digest).read_bytes()
    server.data_keys.look()  # type: ignore[attr-defined]
    assert not server.data_keys.plain()


async def test_files_of_before_are_sealed_without_being_asked_for(
    server: Server, at_once: None
) -> None:
    digests = [Blobs(server.blobs.root).put(b"of before %d" % n) for n in range(3)]
    await rotation.of_itself(server)
    statement = "SELECT count(*) FROM job WHERE kind = %(kind)s"
    assert asked(server.database.conninfo, statement, {"kind": rotation.KIND}) == [(0,)]
    asked(server.database.conninfo, "UPDATE data_key_rotation SET plain = true")
    keys = ids(server)
    await rotation.of_itself(server)
    await rotation.of_itself(server)  # at the next start
    assert asked(server.database.conninfo, statement, {"kind": rotation.KIND}) == [(1,)]
    await carried_out(server)
    async with server.database.connection() as connection:
        state = await progress(connection)
    assert state is not None
    assert (state.sealed, state.number, state.plain, ids(server)) == (3, 2, False, keys)
    server.data_keys.look()  # type: ignore[attr-defined]
    assert [server.blobs.get(one) for one in digests] == [b"of before %d" % n for n in range(3)]


async def test_a_new_key_need_not_wait_for_files_of_before(server: Server, at_once: None) -> None:
    asked(server.database.conninfo, "UPDATE data_key_rotation SET plain = true")
    await rotation.of_itself(server)
    await rotation.begin(server)
    assert len(ids(server)) == 2


async def test_sealing_anew_pauses_for_its_share_of_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.blobs.put(b"content")
    await rotation.begin(server)
    asked(server.database.conninfo, "DELETE FROM job")
    monkeypatch.setattr(rotation, "_BATCH_SECONDS", -1.0)
    clock = SimpleNamespace(monotonic=iter((100.0, 102.0)).__next__)
    monkeypatch.setattr(rotation, "time", clock)
    await wiring.JOBS[rotation.KIND](server, {})
    waits = "SELECT round(extract(epoch FROM due_at - created_at)) FROM job"
    assert asked(server.database.conninfo, waits) == [(6,)]


async def test_what_cannot_be_opened_keeps_its_key_and_is_told(
    server: Server, at_once: None
) -> None:
    digest = server.blobs.put(b"x" * 100)
    place = server.blobs.place(digest)
    place.write_bytes(place.read_bytes()[:-1])
    await rotation.begin(server)
    await carried_out(server)
    async with server.database.connection() as connection:
        state = await progress(connection)
    assert state is not None
    assert (len(ids(server)), state.failed) == (2, 1)


async def test_a_blob_that_is_erased_while_it_is_sealed_anew_stays_away(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = server.blobs
    digest = blobs.put(b"erased")
    asked(server.database.conninfo, "DELETE FROM data_key")  # so that it is under another key
    ring = server.data_keys
    assert isinstance(ring, Keyring)
    old = ring.of(ring.current().id)
    monkeypatch.setattr(ring, "of", lambda _: old)
    ring.look()
    still = blobs.still

    def erased() -> Any:
        blobs.place(digest).unlink()
        return still()

    monkeypatch.setattr(blobs, "still", erased)
    assert not renewed(blobs, digest)
    assert not blobs.place(digest).exists()


async def test_a_new_data_key_seals_in_another_process_within_seconds(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = keyring.keyring(server.settings, server.database.conninfo, DEFAULT)
    assert other.current() == server.data_keys.current()
    async with server.database.transaction() as connection:
        made = await rotation._keyring(server).rotate(connection)  # noqa: SLF001
    monkeypatch.setattr(keyring, "FRESH_SECONDS", 0.0)
    assert other.current().id.hex() == made


async def test_a_key_that_is_not_known_to_be_current_seals_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = Keyring("host=127.0.0.1 port=1", DEFAULT, custody(server.settings), Path())
    with pytest.raises(OSError, match="cannot be read"):
        ring.current()


async def test_a_new_master_key_wraps_every_data_key_and_the_old_one_opens_nothing(
    server: Server,
) -> None:
    path, conninfo = custody(server.settings).path, server.database.conninfo
    digest = server.blobs.put(b"kept")
    before = master.read(path)
    assert rotated(conninfo, custody(server.settings)) == (1, True)
    after = master.read(path)
    assert (len(after.keys), after.keys == before.keys) == (1, False)
    [(id_, wrapped)] = asked(conninfo, "SELECT id, wrapped FROM data_key")
    with pytest.raises(Conflict):
        before.unwrapped(DEFAULT, id_, wrapped)
    again = blobs_of(server.settings, conninfo, DEFAULT)
    assert again.get(digest) == b"kept"
    server.blobs.put(b"another")  # the process that has read the old key goes on


async def test_a_change_of_the_master_key_that_broke_off_is_gone_on_with(server: Server) -> None:
    path, conninfo = custody(server.settings).path, server.database.conninfo
    [old] = master.read(path).keys
    new = base64.b64encode(b"n" * 32).decode()
    path.chmod(0o600)
    path.write_text(f"# both\n{new}\n{base64.b64encode(old).decode()}\n")
    assert blobs_of(server.settings, conninfo, DEFAULT).put(b"between")
    assert rotated(conninfo, custody(server.settings)) == (1, False)
    master.write(path, [b"n" * 32])
    assert blobs_of(server.settings, conninfo, DEFAULT).put(b"after")


def test_first_servers_that_start_at_once_agree_on_one_key(
    database_url: str, settings: Settings
) -> None:
    rings = [keyring.keyring(settings, database_url, DEFAULT) for _ in range(4)]
    threads = [threading.Thread(target=ring.current) for ring in rings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({ring.current().key for ring in rings}) == 1


async def test_a_secret_that_was_sealed_before_is_opened_and_sealed_anew(server: Server) -> None:
    before = opaque.sealed(server, "second factor", "1", b"seed")
    assert opaque.unsealed(server, "second factor", "1", before) == b"seed"
    now = await opaque.stored(server, "second factor", "1", b"seed")
    assert await opaque.brought(server, "second factor", "1", now) == b"seed"
    assert await opaque.brought(server, "second factor", "2", now) is None
    assert await opaque.brought(server, "signing key", "1", now) is None
