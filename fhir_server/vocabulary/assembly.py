"""The library of a server, put together of its layers.

What is stored hides what is loaded, and that what is built in, where url and version are
the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from fhir_server.database import Database
from fhir_server.search.registry import Registry
from fhir_server.vocabulary.artefact import Artefact
from fhir_server.vocabulary.builtin import Builtin
from fhir_server.vocabulary.index import Index
from fhir_server.vocabulary.reading import Readings
from fhir_server.vocabulary.stored import Stored
from terminology.code_system import CodeSystem
from terminology.concept_map import ConceptMap
from terminology.ecl.constraint import Constraints
from terminology.grammars.library import Grammars
from terminology.library import Layers, Library
from terminology.postgres.library import PostgresLibrary
from terminology.value_set import ValueSet

COMMON_UNITS = "http://hl7.org/fhir/ValueSet/ucum-common"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What is stored, then the rest."""

    stored: Stored
    rest: Library

    async def present(self) -> Library:
        """Return the library of the present state, for a call that asks many questions."""
        return Layers(await self.stored.present(), self.rest)

    async def code_systems(self, url: str) -> Sequence[CodeSystem]:
        """Code systems of a url."""
        return await (await self.present()).code_systems(url)

    async def value_sets(self, url: str) -> Sequence[ValueSet]:
        """Value sets of a url, implicit ones too."""
        return await (await self.present()).value_sets(url)

    async def concept_maps(self, url: str | None, system: str | None) -> Sequence[ConceptMap]:
        """Concept maps of a url, or of a system."""
        return await (await self.present()).concept_maps(url, system)

    async def systems(self) -> Mapping[str, Sequence[str]]:
        """The code systems with content."""
        return await (await self.present()).systems()


def vocabulary(database: Database, registry: Registry, most: int) -> Vocabulary:
    """Return the library over one tenant's database.

    `most` bounds what each layer keeps in memory, in bytes of the JSON it was read from.
    """
    loaded = PostgresLibrary(database, constraint=Constraints(database))
    rest = Layers(loaded, built_in(most))
    return Vocabulary(Stored(Index(database, registry), Readings(most), rest), rest)


@cache
def built_in(most: int) -> Library:
    """Return what comes with the server: the same for all tenants, so one for the process."""
    artefact = Artefact()
    return Layers(Grammars(lambda: _units(artefact)), Builtin(artefact, Readings(most)))


def _units(artefact: Artefact) -> Sequence[str]:
    """Return the units that R4 calls common."""
    (entry,) = (one for one in artefact.index.entries if one.url == COMMON_UNITS)
    (include,) = artefact.resource(entry)["compose"]["include"]
    return [one["code"] for one in include["concept"]]
