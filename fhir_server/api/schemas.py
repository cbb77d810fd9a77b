"""JSON Schemas of resource types for the OpenAPI document: those that validate.

https://spec.openapis.org/oas/v3.1.1.html#schema-object
"""

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from fhir_server.r4.artefact import section

Schema: TypeAlias = dict[str, Any]

PREFIX = "#/components/schemas/"
_PRIVATE = "#/$defs/"

# An extension may have a value of any type. Said in full, each schema would lead to
# all, and a page that shows one would have to read them all.
_EXTENSION: Schema = {
    "type": "object",
    "required": ["url"],
    "properties": {
        "id": {"type": "string"},
        "url": {"type": "string"},
        "extension": {"type": "array", "items": {"type": "object"}},
    },
    "patternProperties": {"^_?value[A-Z]": {}},
    "additionalProperties": False,
}


def schemas(types: Iterable[str]) -> dict[str, Schema]:
    """Return the schemas of these types and of all that they are made of, by name.

    For readers the member `_name` that extends a primitive `name` is not listed
    but allowed by a pattern, and arrays show no null that keeps its place.
    """
    known: dict[str, Schema] = section("schemas")
    found: dict[str, Schema] = {}
    found["Extension"] = _EXTENSION
    ahead = ["Resource", *types]
    while ahead:
        name = ahead.pop()
        if name not in found:
            found[name] = _readable(known[name])
            ahead += _named(found[name])
    return dict(sorted(found.items()))


def older(schema: Any) -> Any:  # noqa: ANN401  (any JSON)
    """Return a schema in the dialect of OpenAPI 3.0, which has no constants and no patterns."""
    if isinstance(schema, list):
        return [older(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: older(inner) for key, inner in schema.items() if key != "patternProperties"}
    if isinstance(found.get("const"), str):
        found |= {"enum": [found.pop("const")], "type": "string"}
    if "patternProperties" in schema:
        found["additionalProperties"] = True
    return found


def _readable(schema: Schema) -> Schema:
    found: Schema = _linked(schema)
    members = found.get("properties", {})
    shown = {name: one for name, one in members.items() if not name.startswith("_")}
    if shown == members:
        return found
    first = {"resourceType": shown["resourceType"]} if "resourceType" in shown else {}
    found |= {"properties": {**first, **shown}, "patternProperties": {"^_": {}}}
    groups = [[one["required"][0] for one in group["anyOf"]] for group in found.pop("allOf", ())]
    shorter = [[name for name in names if name in shown] for names in groups]
    single = [names[0] for names in shorter if len(names) == 1]
    several = [[{"required": [name]} for name in names] for names in shorter if len(names) > 1]
    if required := [*found.get("required", ()), *single]:
        found["required"] = sorted(required)
    if several:
        found["allOf"] = [{"anyOf": names} for names in several]
    return found


def _linked(value: Any) -> Any:  # noqa: ANN401  (any JSON)
    """Return a copy whose references lead to where the document keeps its schemas."""
    if isinstance(value, list):
        return [_linked(one) for one in value]
    if isinstance(value, dict):
        return {
            key: PREFIX + inner.removeprefix(_PRIVATE).rstrip("?")
            if key == "$ref"
            else _linked(inner)
            for key, inner in value.items()
        }
    return value


def _named(value: Any) -> Iterator[str]:  # noqa: ANN401  (any JSON)
    if isinstance(value, list):
        for one in value:
            yield from _named(one)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner.removeprefix(PREFIX)
            else:
                yield from _named(inner)
