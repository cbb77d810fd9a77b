"""capabilities: what this server does, derived from what it is made of.

https://hl7.org/fhir/R4/capabilitystatement.html
"""

from collections.abc import Collection
from hashlib import blake2b
from importlib.metadata import version
from typing import Any

import msgspec

from fhir_server.interactions.draft import NEVER_STORED
from fhir_server.server import Server

SYSTEM_INTERACTIONS = ("transaction", "batch", "search-system", "history-system")
TYPE_INTERACTIONS = (
    "read",
    "vread",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "create",
    "search-type",
)
# The date of the statement is that of the definitions: equal servers say equal things.
DATE = "2019-11-01"


def capabilities(server: Server, offered: Collection[str]) -> tuple[bytes, str]:
    """Return the text of the CapabilityStatement and its entity tag.

    `offered` are the interaction codes that the API routes.
    """
    statement: dict[str, Any] = {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": DATE,
        "kind": "instance",
        "software": {"name": "Sangam", "version": version("sangam")},
        "implementation": {"description": "Sangam FHIR R4 server", "url": server.base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml"],
        "patchFormat": ["application/json-patch+json", "application/fhir+json"],
        "rest": [
            {
                "mode": "server",
                "resource": [_resource(server, t, offered) for t in _types(server)],
                "interaction": _codes(SYSTEM_INTERACTIONS, offered),
            }
        ],
    }
    body = msgspec.json.encode(statement)
    return body, f'W/"{blake2b(body, digest_size=8).hexdigest()}"'


def _types(server: Server) -> list[str]:
    return [t for t in server.definitions.resource_types if t not in NEVER_STORED]


def _resource(server: Server, type_name: str, offered: Collection[str]) -> dict[str, Any]:
    settings = server.settings.write
    parameters = server.registry.parameters(type_name)
    return {
        "type": type_name,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{type_name}",
        "interaction": _codes(TYPE_INTERACTIONS, offered),
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": settings.update_create,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": "single",
        "referencePolicy": [
            "literal",
            "logical",
            *(["enforced"] if settings.referential_integrity else []),
            "local",
        ],
        "searchInclude": sorted(
            f"{type_name}:{code}" for code, one in parameters.items() if one.type == "reference"
        ),
        "searchParam": [
            {"name": code, "type": one.type, **({"definition": one.url} if one.url else {})}
            for code, one in sorted(parameters.items())
        ],
    }


def _codes(order: tuple[str, ...], offered: Collection[str]) -> list[dict[str, str]]:
    return [{"code": code} for code in order if code in offered]
