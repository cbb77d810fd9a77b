"""Packages made for a test: good ones, and archives that no packer would make."""

import gzip
import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

Json = dict[str, Any]
MANIFEST: Json = {
    "name": "a.guide",
    "version": "1.0.0",
    "canonical": "http://a.example/fhir",
    "fhirVersions": ["4.0.1"],
    "dependencies": {"hl7.fhir.r4.core": "4.0.1"},
}


def system(id_: str, url: str = "", version: str = "1", **others: Any) -> Json:
    """A small code system; without a url of its own the one of its id."""
    return {
        "resourceType": "CodeSystem",
        "id": id_,
        "url": url or f"http://a.example/fhir/CodeSystem/{id_}",
        "version": version,
        "status": "active",
        "content": "complete",
        "concept": [{"code": "a"}, {"code": "b"}],
        **others,
    }


def files(*resources: Json, manifest: Json | None = None, **others: bytes) -> dict[str, bytes]:
    """The files of a package below `package/`: resources named as guides name them."""
    told = {**MANIFEST, **(manifest or {})}
    named = {f"{one['resourceType']}-{one.get('id', 'x')}.json": one for one in resources}
    return {
        "package.json": msgspec.json.encode(told),
        **{name: msgspec.json.encode(one) for name, one in named.items()},
        **others,
    }


def members(content: Mapping[str, bytes]) -> list[tuple[str | tarfile.TarInfo, bytes]]:
    """The same as members of an archive."""
    return [(f"package/{name}", data) for name, data in content.items()]


def tar(
    some: Iterable[tuple[str | tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT
) -> bytes:
    """A tar archive of names, or whole headers, and contents."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for named, data in some:
            member = tarfile.TarInfo(named) if isinstance(named, str) else named
            if member.isreg():
                member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def tgz(
    some: Iterable[tuple[str | tarfile.TarInfo, bytes]], form: int = tarfile.PAX_FORMAT
) -> bytes:
    """The archive gzipped, the same bytes each time."""
    return gzip.compress(tar(some, form), mtime=0)


def packed(place: Path, content: Mapping[str, bytes]) -> Path:
    """The package as a file of this path."""
    place.write_bytes(tgz(members(content)))
    return place


def unpacked(place: Path, content: Mapping[str, bytes]) -> Path:
    """The package as a directory of this path."""
    for name, data in content.items():
        file = place / "package" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return place
