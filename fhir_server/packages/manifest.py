"""What a package says of itself: `package.json`.

https://confluence.hl7.org/display/FHIR/NPM+Package+Specification
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from fhir_server.errors import BadRequest, Unprocessable
from fhir_server.packages import version

NAME = "package.json"
FHIR = re.compile(r"4\.0(\.\d+)?(-.*)?")
_NAME = re.compile(r"(@[a-z0-9~-][a-z0-9._~-]*/)?[A-Za-z0-9~-][A-Za-z0-9._~-]{0,213}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """A package's name, version and what it needs.

    `fhir` are the versions of FHIR that it is made for; `dependencies` the ranges of
    versions by name. Its `label` is how people write it: `name#version`.
    """

    name: str
    version: str
    canonical: str = ""
    fhir: tuple[str, ...] = ()
    dependencies: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Return `name#version`."""
        return f"{self.name}#{self.version}"


class _Said(msgspec.Struct):
    name: str
    version: str
    canonical: str | None = None
    fhirVersions: tuple[str, ...] | None = None  # noqa: N815  (as the standard names it)
    older: tuple[str, ...] | None = msgspec.field(default=None, name="fhir-version-list")
    dependencies: dict[str, str] | None = None


def manifest(data: bytes) -> Manifest:
    """Return what the file says; BadRequest when it cannot be read."""
    try:
        said = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"), type=_Said)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest(f"{NAME} cannot be read") from None
    if not _NAME.fullmatch(said.name):
        raise BadRequest(f"{NAME} has no name that a package may have")
    if not version.is_version(said.version):
        raise BadRequest(f"{NAME} has no version that a package may have")
    fhir = said.fhirVersions or said.older or ()
    return Manifest(
        said.name, said.version, said.canonical or "", fhir, dict(said.dependencies or {})
    )


def require_fhir(found: Manifest) -> None:
    """Unprocessable unless the package says that it is made for FHIR R4."""
    if not any(FHIR.fullmatch(one) for one in found.fhir):
        said = ", ".join(found.fhir) or "no version of FHIR"
        raise Unprocessable(f"{found.label} is made for {said}, and this server is for 4.0.1")
