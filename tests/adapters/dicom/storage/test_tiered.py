"""Blobs on disk before an object store: a real client of S3, a stand-in for its service."""

import base64
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from moto.server import ThreadedMotoServer

from adapters.dicom.network.scu import Instance
from adapters.dicom.simulation.computed_tomography import Study, instances
from adapters.dicom.storage import s3 as module
from adapters.dicom.storage.s3 import S3
from adapters.dicom.storage.sweep import sweep
from adapters.dicom.storage.tiered import Tiered, archive_blobs
from fhir_server.at_rest.keys import DataKey, One
from fhir_server.at_rest.sealed import key_id
from fhir_server.blobs import Blobs
from fhir_server.config import DicomSettings
from fhir_server.dicom_settings import S3Settings
from fhir_server.interactions.sealing_anew import renewed
from tests.adapters.dicom.conftest import Archive
from tests.adapters.dicom.storage.test_quota import sangam


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patched:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patched.setenv(name, "test")
        patched.setenv("AWS_DEFAULT_REGION", "us-east-1")
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


@pytest.fixture
def bucket(service: str) -> Iterator[tuple[S3Settings, Any]]:
    client = boto3.client("s3", endpoint_url=service)
    name = f"images-{secrets.token_hex(4)}"
    client.create_bucket(Bucket=name)
    yield S3Settings(bucket=name, endpoint=service, prefix="dicom/"), client
    client.close()


def objects(bucket: tuple[S3Settings, Any]) -> dict[str, bytes]:
    settings, client = bucket
    listed = client.list_objects_v2(Bucket=settings.bucket).get("Contents", ())
    return {
        one["Key"]: client.get_object(Bucket=settings.bucket, Key=one["Key"])["Body"].read()
        for one in listed
    }


def key(digest: str) -> str:
    return f"dicom/{digest[:2]}/{digest}"


def test_a_blob_is_in_the_object_store_when_it_is_kept(
    bucket: tuple[S3Settings, Any], tmp_path: Path
) -> None:
    remote = S3(bucket[0])
    stated = []

    def listen(request: Any, **_: object) -> None:
        stated.append(request.headers["x-amz-checksum-sha256"])

    remote._client.meta.events.register("before-send.s3.PutObject", listen)  # noqa: SLF001
    blobs = Tiered(tmp_path, remote, spool=False)
    digest = blobs.put(b"content")
    assert objects(bucket) == {key(digest): b"content"}
    assert stated == [base64.b64encode(hashlib.sha256(b"content").digest())]
    blobs.place(digest).unlink()
    assert (blobs.get(digest), blobs.place(digest).exists()) == (b"content", True)
    blobs.remove(digest)
    assert objects(bucket) == {}
    with pytest.raises(FileNotFoundError):
        blobs.get(digest)


def test_a_large_blob_goes_in_parts(
    bucket: tuple[S3Settings, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MULTIPART_BYTES", 1 << 20)
    monkeypatch.setattr(module, "PART_BYTES", 5 << 20)
    content = os.urandom(11 << 20)
    blobs = Tiered(tmp_path, S3(bucket[0]), spool=False)
    digest = blobs.put(content)
    [stored] = objects(bucket).values()
    assert hashlib.sha256(stored).hexdigest() == digest
    head = bucket[1].head_object(Bucket=bucket[0].bucket, Key=key(digest))
    assert head["ETag"].strip('"').endswith("-3")


def test_a_part_that_fails_leaves_no_upload(
    bucket: tuple[S3Settings, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MULTIPART_BYTES", 1)
    remote = S3(bucket[0])
    monkeypatch.setattr(remote, "_parts", lambda *_: (_ for _ in ()).throw(OSError("away")))
    blobs = Tiered(tmp_path, remote, spool=False)
    with pytest.raises(OSError, match="away"):
        blobs.put(b"content")
    listed = bucket[1].list_multipart_uploads(Bucket=bucket[0].bucket)
    assert (listed.get("Uploads", []), objects(bucket)) == ([], {})


def test_what_waits_in_the_spool_survives_and_is_brought(
    bucket: tuple[S3Settings, Any], tmp_path: Path
) -> None:
    digest = Tiered(tmp_path, S3(bucket[0]), spool=True).put(b"content")
    assert objects(bucket) == {}
    again = Tiered(tmp_path, S3(bucket[0]), spool=True)
    assert again.make_room(0) == 0
    assert again.upload_pending() == 1
    assert objects(bucket) == {key(digest): b"content"}
    assert again.upload_pending() == 0


def test_the_disk_holds_the_newest_files_that_fit(
    bucket: tuple[S3Settings, Any], tmp_path: Path
) -> None:
    blobs = Tiered(tmp_path, S3(bucket[0]), spool=False)
    digests = [blobs.put(bytes([n]) * 100) for n in range(4)]
    for n, digest in enumerate(digests):
        os.utime(blobs.place(digest), (n, n))
    assert blobs.make_room(250) == 2
    assert [blobs.place(digest).exists() for digest in digests] == [False, False, True, True]
    assert blobs.get(digests[0]) == bytes([0]) * 100


def test_what_is_not_what_was_stored_is_not_taken(
    bucket: tuple[S3Settings, Any], tmp_path: Path
) -> None:
    blobs = Tiered(tmp_path, S3(bucket[0]), spool=False)
    digest = blobs.put(b"content")
    blobs.place(digest).unlink()
    bucket[1].put_object(Bucket=bucket[0].bucket, Key=key(digest), Body=b"other")
    with pytest.raises(OSError, match="not what was stored"):
        blobs.get(digest)
    assert list(blobs.incoming.iterdir()) == []


def test_a_service_that_is_away_or_refuses_is_an_os_error(
    bucket: tuple[S3Settings, Any], tmp_path: Path
) -> None:
    nowhere = bucket[0].model_copy(update={"bucket": "there-is-none"})
    blobs = Tiered(tmp_path, S3(nowhere), spool=False)
    with pytest.raises(OSError, match="NoSuchBucket"):
        blobs.put(b"content")


def test_without_a_bucket_blobs_are_on_disk_alone(tmp_path: Path) -> None:
    assert type(archive_blobs(Blobs(tmp_path), DicomSettings())) is Blobs


def slices(count: int) -> list[Instance]:
    return list(instances(Study(1, count, size=16)))


def test_an_archive_stores_to_a_bucket_and_refuses_without_it(
    bucket: tuple[S3Settings, Any], start: Callable[..., Archive]
) -> None:
    settings, client = bucket
    archive = start(s3=settings)
    one, two = slices(2)
    assert archive.send(one) == [0]
    [content] = objects(bucket).values()
    assert one.data_set[-100:] not in content
    for path in archive.blobs.root.glob("??/??/*"):
        path.unlink()
    assert "1 files read, 0 damaged" in sangam(archive, "verify")
    [[digest]] = archive.rows("SELECT encode(blob, 'hex') FROM dicom_instance")
    assert archive.blobs.get(digest).endswith(one.data_set)
    client.delete_object(Bucket=settings.bucket, Key=next(iter(objects(bucket))))
    client.delete_bucket(Bucket=settings.bucket)
    assert archive.send(two) == [0xA700]
    client.create_bucket(Bucket=settings.bucket)
    assert archive.send(two) == [0]


def test_the_sweep_removes_what_nobody_needs_from_the_bucket(
    bucket: tuple[S3Settings, Any], start: Callable[..., Archive]
) -> None:
    archive = start(s3=bucket[0])
    [one] = slices(1)
    assert archive.send(one) == [0]
    [stored] = objects(bucket)
    own = Blobs(archive.blobs.root.parent, archive.blobs.keys)
    blobs = archive_blobs(own, DicomSettings(s3=bucket[0]))
    assert isinstance(blobs, Tiered)
    orphan, gone = blobs.put(b"left behind"), blobs.put(b"expunged")
    blobs.place(gone).unlink()
    blobs.drop(gone)
    blobs.drop(stored.rpartition("/")[2])
    assert orphan != gone
    before = time.time() - 60
    with psycopg.connect(archive.conninfo, autocommit=True) as connection:
        sweep(connection, blobs)
        assert len(objects(bucket)) == 3, "what came in the last hour stays"
        sweep(connection, blobs, age=-60)
    assert set(objects(bucket)) == {stored}
    assert blobs.dropped(time.time() + 60) == []
    blobs.put(b"expunged")
    blobs.settle(gone, before, needed=False)
    assert set(objects(bucket)) == {stored, key(gone)}


def test_content_that_arrives_while_its_blob_is_removed_stays_in_the_bucket(
    bucket: tuple[S3Settings, Any], tmp_path: Path
) -> None:
    blobs = Tiered(tmp_path, S3(bucket[0]), spool=False)
    digest = blobs.put(b"content")
    blobs.drop(digest)
    blobs.settle(digest, time.time() + 60, needed=False)
    assert objects(bucket) == {key(digest): b"content"}


class Turned(One):
    """A key that has taken the place of another, which still opens."""

    before: DataKey

    def of(self, id_: bytes) -> DataKey:
        return self.before if id_ == self.before.id else super().of(id_)


@pytest.mark.parametrize("spool", [False, True])
def test_what_the_bucket_alone_has_is_sealed_anew_there_too(
    bucket: tuple[S3Settings, Any], tmp_path: Path, *, spool: bool
) -> None:
    before, turned = One(), Turned()
    Turned.before = before.key
    digest = Tiered(tmp_path, S3(bucket[0]), spool=False, keys=before).put(b"content")
    blobs = Tiered(tmp_path, S3(bucket[0]), spool=spool, keys=turned)
    blobs.place(digest).unlink()
    assert renewed(blobs, digest)
    assert blobs.waiting() == spool
    blobs.upload_pending()
    assert not blobs.waiting()
    [stored] = objects(bucket).values()
    assert key_id(stored[:64]) == turned.key.id
    blobs.place(digest).unlink()
    assert blobs.get(digest) == b"content"
    assert not renewed(blobs, digest)


def test_a_damaged_object_is_not_taken(bucket: tuple[S3Settings, Any], tmp_path: Path) -> None:
    blobs = Tiered(tmp_path, S3(bucket[0]), spool=False, keys=One())
    digest, other = blobs.put(b"content"), blobs.put(b"other")
    stored = objects(bucket)[key(other)]
    bucket[1].put_object(Bucket=bucket[0].bucket, Key=key(digest), Body=stored)
    blobs.place(digest).unlink()
    with pytest.raises(OSError, match="not what was stored"):
        blobs.get(digest)
