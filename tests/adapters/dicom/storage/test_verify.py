import errno
import io
import os
from pathlib import Path

import psycopg
import pytest

from adapters.dicom.network.scu import Instance
from adapters.dicom.simulation.computed_tomography import Study, instances
from adapters.dicom.storage import verify
from adapters.dicom.storage.store import archive_root
from fhir_server.blobs import Blobs
from fhir_server.server import Server
from tests.adapters.dicom.conftest import Archive
from tests.adapters.dicom.storage.test_quota import sangam


def slices(count: int, seed: int = 1) -> list[Instance]:
    return list(instances(Study(seed, count, size=16)))


def path_of(archive: Archive, one: Instance) -> Path:
    sql = "SELECT encode(blob, 'hex') FROM dicom_instance WHERE sop_instance_uid = %s"
    return archive.blobs.path(archive.rows(sql, one.sop_instance_uid)[0][0])


def test_damage_is_found_told_and_forgotten_when_it_is_mended(archive: Archive) -> None:
    sound, gone, short, flipped = sent = slices(4)
    archive.send(*sent)
    paths = [path_of(archive, one) for one in sent]
    contents = [path.read_bytes() for path in paths]
    paths[1].unlink()
    paths[2].write_bytes(contents[2][:-1])
    paths[3].write_bytes(contents[3][:-1] + bytes([contents[3][-1] ^ 1]))
    told = sangam(archive, "verify")
    kinds = {gone: "missing", short: "unreadable", flipped: "unreadable"}
    for one, kind in kinds.items():
        assert f"{one.sop_instance_uid}: {kind}" in told
    assert f"{sound.sop_instance_uid}:" not in told
    assert "4 files read, 3 damaged, 0 orphans removed" in told
    assert archive.rows("SELECT sop_instance_uid, kind FROM dicom_damage ORDER BY kind, 1") == [
        (gone.sop_instance_uid, "missing"),
        *sorted((one.sop_instance_uid, "unreadable") for one in (short, flipped)),
    ]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    assert "4 files read, 0 damaged" in sangam(archive, "verify")
    assert archive.rows("SELECT FROM dicom_damage") == []


@pytest.mark.parametrize(("content", "kind"), [(b"fil", "size"), (b"filf", "hash")])
def test_a_file_of_before_is_compared_with_its_hash(
    tmp_path: Path, content: bytes, kind: str
) -> None:
    blobs = Blobs(tmp_path)
    digest = blobs.put(b"file")
    blobs.path(digest).write_bytes(content)
    assert verify.check(blobs, verify.Stored("1.2.3", digest, 4)).kind == kind


class Failing(Blobs):
    """Blobs on a disk that does not read them."""

    number = errno.EIO

    def open(self, digest: str) -> io.BufferedReader:
        raise OSError(self.number, digest)


def test_what_its_disk_cannot_read_is_damaged_and_what_is_away_is_tried_again(
    tmp_path: Path,
) -> None:
    blobs, stored = Failing(tmp_path), verify.Stored("1.2.3", "00" * 32, 1)
    assert verify.check(blobs, stored).kind == "unreadable"
    blobs.number = errno.ETIMEDOUT
    with pytest.raises(TimeoutError):
        verify.check(blobs, stored)


def test_one_study_is_verified_alone(archive: Archive) -> None:
    archive.send(*slices(2), *slices(3, seed=2))
    [(study,)] = archive.rows(
        "SELECT study_instance_uid FROM dicom_instance GROUP BY 1 HAVING count(*) = 3"
    )
    assert "3 files read" in sangam(archive, "verify", "--study", study)


def test_orphans_are_removed_once_they_are_old(archive: Archive) -> None:
    archive.send(*slices(1))
    young, old = (Path(archive.blobs.root / "aa" / "bb" / (digit * 64)) for digit in "12")
    young.parent.mkdir(parents=True)
    for path in (young, old):
        path.write_bytes(b"x")
    os.utime(old, (1, 1))
    # The listener's own sweep, as it starts, may have been first.
    assert "1 files read, 0 damaged" in sangam(archive, "verify")
    assert (young.exists(), old.exists()) == (True, False)


async def test_a_days_part_is_a_share_of_the_archive_and_a_round_is_all_of_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "_BATCH", 2)
    blobs = Blobs(archive_root(server.blobs.root), server.data_keys)
    async with server.database.statement() as connection:
        for number in range(5):
            await connection.execute(
                "INSERT INTO dicom_instance (sop_instance_uid, study_instance_uid,"
                " series_instance_uid, sop_class_uid, transfer_syntax_uid, blob, data_set_hash,"
                " size, data_set_offset, calling_ae, peer, flags, attributes)"
                " VALUES (%s, '1', '1', '1', '1', decode(%s, 'hex'), '', 4, 1, '', '', '{}', '{}')",
                (f"1.{number}", blobs.put(b"file%d" % number)),
            )
    blobs.path(blobs.put(b"file4")).unlink()
    day = server.settings.dicom.model_copy(update={"verify_days": 5 / 3})
    days = server.settings.model_copy(update={"dicom": day})
    daily = Server(
        **{name: getattr(server, name) for name in Server.__slots__} | {"settings": days}
    )

    async def one(sql: str) -> tuple[object, ...]:
        async with server.database.connection() as connection:
            row = await (await connection.execute(sql)).fetchone()
        assert row is not None
        return row

    state = "SELECT after, checked, rounds FROM dicom_verification"
    await verify.run(daily, {})
    assert await one(state) == ("1.1", 2, 0)
    assert await one("SELECT payload FROM job WHERE kind = 'dicom.verify'") == ({"left": 1},)
    await verify.run(daily, {"left": 1})
    assert await one(state) == ("1.2", 3, 0)
    await verify.run(daily, {})
    assert await one("SELECT sop_instance_uid, kind FROM dicom_damage") == ("1.4", "missing")
    await verify.run(daily, {"left": 1})
    assert await one(state) == ("", 0, 1)


def test_a_part_is_due_once_a_day(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        jobs = "SELECT count(*) FROM job WHERE kind = 'dicom.verify'"
        verify.start(connection, 90)
        assert connection.execute(jobs).fetchone() == (0,)
        connection.execute("UPDATE dicom_verification SET at = at - interval '25 hours'")
        verify.start(connection, 0)
        assert connection.execute(jobs).fetchone() == (0,)
        verify.start(connection, 90)
        verify.start(connection, 90)
        assert connection.execute(jobs).fetchone() == (1,)
