"""A package as it was read: its manifest, and the resources that it has.

https://confluence.hl7.org/display/FHIR/NPM+Package+Specification
"""

import hashlib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fhir_server.config import PackageSettings
from fhir_server.errors import BadRequest, SangamError
from fhir_server.packages import source
from fhir_server.packages.manifest import NAME, Manifest, manifest
from fhir_server.packages.source import ROOT, Advance, File, Unpacking
from fhir_server.store.text import content

EXAMPLES = "example/"
_JSON = ".json"
_MARK = b"\xef\xbb\xbf"

# What others are read with comes first: codes before the sets of them, types before what is
# searched in them.
_RANKS = {
    name: rank
    for rank, name in enumerate(
        ("CodeSystem", "ValueSet", "ConceptMap", "StructureDefinition", "SearchParameter")
    )
}


@dataclass(frozen=True, slots=True)
class Item:
    """A resource of a package, its text compressed; `path` is below `package/`.

    `digest` is equal for equal content, as the store takes it.
    """

    path: str
    type: str
    id: str | None
    url: str | None
    version: str | None
    digest: bytes
    packed: bytes

    @property
    def canonical(self) -> str | None:
        """Return `url|version`, or the url alone; None for what has no url."""
        return f"{self.url}|{self.version}" if self.url and self.version else self.url

    @property
    def example(self) -> bool:
        """Whether it is among the examples, which are installed on request."""
        return self.path.startswith(EXAMPLES)

    @property
    def rank(self) -> tuple[int, bool, str]:
        """Return what the order of installation goes by."""
        return _RANKS.get(self.type, len(_RANKS)), self.example, self.path

    def raw(self) -> bytes:
        """Return the JSON text."""
        return zlib.decompress(self.packed)


@dataclass(frozen=True, slots=True)
class Package:
    """A package; `sha256` is of its archive, None for a directory.

    `content` is the digest of names and content of all files, however they are packed.
    """

    manifest: Manifest
    items: tuple[Item, ...]
    sha256: str | None
    content: str

    @property
    def label(self) -> str:
        """Return `name#version`."""
        return self.manifest.label


class _Head(msgspec.Struct):
    resourceType: str | None = None  # noqa: N815  (as the standard names it)
    id: str | None = None
    url: str | None = None
    version: str | None = None


def read(path: Path, limits: PackageSettings, advance: Advance = lambda _: None) -> Package:
    """Return the package in a .tgz file or a directory.

    `advance` is told each number of bytes read. BadRequest or TooLarge for what is no
    package, with the file's name.
    """
    with _refusals(path):
        if path.is_dir():
            return _package(source.in_directory(_root(path), limits, advance), None)
        with path.open("rb") as packed:
            unpacking = Unpacking(packed, limits, advance)
            return _package(source.archived(unpacking, limits), unpacking)


def said(path: Path, limits: PackageSettings) -> Manifest:
    """Return what a package says of itself, reading no further; BadRequest when it says nothing."""
    with _refusals(path):
        if path.is_dir():
            return manifest((_root(path) / NAME).read_bytes())
        with path.open("rb") as packed:
            for name, data in source.archived(Unpacking(packed, limits, lambda _: None), limits):
                if name == NAME:
                    return manifest(data)
        raise BadRequest(f"There is no {ROOT}{NAME}")


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """Let refusals say which package they are about."""
    try:
        yield
    except OSError as error:
        raise BadRequest(f"{path.name} cannot be read ({error.strerror})") from error
    except SangamError as error:
        raise type(error)(f"{path.name}: {error.text}") from error


def _root(path: Path) -> Path:
    """Return the directory that holds `package.json`: this one, or `package` in it."""
    inside = path / ROOT
    root = inside if inside.is_dir() and not (path / NAME).exists() else path
    if inside.is_symlink() or not (root / NAME).is_file():
        raise BadRequest(f"There is no {ROOT}{NAME}")
    return root


def _package(files: Iterator[File], unpacking: Unpacking | None) -> Package:
    told: Manifest | None = None
    items: list[Item] = []
    digests: list[str] = []
    for path, data in files:
        digests.append(f"{hashlib.sha256(data).hexdigest()}  {path}\n")
        if path == NAME:
            told = manifest(data)
        elif _is_content(path):
            items += _item(path, data.removeprefix(_MARK))
    if told is None:
        raise BadRequest(f"There is no {ROOT}{NAME}")
    listing = "".join(sorted(digests))
    items.sort(key=lambda one: one.rank)
    return Package(
        told,
        tuple(items),
        unpacking.sha256 if unpacking else None,
        hashlib.sha256(listing.encode()).hexdigest(),
    )


def _is_content(path: str) -> bool:
    name = path.removeprefix(EXAMPLES)
    return name.endswith(_JSON) and "/" not in name and not name.startswith(".") and name != NAME


def _item(path: str, data: bytes) -> list[Item]:
    """Return the resource in a file, none for JSON that is no resource."""
    try:
        head = msgspec.json.decode(data, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest(f"{path} is no resource in JSON") from None
    if head.resourceType is None:
        return []
    told = (head.resourceType, head.id, head.url, head.version)
    return [Item(path, *told, _digest(data), zlib.compress(data, 1))]


def _digest(data: bytes) -> bytes:
    try:
        return content(data).digest()
    except SangamError:  # it is not valid, as will be told when it is judged
        return hashlib.blake2b(data, digest_size=16).digest()
