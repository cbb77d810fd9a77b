"""Blobs in a bucket of S3, or of what speaks like it.

Each upload states its SHA-256, which the service compares before it answers. Credentials are
found as the library finds them: environment, files, the machine's role.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_UploadPart.html
"""

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from fhir_server.dicom_settings import S3Settings

MULTIPART_BYTES: Final = 64 << 20
PART_BYTES: Final = 16 << 20
_ALGORITHM: Final = "SHA256"
_MISSING = frozenset(("404", "NoSuchKey"))


class S3:
    """A bucket, with the blobs' names behind its prefix."""

    def __init__(self, settings: S3Settings) -> None:
        self._bucket = settings.bucket
        self._prefix = settings.prefix
        self._extra = {"ServerSideEncryption": settings.encryption} if settings.encryption else {}
        self._client: Any = boto3.client(
            "s3",
            endpoint_url=settings.endpoint or None,
            region_name=settings.region or None,
            config=Config(
                connect_timeout=10,
                read_timeout=60,
                retries={"max_attempts": 3, "mode": "standard"},
                s3={"addressing_style": "path" if settings.endpoint else "auto"},
            ),
        )

    def put(self, path: Path, digest: str) -> None:
        """Upload a file, in parts where it is large. Raises OSError."""
        with _as_os_error():
            if path.stat().st_size > MULTIPART_BYTES:
                self._put_parts(path, digest)
                return
            with path.open("rb") as file:
                checksum = hashlib.file_digest(file, _ALGORITHM).digest()
                file.seek(0)
                self._client.put_object(
                    Bucket=self._bucket,
                    Key=self._key(digest),
                    Body=file,
                    ChecksumSHA256=base64.b64encode(checksum).decode(),
                    **self._extra,
                )

    def fetch(self, digest: str, path: Path) -> None:
        """Download a blob to a new file. Raises OSError, FileNotFoundError among it."""
        with _as_os_error():
            found = self._client.get_object(Bucket=self._bucket, Key=self._key(digest))
            with path.open("xb") as file:
                file.writelines(found["Body"].iter_chunks(PART_BYTES))

    def remove(self, digest: str) -> None:
        """Remove a blob. Raises OSError."""
        with _as_os_error():
            self._client.delete_object(Bucket=self._bucket, Key=self._key(digest))

    def stored_at(self, digest: str) -> float | None:
        """Return when a blob was last stored (seconds since the epoch). Raises OSError."""
        try:
            with _as_os_error():
                found = self._client.head_object(Bucket=self._bucket, Key=self._key(digest))
        except FileNotFoundError:
            return None
        return float(found["LastModified"].timestamp())

    def _key(self, digest: str) -> str:
        return f"{self._prefix}{digest[:2]}/{digest}"

    def _put_parts(self, path: Path, digest: str) -> None:
        target = {"Bucket": self._bucket, "Key": self._key(digest)}
        begun = self._client.create_multipart_upload(
            **target, ChecksumAlgorithm=_ALGORITHM, **self._extra
        )
        target["UploadId"] = begun["UploadId"]
        try:
            parts = list(self._parts(path, target))
            self._client.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})
        except BaseException:
            self._client.abort_multipart_upload(**target)
            raise

    def _parts(self, path: Path, target: dict[str, str]) -> Iterator[dict[str, Any]]:
        with path.open("rb") as file:
            number = 0
            while piece := file.read(PART_BYTES):
                number += 1
                checksum = base64.b64encode(hashlib.sha256(piece).digest()).decode()
                answer = self._client.upload_part(
                    **target, PartNumber=number, Body=piece, ChecksumSHA256=checksum
                )
                yield {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Turn the library's errors into those of files, without what they quote."""
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        kind = FileNotFoundError if code in _MISSING else OSError
        raise kind(f"The object store said {code}") from None
    except BotoCoreError as error:
        raise OSError(f"The object store does not answer ({type(error).__name__})") from None
