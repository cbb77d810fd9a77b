"""FHIRPath Patch operations, tried on one patient."""

from typing import Any

import pytest

from fhir_server.errors import BadRequest
from fhir_server.patch import fhirpath_patch
from fhir_server.r4 import json
from fhir_server.r4.definitions import load

EXTENSION = {"url": "u", "valueCode": "c"}
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "text": {"status": "empty", "div": "<div/>"},
    "contained": [{"resourceType": "Organization", "id": "o", "name": "O"}],
    "extension": [EXTENSION, {"url": "v", "valueString": "1"}],
    "identifier": [
        {"system": "s", "value": "1", "use": "usual"},
        {"system": "s", "value": "2", "use": "official"},
        {"system": "t", "value": "1", "use": "official"},
    ],
    "active": True,
    "name": [
        {
            "use": "official",
            "given": ["A", None, "C"],
            "_given": [{"id": "a"}, {"extension": [EXTENSION]}, None],
        },
        {"text": "B"},
    ],
    "telecom": [{"rank": 1, "value": "x"}, {"rank": 2, "value": "y"}],
    "birthDate": "2000-01-01",
    "_birthDate": {"id": "b", "extension": [EXTENSION]},
    "deceasedDateTime": "2020-01-01T10:00:00+02:00",
    "contact": [{"name": {"text": "N"}}],
}


def parts(members: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name, value in members.items():
        if name == "type":
            part = {"valueCode": value}
        elif name in {"index", "source", "destination"}:
            part = {"valueInteger": value}
        else:
            part = value if isinstance(value, dict) else {"valueString": value}
        found.append({"name": name, **part})
    return found


def operation(kind: str, path: str, **members: Any) -> dict[str, Any]:
    return {"name": "operation", "part": parts({"type": kind, "path": path, **members})}


def parameters(*operations: Any) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": list(operations)}


def patched(*operations: Any, document: dict[str, Any] = PATIENT) -> dict[str, Any]:
    before = json.encode(document)
    try:
        type_name = document["resourceType"]
        return fhirpath_patch.apply(load(), type_name, document, parameters(*operations))
    finally:
        assert json.encode(document) == before


def changes(*operations: Any, document: dict[str, Any] = PATIENT) -> dict[str, Any]:
    """The members that differ after the operations, absent ones as None."""
    after = patched(*operations, document=document)
    names = document.keys() | after.keys()
    return {name: after.get(name) for name in names if after.get(name) != document.get(name)}


def refused(*operations: Any, document: dict[str, Any] = PATIENT) -> str:
    with pytest.raises(BadRequest) as caught:
        patched(*operations, document=document)
    last = len(operations) - 1
    assert caught.value.issues[0].expression == f"Parameters.parameter[{last}]"
    assert caught.value.text.startswith(f"Operation {last}: ")
    return caught.value.text.removeprefix(f"Operation {last}: ")
