"""The handle that each interaction gets."""

from collections.abc import Callable
from dataclasses import dataclass

from fhir_server.blobs import Blobs
from fhir_server.config import Settings
from fhir_server.database import Database
from fhir_server.r4.definitions import Definitions
from fhir_server.search.registry import Registry
from fhir_server.validation.structure import Validator


@dataclass(frozen=True, slots=True)
class Server:
    """What a running server consists of; built once in `main` and passed first.

    `base` is the FHIR base URL without a trailing slash; `bases` are all URLs
    (base and aliases) under which an absolute reference counts as local.
    """

    settings: Settings
    base: str
    bases: tuple[str, ...]
    database: Database
    definitions: Definitions
    registry: Registry
    validator: Validator
    blobs: Blobs
    new_id: Callable[[], str]
    new_key: Callable[[], int]
