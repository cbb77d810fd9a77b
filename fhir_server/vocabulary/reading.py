"""Resources read into what the operations work on, each once while there is room."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import replace
from typing import Any, TypeVar

import msgspec

from fhir_server.vocabulary.kept import Kept
from terminology import code_system_resource, concept_map, value_set
from terminology.concept_map import ConceptMap
from terminology.concepts import Json
from terminology.memory import MemoryCodeSystem
from terminology.value_set import ValueSet

_Kind = TypeVar("_Kind")

LONG = 300_000
"""Bytes of JSON from which a resource is read beside the event loop."""


def read_code_system(resource: Json, superseded: bool) -> MemoryCodeSystem:  # noqa: FBT001 (Read)
    """Return the code system of a resource."""
    system = code_system_resource.read_code_system(resource)
    system.head = replace(system.head, superseded=superseded)
    return system


def read_value_set(resource: Json, superseded: bool) -> ValueSet:  # noqa: FBT001 (Read)
    """Return the value set of a resource."""
    return replace(value_set.read_value_set(resource), superseded=superseded)


def read_concept_map(resource: Json, superseded: bool) -> ConceptMap:  # noqa: ARG001, FBT001 (Read)
    """Return the concept map of a resource."""
    return concept_map.read_concept_map(resource)


class Readings:
    """What was read of resources, by keys that are new for each new content."""

    def __init__(self, most: int) -> None:
        """`most` bounds what is kept, in bytes of the JSON it was read from."""
        self.kept: Kept[Hashable, Any] = Kept(most)

    async def ask(
        self,
        key: Hashable,
        text: Callable[[], Awaitable[bytes]],
        read: Callable[[Json, bool], _Kind],
        superseded: bool,  # noqa: FBT001 (handed on)
    ) -> _Kind:
        """Return what the resource of this key says; `text` gives its JSON when it is needed."""

        async def make() -> tuple[_Kind, int]:
            written = await text()
            if len(written) < LONG:
                return _read(written, read, superseded), len(written)
            return await asyncio.to_thread(_read, written, read, superseded), len(written)

        found: _Kind = await self.kept.ask((key, superseded), make)
        return found


def _read(written: bytes, read: Callable[[Json, bool], _Kind], superseded: bool) -> _Kind:  # noqa: FBT001
    return read(msgspec.json.decode(written), superseded)
