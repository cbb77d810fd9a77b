"""Codings to validate, with the places where their parts stood in the request.

https://hl7.org/fhir/R4/datatypes.html#Coding
"""

from dataclasses import dataclass

from terminology.concepts import Json
from terminology.shapes import require
from terminology.versions import split


@dataclass(frozen=True, slots=True)
class Coding:
    """A code of a system; `path` is `Coding`, `CodeableConcept.coding[0]`, or empty."""

    system: str | None
    version: str | None
    code: str | None
    display: str | None = None
    path: str = ""

    def at(self, part: str) -> str:
        """The place of a part: `Coding.code`, or `code` for parameters."""
        return f"{self.path}.{part}" if self.path else part

    @property
    def whole(self) -> str:
        """The place of the coding itself; that of the code for parameters."""
        return self.path or "code"

    @property
    def name(self) -> str:
        """`system|version#code ('display')` for texts."""
        version = f"|{self.version}" if self.version else ""
        display = f" ('{self.display}')" if self.display else ""
        return f"{self.system or ''}{version}#{self.code or ''}{display}"


def read_coding(source: Json, path: str) -> Coding:
    """The coding of a Coding; a version in the system's url counts."""
    require("Coding", source)
    url, version = split(source.get("system", ""))
    return Coding(
        system=url or None,
        version=source.get("version") or version,
        code=source.get("code"),
        display=source.get("display"),
        path=path,
    )
