"""The handle that each interaction gets."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from fhir_server.at_rest.keys import Keys
from fhir_server.bases import DEFAULT, beside
from fhir_server.blobs import Blobs
from fhir_server.codings import Codings
from fhir_server.config import Settings
from fhir_server.database import Database
from fhir_server.profiles.profiles import Profiles
from fhir_server.profiles.stored import StoredDefinitions
from fhir_server.r4.definitions import Definitions
from fhir_server.search.expected import Expected
from fhir_server.search.registry import Registry
from fhir_server.validation.structure import Validator
from terminology.choosing import Choices
from terminology.library import Library, Shelf
from terminology.memberships import Memberships
from terminology.readings import Readings
from terminology.recent import Recent


@dataclass(slots=True)
class InForce:
    """The registry by which this process writes and searches, replaced as a whole.

    `checked` is when the database last said that it is the present one, in seconds of
    the monotonic clock.
    """

    registry: Registry
    checked: float = -math.inf

    def doubt(self) -> None:
        """Have the database asked again before the registry is next used."""
        self.checked = -math.inf


class Vocabulary(Library, Protocol):
    """The code systems, value sets and concept maps that a server knows."""

    async def present(self) -> Library:
        """Return the library of the present state, for a call that asks many questions."""


@dataclass(frozen=True, slots=True)
class Server:
    """What a running server consists of; built once in `main` and passed first.

    `base` is the FHIR base URL without a trailing slash; `bases` are all URLs
    (base and aliases) under which an absolute reference counts as local. `tenant` is
    whose handle it is, `default` in an installation without tenants; `afford` is told how
    many resources are to be stored, raises Throttled where its quotas are used up, and is
    None where it has none.
    """

    settings: Settings
    base: str
    bases: tuple[str, ...]
    database: Database
    definitions: Definitions
    in_force: InForce
    validator: Validator
    memberships: Memberships
    profiles: Profiles
    stored_profiles: StoredDefinitions
    vocabulary: Vocabulary
    codings: Codings
    choices: Choices
    readings: Readings
    caches: Recent[str, Shelf]
    blobs: Blobs
    new_id: Callable[[], str]
    new_key: Callable[[], int]
    data_keys: Keys
    expected: Expected = field(default_factory=Expected)
    tenant: str = DEFAULT
    afford: Callable[[int], Awaitable[None]] | None = None

    @property
    def registry(self) -> Registry:
        """Return the search parameters as this process knows them; immutable."""
        return self.in_force.registry

    @property
    def root(self) -> str:
        """Return the URL below which that of this tenant lies which is not FHIR."""
        return beside(self.base)
