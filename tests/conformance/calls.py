"""Each operation at its places, with what it takes."""

from typing import Any

from fhir_server.api import examples
from fhir_server.interactions.draft import NEVER_STORED
from fhir_server.r4.definitions import load

DEFINITIONS = load()


def _sent(*given: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(given)}


_PETS = {
    "resourceType": "CodeSystem",
    "url": "http://example.org/pets",
    "status": "active",
    "content": "complete",
    "valueSet": "http://example.org/all-pets",
    "concept": [{"code": "dog"}],
}
_KNOWN = {"name": "tx-resource", "resource": _PETS}
_URL = {"name": "url", "valueUri": _PETS["url"]}
_VALUES = {"name": "url", "valueUri": _PETS["valueSet"]}
_SYSTEM = {"name": "system", "valueUri": _PETS["url"]}
_DOG = {"name": "code", "valueCode": "dog"}
_CODED = {"name": "property", "part": [{**_DOG, "valueCode": "code"}, {**_DOG, "name": "value"}]}
# An operation at a place, with what it takes; None is a GET.
CALLS: list[tuple[str, dict[str, Any] | None]] = [
    ("/$reindex", None),
    ("/CapabilityStatement/$subset?resource=Patient", None),
    ("/$versions", None),
    ("/$fhirpath?expression=1&resource={%22resourceType%22:%22Basic%22}", None),
    ("/$validate", examples.example(DEFINITIONS, "Basic")),
    *(
        (f"/{name}/$validate", examples.example(DEFINITIONS, name))
        for name in DEFINITIONS.resource_types
        if name not in NEVER_STORED
    ),
    ("/CodeSystem/$lookup", _sent(_KNOWN, _SYSTEM, _DOG)),
    ("/CodeSystem/$validate-code", _sent(_KNOWN, _URL, _DOG)),
    ("/CodeSystem/$batch-validate-code", _sent()),
    (
        "/CodeSystem/$subsumes",
        _sent(_KNOWN, _SYSTEM, {**_DOG, "name": "codeA"}, {**_DOG, "name": "codeB"}),
    ),
    (
        "/CodeSystem/$find-matches",
        _sent(_KNOWN, _SYSTEM, _CODED, {"name": "exact", "valueBoolean": True}),
    ),
    ("/ValueSet/$expand", _sent(_KNOWN, _VALUES)),
    ("/ValueSet/$validate-code", _sent(_KNOWN, _VALUES, _SYSTEM, _DOG)),
    ("/ValueSet/$batch-validate-code", _sent()),
    ("/ConceptMap/$translate", _sent(_SYSTEM, _DOG)),
    ("/$closure", _sent({"name": "name", "valueString": "pets"})),
    ("/$cache-control?mode=start", _sent(_KNOWN)),
    ("/$role", None),
    ("/Patient/$match", {"resourceType": "Patient", "birthDate": "1980-01-02"}),
]
# Operations of persons, which are carried out in their own tests: by its place, where one is
# called and what it misses when nothing is said.
PERSONAL = {
    "/$break-glass": ("/$break-glass", "patient"),
    "/$break-glass-end": ("/$break-glass-end", "patient"),
    "/$break-glass-sign": ("/$break-glass-sign", "id"),
    "/Patient/$expunge": ("/Patient/x/$expunge", "reason"),
}
