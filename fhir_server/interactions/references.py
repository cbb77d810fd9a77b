"""Literal references inside a resource, told apart into local and foreign.

https://hl7.org/fhir/R4/references.html#literal
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from fhir_server.r4.walk import references
from fhir_server.server import Server

PlacedReference: TypeAlias = tuple[str, dict[str, Any]]

_RELATIVE = re.compile(
    r"(?P<type>[A-Z][A-Za-z]+)/(?P<id>[A-Za-z0-9\-.]{1,64})"
    r"(?:/_history/(?P<version>[A-Za-z0-9\-.]{1,64}))?(?:#.*)?\Z"
)


class LocalReference(NamedTuple):
    """A reference to a resource of this server, with the FHIRPath of its place."""

    type_id: int
    id: str
    version: int | None
    path: str


def literal_references(
    server: Server, type_name: str, data: dict[str, Any]
) -> list[PlacedReference]:
    """Return every Reference with a `reference`, as (FHIRPath, the Reference itself)."""
    return list(references(server.definitions, type_name, data))


def local_references(server: Server, found: Iterable[PlacedReference]) -> list[LocalReference]:
    """Return those to resources of this server, absolute ones included.

    Contained, logical and foreign references are not among them.
    """
    local = []
    for path, holder in found:
        parts = split(server.definitions.type_ids, server.bases, holder["reference"])
        if parts is not None:
            local.append(LocalReference(*parts, f"{path}.reference"))
    return local


def split(
    type_ids: Mapping[str, int], bases: tuple[str, ...], reference: str
) -> tuple[int, str, int | None] | None:
    """Return (type id, id, version) of a local literal reference, else None."""
    if ":" in reference:
        base = next((base for base in bases if reference.startswith(base + "/")), None)
        if base is None:
            return None
        reference = reference[len(base) + 1 :]
    match = _RELATIVE.match(reference)
    if match is None or match["type"] not in type_ids:
        return None
    version = match["version"]
    number = int(version) if version and version.isdecimal() and len(version) < 10 else None  # noqa: PLR2004
    return type_ids[match["type"]], match["id"], number


def is_conditional(server: Server, reference: str) -> bool:
    """Whether the reference is criteria, `Type?name=value`, that a transaction resolves."""
    type_name, mark, _ = reference.partition("?")
    return bool(mark) and type_name in server.definitions.type_ids
