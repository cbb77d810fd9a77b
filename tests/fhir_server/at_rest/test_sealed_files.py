"""Sealed files: what is read is what was written, or nothing."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.at_rest import files, sealed
from fhir_server.at_rest.files import Handed, Moved, Scratch, opened, pread, viewed
from fhir_server.at_rest.keys import Damaged, DataKey, One
from fhir_server.blobs import Blobs

SEGMENT = 1 << sealed.SEGMENT_BITS
HEADER, TAG = sealed.HEADER.size, sealed.TAG
KEYS = One(DataKey(b"i" * 16, b"k" * 32))
CONTENT = os.urandom(3 * SEGMENT + 100)


def stored(blobs: Blobs, content: bytes, *cuts: int) -> str:
    arrival = blobs.arrive()
    for start, end in zip((0, *cuts), (*cuts, len(content)), strict=True):
        arrival.write(content[start:end])
    return arrival.keep().digest


edges = st.sampled_from([0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT, len(CONTENT)])
places = edges | st.integers(0, len(CONTENT))


@settings(max_examples=40)
@given(size=places, cut=places, spans=st.lists(st.tuples(places, places), max_size=4))
def test_ranges_are_those_of_the_content(
    tmp_path_factory: pytest.TempPathFactory, size: int, cut: int, spans: list[tuple[int, int]]
) -> None:
    blobs = Blobs(tmp_path_factory.getbasetemp() / "ranges", KEYS)
    content = CONTENT[:size]
    digest = stored(blobs, content, min(cut, size))
    with blobs.open(digest) as file:
        for start, end in spans:
            file.seek(start)
            assert file.read(max(0, end - start)) == content[start : max(start, end)]
            assert pread(file, start, end) == content[start:end]
        with viewed(file) as view:
            assert bytes(view) == content
        assert files.size(file) == size
        file.seek(0)
        assert file.read() == content


def test_nothing_of_the_content_is_on_disk(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, KEYS)
    marker = b"PLANTED^PATIENT"
    digest = blobs.put(marker * 10_000)
    assert [marker in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] == [
        False
    ]
    assert blobs.get(digest) == marker * 10_000


def test_equal_content_is_sealed_to_unequal_files(tmp_path: Path) -> None:
    one, two = Blobs(tmp_path / "one", KEYS), Blobs(tmp_path / "two", KEYS)
    raw = [blobs.place(blobs.put(b"same")).read_bytes()[HEADER:] for blobs in (one, two)]
    assert raw[0] != raw[1]


def flip(at: int) -> Callable[[bytes], bytes]:
    return lambda raw: raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


def swapped(raw: bytes) -> bytes:
    full = SEGMENT + TAG
    first, second = raw[HEADER : HEADER + full], raw[HEADER + full : HEADER + 2 * full]
    return raw[:HEADER] + second + first + raw[HEADER + 2 * full :]


@pytest.mark.parametrize(
    "change",
    [
        *(pytest.param(flip(at), id=f"bit of byte {at}") for at in (8, 9, 16, 40, HEADER)),
        pytest.param(flip(HEADER + 2 * SEGMENT), id="bit of a segment"),
        pytest.param(swapped, id="segments in another order"),
        pytest.param(lambda raw: raw[:-1], id="last byte cut"),
        pytest.param(lambda raw: raw[:-TAG], id="seal cut"),
        pytest.param(lambda raw: raw[: HEADER + SEGMENT + TAG], id="cut behind a segment"),
        pytest.param(lambda raw: raw[:HEADER], id="header alone"),
        pytest.param(lambda raw: raw[:20], id="half a header"),
        pytest.param(lambda raw: raw + b"x", id="lengthened"),
        pytest.param(lambda raw: raw[:HEADER] + raw[HEADER + SEGMENT + TAG :], id="segment out"),
        pytest.param(lambda _: CONTENT, id="the plain content"),
        pytest.param(lambda _: b"", id="empty"),
    ],
)
def test_a_changed_file_gives_nothing(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    blobs = Blobs(tmp_path, KEYS)
    digest = blobs.put(CONTENT)
    place = blobs.place(digest)
    place.write_bytes(change(place.read_bytes()))
    with pytest.raises(Damaged):
        blobs.get(digest)


def test_a_file_under_the_name_of_another_is_not_opened(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, KEYS)
    one, two = blobs.put(b"of one patient"), blobs.put(b"of another one")
    blobs.place(one).rename(blobs.place(two))
    with pytest.raises(Damaged):
        blobs.open(two)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(One(), id="of another id"),
        pytest.param(One(DataKey(b"i" * 16, b"l" * 32)), id="of the same id"),
        pytest.param(None, id="none"),
    ],
)
def test_the_key_of_another_tenant_opens_nothing(tmp_path: Path, other: One | None) -> None:
    digest = Blobs(tmp_path, KEYS).put(b"theirs")
    with pytest.raises(Damaged):
        Blobs(tmp_path, other).open(digest)


def test_a_key_that_was_handed_over_opens_that_file_alone_and_as_it_was(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, KEYS)
    one, two = (blobs.stored(blobs.put(content)) for content in (b"one", b"two"))
    with Handed(one.path, one.handed()).open() as file:
        assert file.read() == b"one"
    with pytest.raises(Moved):
        Handed(two.path, one.handed()).open()


def test_what_is_not_whole_or_of_another_name_is_not_handed_over(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, KEYS)
    one, two = (blobs.stored(blobs.put(content)) for content in (b"one", b"two"))
    two.path.write_bytes(one.path.read_bytes())
    one.path.write_bytes(b"one")
    for changed in (one, two):
        with pytest.raises(Damaged):
            changed.handed()


def test_a_file_that_was_sealed_after_it_was_handed_over_is_asked_for_again(tmp_path: Path) -> None:
    digest = Blobs(tmp_path).put(b"of before")
    before = Blobs(tmp_path).stored(digest)
    plain = Handed(before.path, before.handed())
    with plain.open() as file:
        assert file.read() == b"of before"
    before.path.unlink()
    Blobs(tmp_path, KEYS).put(b"of before")
    with pytest.raises(Moved):
        plain.open()


def test_content_that_looks_sealed_is_kept_as_it_came(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path, KEYS)
    content = sealed.MAGIC + b"and more"
    assert blobs.get(blobs.put(content)) == content


def test_scratch_leaves_nothing_readable_and_gives_back_what_it_took(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    scratch.write(CONTENT)
    assert list(tmp_path.iterdir()) == []
    with scratch.reading() as file:
        assert file.read() == CONTENT


def test_a_plain_file_is_read_while_those_are_believed(tmp_path: Path) -> None:
    class Lenient(One):
        def plain(self) -> bool:
            return True

    digest = Blobs(tmp_path).put(b"of before")
    with opened(Blobs(tmp_path).place(digest), digest, Lenient(KEYS.key)) as file:
        assert file.read() == b"of before"
    assert hashlib.sha256(b"of before").hexdigest() == digest


@pytest.mark.parametrize("keys", [KEYS, None], ids=["sealed", "plain"])
def test_a_link_or_a_pipe_in_the_place_of_a_file_is_not_opened(
    tmp_path: Path, keys: One | None
) -> None:
    blobs = Blobs(tmp_path / "blobs", keys)
    place = blobs.path(stored(blobs, CONTENT))
    moved = place.rename(tmp_path / "moved")
    place.symlink_to(moved)
    with pytest.raises(Damaged):
        blobs.open(place.name)
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(Damaged):
        blobs.open(place.name)
    place.unlink()
    with pytest.raises(FileNotFoundError):
        blobs.open(place.name)
