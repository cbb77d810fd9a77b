"""The sections of the artefact.

`about`        source packages with checksums and licence, and counts
`elements`     type or backbone path -> member name -> row of `Element`
`search`       search parameters and compartments
`descriptions` search parameter -> type, or "" for all -> what it means
`codes`        required value set -> system -> codes, and case-sensitive systems
`schemas`      name -> JSON Schema definition
`invariants`   key -> [severity, text, FHIRPath]; element path -> keys
`structures`   URL -> a StructureDefinition's content, each compressed by itself
"""

from pathlib import Path
from typing import Any

from fhir_server.r4.build.elements import invariants, table
from fhir_server.r4.build.package import read, specialisations
from fhir_server.r4.build.schema import schemas
from fhir_server.r4.build.search_parameters import (
    compartments,
    descriptions,
    search_parameters,
)
from fhir_server.r4.build.structures import packed
from fhir_server.r4.build.value_sets import case_sensitive, required

CORE = "hl7.fhir.r4.core-4.0.1.tgz"
EXPANSIONS = "hl7.fhir.r4.expansions-4.0.1.tgz"


def sections(folder: Path) -> dict[str, Any]:
    """Return all sections, built from the official packages in `folder`."""
    core, expansions = read(folder / CORE), read(folder / EXPANSIONS)
    definitions = specialisations(core)
    elements = table(definitions)
    resource_types = sorted(
        definition["type"]
        for definition in definitions
        if definition["kind"] == "resource" and not definition["abstract"]
    )
    parameters = search_parameters(core.resources["SearchParameter"])
    codes = required(elements, expansions.resources["ValueSet"])
    rules, placed = invariants(definitions)
    structures = packed(core.resources["StructureDefinition"])
    return {
        "about": {
            "sources": [[p.name, p.version, p.sha256] for p in (core, expansions)],
            "licence": "CC0-1.0",
            "counts": {
                "resource types": len(resource_types),
                "types and backbones": len(elements),
                "elements": sum(map(len, elements.values())),
                "search parameters": len(parameters),
                "required value sets": len(codes),
                "invariants": len(rules),
                "structures": len(structures["known"]),
            },
        },
        "elements": {"resource_types": resource_types, "table": elements},
        "search": {
            "parameters": parameters,
            "compartments": compartments(core.resources["CompartmentDefinition"]),
        },
        "descriptions": descriptions(core.resources["SearchParameter"]),
        "codes": {
            "required": codes,
            "case_sensitive": case_sensitive(core.resources["CodeSystem"]),
        },
        "schemas": schemas(elements, resource_types, codes),
        "invariants": {"rules": rules, "placed": placed},
        "structures": structures,
    }
