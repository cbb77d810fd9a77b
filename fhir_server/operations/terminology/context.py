"""The value set that a `context` means: the one bound to an element of a StructureDefinition.

    http://hl7.org/fhir/StructureDefinition/Patient#Patient.gender

https://hl7.org/fhir/R4/valueset-operation-expand.html
"""

from collections.abc import Mapping
from typing import Any

from fhir_server.errors import BadRequest, NotFound
from fhir_server.profiles.core import Core
from fhir_server.server import Server

Json = Mapping[str, Any]


async def value_set(server: Server, context: str) -> str:
    """Return the canonical of the value set; NotFound where nothing is bound there.

    The element is named by its path or by its id, with or without the type before it.
    """
    canonical, _, path = context.partition("#")
    if not canonical or not path:
        text = "A context is the URL of a StructureDefinition, # and a path into it"
        raise BadRequest(text, code="value", expression="context")
    definition = await _definition(server, canonical)
    if definition is None:
        raise NotFound("The StructureDefinition of the context is unknown", expression="context")
    named = {path, f"{definition.get('type')}.{path}"}
    for view in ("snapshot", "differential"):
        for element in definition.get(view, {}).get("element", ()):
            bound = element.get("binding", {}).get("valueSet")
            if bound and named & {element.get("id"), element.get("path")}:
                return str(bound)
    raise NotFound("No value set is bound to the element of the context", expression="context")


async def _definition(server: Server, canonical: str) -> Json | None:
    await server.stored_profiles.refresh()
    await server.stored_profiles.find([canonical])
    _, stored = server.stored_profiles.known(canonical)
    return stored if stored is not None else Core().definition(canonical)
