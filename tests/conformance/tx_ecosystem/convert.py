"""The suite's R5 resources as R4, and R4 answers as R5."""

from collections.abc import Callable
from typing import Any

Json = dict[str, Any]

R5 = "http://hl7.org/fhir/5.0/StructureDefinition/"
EXPANSION_PROPERTY = R5 + "extension-ValueSet.expansion.property"
CONTAINS_PROPERTY = R5 + "extension-ValueSet.expansion.contains.property"
FILTER_OP = R5 + "extension-ValueSet.compose.include.filter.op"
VERSION_ALGORITHM = R5 + "extension-CanonicalResource.versionAlgorithm"

EQUIVALENCES = {
    "equivalent": "equivalent",
    "source-is-narrower-than-target": "wider",
    "source-is-broader-than-target": "narrower",
    "related-to": "relatedto",
    "not-related-to": "disjoint",
}
MODES = {"use-source-code": "provided", "fixed": "fixed", "other-map": "other-map"}


def each(resource: Json, path: str) -> list[Json]:
    """The objects at a path such as `compose.include.filter`."""
    found = [resource]
    for name in path.split("."):
        found = [item for one in found for item in _items(one.get(name))]
    return found


def _items(value: object) -> list[Json]:
    listed = value if isinstance(value, list) else [value]
    return [one for one in listed if isinstance(one, dict)]


def to_r4(resource: Json) -> Json:
    """The resource as R4 has it; changes it in place."""
    convert = TO_R4.get(resource.get("resourceType", ""))
    if convert:
        convert(resource)
    for contained in resource.get("contained", []):
        to_r4(contained)
    if resource.get("resourceType") == "Parameters":
        for parameter in resource.get("parameter", []):
            if "resource" in parameter:
                to_r4(parameter["resource"])
    return resource


def _algorithm(resource: Json) -> None:
    for name in ("versionAlgorithmString", "versionAlgorithmCoding"):
        if name in resource:
            value = resource.pop(name)
            kind = name.replace("versionAlgorithm", "value")
            extension = {"url": VERSION_ALGORITHM, kind: value}
            resource.setdefault("extension", []).append(extension)


def _value_set(resource: Json) -> None:
    _algorithm(resource)
    for side in ("include", "exclude"):
        for one in each(resource, f"compose.{side}.filter"):
            if one.get("op") in {"child-of", "descendent-leaf"}:
                op = one.pop("op")
                one["_op"] = {"extension": [{"url": FILTER_OP, "valueCode": op}]}


def _concept_map(resource: Json) -> None:
    _algorithm(resource)
    for name in ("source", "target"):
        for kind in ("Uri", "Canonical"):
            if f"{name}Scope{kind}" in resource:
                resource[f"{name}{kind}"] = resource.pop(f"{name}Scope{kind}")
    for element in each(resource, "group.element"):
        if element.pop("noMap", False):
            element["target"] = [{"equivalence": "unmatched"}]
        for target in element.get("target", []):
            if "relationship" in target:
                target["equivalence"] = EQUIVALENCES[target.pop("relationship")]
    for unmapped in each(resource, "group.unmapped"):
        unmapped.pop("relationship", None)
        unmapped["mode"] = MODES[unmapped["mode"]]
        if "otherMap" in unmapped:
            unmapped["url"] = unmapped.pop("otherMap")


TO_R4: dict[str, Callable[[Json], None]] = {
    "CodeSystem": _algorithm,
    "ValueSet": _value_set,
    "ConceptMap": _concept_map,
}


def to_r5(resource: Json) -> Json:
    """The answer as R5 has it; changes it in place."""
    if resource.get("resourceType") == "ValueSet" and "expansion" in resource:
        _lift(resource["expansion"], EXPANSION_PROPERTY)
        _lift_contains(resource["expansion"])
    return resource


def _lift_contains(node: Json) -> None:
    for one in node.get("contains", []):
        _lift(one, CONTAINS_PROPERTY)
        _lift_contains(one)


def _lift(node: Json, url: str) -> None:
    mine = [one for one in node.get("extension", []) if one["url"] == url]
    rest = [one for one in node.get("extension", []) if one["url"] != url]
    if not mine:
        return
    node["property"] = [_flat(one) for one in mine]
    node["extension"] = rest
    if not rest:
        del node["extension"]


def _flat(extension: Json) -> Json:
    out: Json = {}
    for part in extension["extension"]:
        ((kind, value),) = [(k, v) for k, v in part.items() if k.startswith("value")]
        out[kind if part["url"] == "value" else part["url"]] = value
    return out
