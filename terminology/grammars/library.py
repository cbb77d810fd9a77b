"""The code systems that need no content, as a library.

https://hl7.org/fhir/R4/terminologies-systems.html
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property

from terminology.code_system import CodeSystem
from terminology.concept_map import ConceptMap
from terminology.grammars.languages import LANGUAGES
from terminology.grammars.mime import MEDIA_TYPES
from terminology.grammars.units import ucum
from terminology.grammars.uris import URIS
from terminology.ucum.unit import SYSTEM
from terminology.value_set import ValueSet

_READY = {one.head.url: one for one in (LANGUAGES, MEDIA_TYPES, URIS)}


class Grammars:
    """Units of measure, language tags, media types, URIs; their value sets are implicit."""

    def __init__(self, units: Callable[[], Collection[str]]) -> None:
        """`units` gives the common units, which are listed where all of them are asked for."""
        self._common_units = units

    async def code_systems(self, url: str) -> Sequence[CodeSystem]:
        """The code system of a url."""
        if url == SYSTEM:
            return [self._ucum]
        return [_READY[url]] if url in _READY else []

    @cached_property
    def _ucum(self) -> CodeSystem:
        """UCUM, made when it is first asked for: its tables take 20 ms to read."""
        return ucum(self._common_units)

    async def value_sets(self, url: str) -> Sequence[ValueSet]:  # noqa: ARG002 (Library)
        """None: implicit.py has them."""
        return ()

    async def concept_maps(self, url: str | None, system: str | None) -> Sequence[ConceptMap]:  # noqa: ARG002 (Library)
        """None."""
        return ()

    async def systems(self) -> Mapping[str, Sequence[str]]:
        """All of them."""
        version = self._ucum.head.version
        return {SYSTEM: (version,) if version else (), **dict.fromkeys(_READY, ())}
