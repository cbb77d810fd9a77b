"""What is read of an archive or a directory, and what is refused before it is."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from flows import packing

from fhir_server.config import PackageSettings
from fhir_server.errors import BadRequest, SangamError, TooLarge
from fhir_server.packages.source import Unpacking, archived, in_directory

LIMITS = PackageSettings()
FILES = {"package.json": b"{}", "a.json": b"1" * 700, "example/b.json": b""}


def read(packed: bytes, limits: PackageSettings = LIMITS) -> dict[str, bytes]:
    return dict(archived(Unpacking(io.BytesIO(packed), limits, lambda _: None), limits))


def member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, link
    return made


def numbered(count: int) -> bytes:
    return packing.tgz((f"package/{n}.json", b"{}") for n in range(count))


@pytest.mark.parametrize(
    ("form", "length"),
    [
        (form, length)
        for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
        for length in (10, 90, 95, 120, 300)
        if form != tarfile.USTAR_FORMAT or length < 200
    ],
)
def test_each_format_of_tar_is_read_with_names_of_any_length(form: int, length: int) -> None:
    name = f"example/{'a' * (length // 2)}/{'b' * (length // 2)}.json"
    content = {**FILES, name: b"{}"}
    assert read(packing.tgz(packing.members(content), form)) == content


def test_directories_and_a_leading_dot_are_passed_over() -> None:
    some = [(member("package", tarfile.DIRTYPE), b""), ("./package/a.json", b"1")]
    assert read(packing.tgz(some)) == {"a.json": b"1"}


def test_several_gzip_streams_and_zeros_behind_them_are_one_archive() -> None:
    whole = packing.tar(packing.members(FILES))
    halves = gzip.compress(whole[:600]) + gzip.compress(whole[600:]) + b"\0" * 512
    assert read(halves) == FILES


def test_the_digest_is_of_the_archive_as_it_lies() -> None:
    packed = packing.tgz(packing.members(FILES))
    unpacking = Unpacking(io.BytesIO(packed), LIMITS, lambda _: None)
    list(archived(unpacking, LIMITS))
    assert unpacking.sha256 == sha256(packed).hexdigest()


LEADING_OUT = [
    "/etc/passwd",
    "/package/a.json",
    "package/../../a.json",
    "package/..",
    "../package/a.json",
    "package//a.json",
    "package/./a.json",
    "package\\a.json",
    "package/..\\..\\a.json",
    "C:/package/a.json",
    "package/a\nb.json",
    "other/a.json",
    "a.json",
    "packages/a.json",
    f"package/{'a' * 600}",
]


@pytest.mark.parametrize("name", LEADING_OUT)
def test_a_name_that_leads_out_is_refused(name: str) -> None:
    with pytest.raises(BadRequest, match=r"name|not under"):
        read(packing.tgz([(name, b"{}")]))


def test_a_null_in_a_name_hides_nothing() -> None:
    named = _extended(b"24 path=package/a\x00/../b\n") + packing.tar([("package/a.json", b"")])
    with pytest.raises(BadRequest, match="leads out"):
        read(gzip.compress(named))


def _extended(body: bytes, kind: bytes = b"x") -> bytes:
    made = tarfile.TarInfo("x")
    made.size, made.type = len(body), kind
    return made.tobuf(tarfile.USTAR_FORMAT) + body + b"\0" * (-len(body) % 512)


KINDS = {
    "hard link": member("package/a.json", tarfile.LNKTYPE, "package/package.json"),
    "symbolic link": member("package/a.json", tarfile.SYMTYPE, "/etc/passwd"),
    "link to a directory": member("package/example", tarfile.SYMTYPE, ".."),
    "character device": member("package/a.json", tarfile.CHRTYPE),
    "block device": member("package/a.json", tarfile.BLKTYPE),
    "pipe": member("package/a.json", tarfile.FIFOTYPE),
    "unknown": member("package/a.json", b"Z"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_refused(kind: str) -> None:
    with pytest.raises(BadRequest, match="The archive has a"):
        read(packing.tgz([("package/package.json", b"{}"), (KINDS[kind], b"")]))


def test_a_name_that_comes_twice_is_refused() -> None:
    twice = [("package/a.json", b"1"), ("./package/a.json", b"2")]
    with pytest.raises(BadRequest, match="one name"):
        read(packing.tgz(twice))


DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "no gzip": lambda _: b"PK\x03\x04 a zip archive",
    "empty": lambda _: b"",
    "cut off": lambda whole: gzip.compress(whole)[:-40],
    "cut off behind the checksum": lambda whole: gzip.compress(whole)[:-1],
    "wrong checksum": lambda whole: gzip.compress(whole)[:-8] + b"\0" * 8,
    "tar cut off": lambda whole: gzip.compress(whole[:1500]),
    "half a header": lambda whole: gzip.compress(whole[:100]),
    "header damaged": lambda whole: gzip.compress(b"q" + whole[1:]),
    "no tar": lambda _: gzip.compress(b'{"resourceType":"Patient"}' * 50),
    "number unreadable": lambda whole: gzip.compress(whole[:124] + b"\x80" * 12 + whole[136:]),
    "pax without length": lambda whole: gzip.compress(_extended(b"path=package/a\n") + whole),
    "pax too short": lambda whole: gzip.compress(_extended(b"99 path=package/a\n") + whole),
    "pax negative size": lambda whole: gzip.compress(_extended(b"11 size=-1\n") + whole),
    "pax for all": lambda whole: gzip.compress(_extended(b"18 path=package/a\n", b"g") + whole),
    "sparse": lambda whole: gzip.compress(_extended(b"22 GNU.sparse.major=1\n") + whole),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_archive_is_refused(name: str) -> None:
    whole = packing.tar(packing.members(FILES))
    with pytest.raises(BadRequest):
        read(DAMAGED[name](whole))


BOMBS: dict[str, tuple[bytes, PackageSettings]] = {
    "archive": (numbered(3), PackageSettings(archive_bytes=100)),
    "unpacked": (numbered(30), PackageSettings(unpacked_bytes=2_000)),
    "ratio": (packing.tgz([("package/a", bytes(40 << 20))]), PackageSettings(ratio=20)),
    "files": (numbered(11), PackageSettings(files=10)),
    "file": (packing.tgz([("package/a", bytes(2_000))]), PackageSettings(file_bytes=1_999)),
    "long header": (gzip.compress(_extended(b"9" * (65 << 10))), LIMITS),
    "long name": (gzip.compress(_extended(b"a" * (65 << 10), b"L")), LIMITS),
    "zeros behind": (
        gzip.compress(packing.tar([]) + bytes(4_000)),
        PackageSettings(unpacked_bytes=12_000),
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_at_its_limit(name: str) -> None:
    packed, limits = BOMBS[name]
    with pytest.raises(TooLarge):
        read(packed, limits)


def test_what_is_just_within_the_limits_is_read() -> None:
    packed = packing.tgz([("package/a", bytes(2_000)), ("package/b", b"")])
    limits = PackageSettings(
        archive_bytes=len(packed), unpacked_bytes=10_240, files=2, file_bytes=2_000, ratio=1
    )
    assert read(packed, limits) == {"a": bytes(2_000), "b": b""}


def test_a_directory_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    root = packing.unpacked(tmp_path, FILES) / "package"
    found = list(in_directory(root, LIMITS, lambda _: None))
    assert dict(found) == FILES
    assert [name for name, _ in found] == sorted(FILES)


@pytest.mark.parametrize("make", [os.symlink, lambda _, path: os.mkfifo(path)])
def test_links_and_pipes_in_a_directory_are_refused(
    make: Callable[[str, Path], None], tmp_path: Path
) -> None:
    root = packing.unpacked(tmp_path, FILES) / "package"
    make("/etc/passwd", root / "link.json")
    with pytest.raises(BadRequest, match="link or a device"):
        list(in_directory(root, LIMITS, lambda _: None))


@pytest.mark.parametrize("limit", [{"files": 2}, {"file_bytes": 699}, {"unpacked_bytes": 701}])
def test_a_directory_is_held_to_the_limits(limit: dict[str, int], tmp_path: Path) -> None:
    root = packing.unpacked(tmp_path, FILES) / "package"
    with pytest.raises(SangamError):
        list(in_directory(root, PackageSettings(**limit), lambda _: None))
