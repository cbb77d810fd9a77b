"""Blobs by content."""

from pathlib import Path

import pytest

from fhir_server.blobs import Blobs


def test_equal_content_is_stored_once(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    digest = blobs.put(b"abc")
    before = blobs.path(digest).stat().st_mtime_ns
    assert blobs.put(b"abc") == digest
    assert blobs.path(digest).stat().st_mtime_ns == before
    assert blobs.get(digest) == b"abc"
    assert list(blobs.incoming.iterdir()) == []


def test_a_blob_that_is_not_stored_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Blobs(tmp_path).get("0" * 64)
