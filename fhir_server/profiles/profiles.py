"""Profiles by canonical, compiled when first asked for and kept by their content.

https://hl7.org/fhir/R4/references.html#canonical
"""

import hashlib
from typing import Final, NamedTuple

import msgspec

from fhir_server.errors import Unprocessable
from fhir_server.fhirpath.model import Model, model
from fhir_server.profiles.compile import Profile, compiled
from fhir_server.profiles.core import Core, Sources
from fhir_server.profiles.seams import Json, ProfileSource
from fhir_server.profiles.snapshot import snapshot
from fhir_server.r4.definitions import Definitions
from terminology.recent import Recent

MAX_KEPT: Final = 50_000
"""Elements of all profiles that are kept; with their definitions some 2 KB each."""


class Profiles:
    """Compiled profiles of a source and of R4 itself; lives as long as the server.

    A profile is made anew when the source answers with another content. Safe to
    share between requests and threads.
    """

    __slots__ = ("_by_content", "_by_object", "definitions", "model", "source")

    def __init__(self, definitions: Definitions, source: ProfileSource | None = None) -> None:
        self.definitions = definitions
        self.model: Model = model(definitions)
        self.source: ProfileSource = Sources(source, Core()) if source else Core()
        self._by_object: Recent[int, _Kept] = Recent(MAX_KEPT)
        self._by_content: Recent[bytes, Profile] = Recent(MAX_KEPT)

    def seen_through(self, source: ProfileSource) -> "Profiles":
        """Return the same compiled profiles, with another source in front of R4's own."""
        found = Profiles(self.definitions, source)
        found._by_object, found._by_content = self._by_object, self._by_content
        return found

    def definition(self, canonical: str) -> Json | None:
        """Return the StructureDefinition of this canonical."""
        return self.source.definition(canonical)

    def get(self, canonical: str) -> Profile | None:
        """Return the profile of this canonical; None where none is known, or it has no meaning."""
        found = self.definition(canonical)
        return self.of(found) if found is not None else None

    def of(self, definition: Json) -> Profile | None:
        """Return a StructureDefinition compiled; None where no snapshot can be made of it."""
        known = self._by_object.get(id(definition))
        if known is not None and self._holds(known):
            return known.profile
        used: dict[str, Json | None] = {}
        try:
            profile = self._compiled(definition, used)
        except Unprocessable:
            profile = None
        kept = _Kept(definition, profile, tuple(used.items()))
        self._by_object.put(id(definition), kept, _size(profile) if profile else 1)
        return profile

    def _holds(self, kept: "_Kept") -> bool:
        """Return whether what a snapshot was made of is still what its canonicals name."""
        return all(self.definition(canonical) is found for canonical, found in kept.used)

    def _compiled(self, definition: Json, used: dict[str, Json | None]) -> Profile:
        def find(canonical: str) -> Json | None:
            return used.setdefault(canonical, self.definition(canonical))

        if not definition.get("snapshot"):
            return compiled(definition, snapshot(definition, find))
        key = _digest(definition)
        profile = self._by_content.get(key)
        if profile is None:
            profile = compiled(definition, snapshot(definition, find))
            self._by_content.put(key, profile, _size(profile))
        return profile


class _Kept(NamedTuple):
    """A compiled definition, which stays alive so that its identity stays its own."""

    definition: Json
    profile: Profile | None
    used: tuple[tuple[str, Json | None], ...]


def _size(profile: Profile) -> int:
    """Return the number of parts."""
    count, ahead = 0, [profile.root]
    while ahead:
        part = ahead.pop()
        count += 1
        ahead += (*part.children, *part.slices)
    return count


def _digest(definition: Json) -> bytes:
    return hashlib.blake2b(msgspec.msgpack.encode(definition), digest_size=16).digest()
