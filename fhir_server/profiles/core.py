"""The StructureDefinitions of R4 itself: types, profiles and extensions.

https://hl7.org/fhir/R4/profilelist.html
"""

import zlib
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Final

import msgspec

from fhir_server.profiles.seams import Json, ProfileSource
from fhir_server.r4.artefact import section

PREFIX: Final = "http://hl7.org/fhir/StructureDefinition/"
VERSION: Final = "4.0.1"


@cache
def _packed() -> Mapping[str, Any]:
    found: dict[str, Any] = section("structures")
    return found


@lru_cache(maxsize=700)
def _definition(url: str) -> Json | None:
    packed = _packed()
    content = packed["known"].get(url)
    if content is None:
        return None
    text = zlib.decompressobj(-15, packed["common"]).decompress(content)
    found: Json = msgspec.msgpack.decode(text)
    return found


class Core:
    """The definitions that come with R4; each is unpacked when it is first asked for."""

    def definition(self, canonical: str) -> Json | None:
        """Return the StructureDefinition of this URL, with `|version` only R4's own."""
        url, _, version = canonical.partition("|")
        if version not in {"", VERSION, "4.0"}:
            return None
        return _definition(url)


class Sources:
    """Several sources as one; the first that knows a definition answers."""

    __slots__ = ("_sources",)

    def __init__(self, *sources: ProfileSource) -> None:
        self._sources = sources

    def definition(self, canonical: str) -> Json | None:
        """Return the StructureDefinition of this canonical, None where none knows it."""
        for source in self._sources:
            found = source.definition(canonical)
            if found is not None:
                return found
        return None
