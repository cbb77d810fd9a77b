import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from spooled import csv, read

from terminology.loaders import fhir_package, sources
from terminology.loaders.recognise import releases
from terminology.loaders.release import Options, Resources
from terminology.loaders.report import LoadRefused
from terminology.loaders.sources import source_files

TERMS = "\r\n".join(
    [
        csv("LOINC_NUM", "COMPONENT", "CLASS", "STATUS", "LONG_COMMON_NAME"),
        csv("1-8", "Glucose", "CHEM", "ACTIVE", "Glucose"),
    ]
).encode()


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


@pytest.mark.parametrize("kind", ["file", "folder", "zip", "gz"])
def test_files_are_read_wherever_they_lie(tmp_path: Path, kind: str) -> None:
    (tmp_path / "deep").mkdir()
    path = tmp_path / "deep" / "x.csv"
    path.write_bytes(TERMS)
    given = {
        "file": lambda: path,
        "folder": lambda: tmp_path,
        "zip": lambda: archive(tmp_path / "x.zip", **{"a/x.csv": TERMS}),
        "gz": lambda: _gzip(tmp_path / "x.csv.gz"),
    }[kind]()
    assert set(read(given, version="1").concepts) == {"1-8"}


def _gzip(path: Path) -> Path:
    path.write_bytes(gzip.compress(TERMS))
    return path


def test_an_archive_packed_too_well_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "SMALL", 1000)
    path = archive(tmp_path / "bomb.zip", x=b"\0" * 1_000_000)
    with pytest.raises(LoadRefused, match="packed more than 300 times"):
        source_files([path])


def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_UNPACKED", 100)
    with pytest.raises(LoadRefused, match="unpacks to more"):
        source_files([archive(tmp_path / "x.zip", x=b"x" * 101)])
    (packed,) = source_files([_gzip(tmp_path / "x.csv.gz")])
    with pytest.raises(LoadRefused, match="unpacks to more"), packed.open() as file:
        file.read()


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"PK nothing")
    with pytest.raises(LoadRefused, match="not a zip archive"):
        source_files([path])


def test_a_line_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.csv").write_bytes(TERMS + b"\n" + b"x" * (3 << 20))
    with pytest.raises(LoadRefused, match="a line of more than"):
        read(tmp_path, version="1")


def test_what_is_no_terminology_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("name,age\nx,1\n")
    (tmp_path / "y.bin").write_bytes(bytes(range(256)))
    with pytest.raises(LoadRefused, match="none of these files"):
        releases([tmp_path], Options())


def package(path: Path, **members: object) -> Path:
    with tarfile.open(path, "w:gz") as made:
        for name, content in members.items():
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            made.addfile(info, io.BytesIO(raw))
        link = tarfile.TarInfo("package/link.json")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(link)
    return path


def test_a_package_gives_its_terminology_resources(tmp_path: Path) -> None:
    members = {
        "package/package.json": {"name": "x"},
        "package/CodeSystem-a.json": {"resourceType": "CodeSystem", "url": "http://a"},
        "package/Patient-b.json": {"resourceType": "Patient"},
        "package/example/ValueSet-c.json": {"resourceType": "ValueSet", "url": "http://c"},
        "../evil/ValueSet-d.json": {"resourceType": "ValueSet", "url": "http://d"},
        "package/ValueSet-e.json": {"resourceType": "ValueSet"},
        "package/ValueSet-f.json": b"{",
    }
    (found,) = releases([package(tmp_path / "x.tgz", **members)], Options())
    assert isinstance(found, Resources)
    assert [one["url"] for one in found.resources] == ["http://a"]
    assert [one.reason for one in found.report.problems] == ["has no url", "is not JSON"]


def test_a_header_of_a_package_that_claims_much_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fhir_package, "MAX_MEMBER", 1 << 20)
    claims = tarfile.TarInfo("x")
    claims.type, claims.size = tarfile.XHDTYPE, 2 << 20
    path = tmp_path / "x.tgz"
    path.write_bytes(gzip.compress(claims.tobuf() + bytes(2 << 20)))
    (found,) = releases([path], Options())
    assert isinstance(found, Resources)
    with pytest.raises(LoadRefused, match="a header larger than"):
        list(found.resources)


def test_a_damaged_package_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tgz"
    path.write_bytes(gzip.compress(b"nothing"))
    (found,) = releases([path], Options())
    assert isinstance(found, Resources)
    with pytest.raises(LoadRefused, match="no package, or damaged"):
        list(found.resources)
