"""Blobs by content."""

import os
from pathlib import Path

import pytest

from fhir_server.blobs import Blob, Blobs


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


def test_a_blob_that_arrives_in_pieces_lies_where_a_whole_one_would(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    arrival = blobs.arrive()
    for piece in (b"ab", b"", b"c"):
        arrival.write(piece)
    kept = arrival.keep()
    arrival.drop()
    assert kept == Blob(blobs.put(b"abc"), 3)
    assert blobs.get(kept.digest) == b"abc"
    assert list(blobs.incoming.iterdir()) == []


def test_a_dropped_arrival_leaves_nothing(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    arrival = blobs.arrive()
    arrival.write(b"abc")
    arrival.drop()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_only_old_partial_arrivals_are_forgotten(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    old, young = blobs.incoming / "old", blobs.incoming / "young"
    old.write_bytes(b"x")
    young.write_bytes(b"x")
    os.utime(old, (0, 0))
    digest = blobs.put(b"kept")
    os.utime(blobs.path(digest), (0, 0))
    assert blobs.forget_partial() == 1
    assert list(blobs.incoming.iterdir()) == [young]
    assert blobs.get(digest) == b"kept"
