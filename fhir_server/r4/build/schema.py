"""JSON Schemas of all types, one definition each, in the terms of the element table.

The schema says what is cheap to say: members, cardinality, primitive formats,
required codes. An inline resource is only an object that names its type; the
validator of that type is run on it apart, as a union of 146 types is slow.

https://hl7.org/fhir/R4/json.html
"""

from collections.abc import Iterable

from fhir_server.r4.build.elements import Row, Table
from fhir_server.r4.build.package import Json
from fhir_server.r4.build.primitives import schemas as primitives
from fhir_server.r4.build.value_sets import MIME_TYPES, Codes

# Members that no extension can be attached to (their type is one of FHIRPath's).
_BARE = frozenset(("id", "Extension.url", "Narrative.div"))


def schemas(table: Table, resource_types: Iterable[str], codes: Codes) -> dict[str, Json]:
    """Return the schema definitions by name, to stand side by side under `$defs`."""
    resources = frozenset(resource_types)
    found: dict[str, Json] = {}
    for name, schema in primitives().items():
        found |= {name: schema, f"{name}?": _or_null(schema)}
    for value_set, systems in codes.items():
        enum = sorted({code for known in systems.values() for code in known})
        schema = {"type": "string", "enum": enum}
        found |= {_code_name(value_set): schema, f"{_code_name(value_set)}?": _or_null(schema)}
    found["Resource"] = {
        "type": "object",
        "required": ["resourceType"],
        "properties": {"resourceType": {"enum": sorted(resources)}},
    }
    for type_name, rows in table.items():
        if type_name not in {"Resource", "DomainResource"}:
            found[type_name] = _object(type_name, rows, codes, of_resource=type_name in resources)
    found["Element?"] = _or_null(found["Element"])
    return found


def _or_null(schema: Json) -> Json:
    """In an array null keeps the place of an element that has only extensions."""
    nullable = schema | {"type": [schema["type"], "null"]}
    return nullable | {"enum": [*schema["enum"], None]} if "enum" in schema else nullable


def _object(type_name: str, rows: dict[str, Row], codes: Codes, *, of_resource: bool) -> Json:
    properties: Json = {}
    required: list[str] = []
    either: dict[str, list[str]] = {}
    for name, row in rows.items():
        if row[3] == 0:
            continue
        properties |= _properties(name, row, codes)
        if row[2]:
            bare = f"_{name}" not in properties and not row[9]
            if bare:
                required.append(name)
            else:
                names = either.setdefault(row[7], [])
                names += [one for one in (name, f"_{name}") if one in properties]
    if of_resource:
        properties["resourceType"] = {"const": type_name}
        required.append("resourceType")
    found: Json = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "minProperties": 1,
    }
    if required:
        found["required"] = required
    if either:
        found["allOf"] = [
            {"anyOf": [{"required": [name]} for name in names]} for names in either.values()
        ]
    return found


def _properties(name: str, row: Row, codes: Codes) -> Json:
    type_name, many = row[1], row[3] != 1
    definition = _definition(row, codes)
    if type_name[0].isupper():
        item = {"$ref": f"#/$defs/{definition}"}
        return {name: _array(item) if many else item}
    if row[7] in _BARE or name == "id":
        return {name: {"$ref": f"#/$defs/{definition}"}}
    extra = {"$ref": "#/$defs/Element"}
    if not many:
        return {name: {"$ref": f"#/$defs/{definition}"}, f"_{name}": extra}
    return {
        name: _array({"$ref": f"#/$defs/{definition}?"}),
        f"_{name}": _array({"$ref": "#/$defs/Element?"}),
    }


def _array(items: Json) -> Json:
    return {"type": "array", "minItems": 1, "items": items}


def _definition(row: Row, codes: Codes) -> str:
    type_name, binding = str(row[1]), row[6]
    if type_name == "code" and binding and binding[0] == "required":
        if binding[1] in codes:
            return _code_name(binding[1])
        if binding[1] == MIME_TYPES:
            return "mime"
    return type_name


def _code_name(value_set: str) -> str:
    return f"code-{value_set.rpartition('/')[2]}"
