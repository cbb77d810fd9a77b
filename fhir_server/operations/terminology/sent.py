"""The parameters of a terminology operation as they were sent, by URL or in a body.

https://hl7.org/fhir/R4/operations.html#request
"""

import re
from collections.abc import Mapping
from typing import Any

from fhir_server.errors import BadRequest
from fhir_server.operations.operation import Call

Json = dict[str, Any]

_WHOLE_NUMBER = re.compile(r"[-+]?[0-9]{1,10}\Z")

# Parameters of primitive types by name, with their type in the OperationDefinitions of R4, or
# of R5, or of HL7's tx-ecosystem.
KINDS: Mapping[str, str] = {
    "abstract": "Boolean",
    "activeOnly": "Boolean",
    "allowMaximumSizeExpansion": "Boolean",
    "cache-id": "Id",
    "check-system-version": "Canonical",
    "code": "Code",
    "codeA": "Code",
    "codeB": "Code",
    "compositional": "Boolean",
    "conceptMapVersion": "String",
    "context": "Uri",
    "contextDirection": "Code",
    "count": "Integer",
    "date": "DateTime",
    "default-valueset-version": "Canonical",
    "designation": "String",
    "display": "String",
    "displayLanguage": "Code",
    "exact": "Boolean",
    "exclude-system": "Canonical",
    "excludeNested": "Boolean",
    "excludeNotForUI": "Boolean",
    "excludePostCoordinated": "Boolean",
    "filter": "String",
    "force-system-version": "Canonical",
    "includeDefinition": "Boolean",
    "includeDesignations": "Boolean",
    "inferSystem": "Boolean",
    "lenient-display-validation": "Boolean",
    "limit": "Integer",
    "mode": "Code",
    "name": "String",
    "offset": "Integer",
    "property": "Code",
    "reverse": "Boolean",
    "source": "Uri",
    "sourceCode": "Code",
    "sourceScope": "Uri",
    "sourceSystem": "Uri",
    "system": "Uri",
    "system-version": "Canonical",
    "systemVersion": "String",
    "target": "Uri",
    "targetCode": "Code",
    "targetScope": "Uri",
    "targetSystem": "Uri",
    "targetsystem": "Uri",
    "url": "Uri",
    "useSupplement": "Canonical",
    "valueSetMode": "Code",
    "valueSetVersion": "String",
    "valueset-membership-only": "Boolean",
    "version": "String",
    "versionsMatch": "Boolean",
}

# Parameters that only a body can hold.
COMPLEX = frozenset(
    {
        "codeSystem",
        "codeableConcept",
        "coding",
        "codingA",
        "codingB",
        "concept",
        "conceptMap",
        "dependency",
        "sourceCodeableConcept",
        "sourceCoding",
        "targetCodeableConcept",
        "targetCoding",
        "tx-resource",
        "validation",
        "valueSet",
    }
)

# What a resource in the place of the Parameters is a parameter of.
_ALONE: Mapping[tuple[str, str], str] = {
    ("ValueSet", "ValueSet"): "valueSet",
    ("CodeSystem", "CodeSystem"): "codeSystem",
    ("ConceptMap", "ConceptMap"): "conceptMap",
}


def parameters(call: Call) -> Json:
    """Return the Parameters: those of the URL with their types, then those of the body.

    A ValueSet, CodeSystem or ConceptMap alone is the parameter of that name. BadRequest for a
    value in the URL that is none of its type, and for a body that is something else.
    Parameters that no operation has are left out of those in the URL.
    """
    found = [_parameter(name, text) for name, text in call.parameters if name in KINDS]
    for name, _ in call.parameters:
        if name in COMPLEX:
            raise BadRequest("The parameter is sent in a body", expression=name)
    return {"resourceType": "Parameters", "parameter": [*found, *_of_body(call)]}


def _parameter(name: str, text: str) -> Json:
    kind = KINDS[name]
    return {"name": name, f"value{kind}": _value(name, kind, text)}


def _value(name: str, kind: str, text: str) -> str | bool | int:
    if "\0" in text:
        raise BadRequest("The parameter has a null character", code="value", expression=name)
    if kind == "Boolean":
        if text not in {"true", "false"}:
            raise BadRequest("The parameter is true or false", code="value", expression=name)
        return text == "true"
    if kind == "Integer":
        if not _WHOLE_NUMBER.match(text):
            raise BadRequest("The parameter is a whole number", code="value", expression=name)
        return int(text)
    return text


def _of_body(call: Call) -> list[Any]:
    body = call.sent
    if body is None:
        return []
    alone = _ALONE.get((call.type, str(body.get("resourceType"))))
    if alone is not None:
        return [{"name": alone, "resource": dict(body)}]
    if body.get("resourceType") != "Parameters":
        raise BadRequest("The operation takes Parameters", code="structure")
    given = body.get("parameter", [])
    if not isinstance(given, list):
        raise BadRequest("The Parameters are not valid", code="structure", expression="parameter")
    return given
