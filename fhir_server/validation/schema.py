"""Compiled JSON Schemas, one for each resource type.

https://hl7.org/fhir/R4/json.html
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import jsonschema_rs

from fhir_server.r4.artefact import section

# The library makes all errors before it gives the first, at some 40 µs and 3 kB each.
_MAX_VALUES = 5_000
_PREFIX = "#/$defs/"


@cache
def compiled(type_name: str) -> jsonschema_rs.Draft202012Validator:
    """Return the validator of a resource type; KeyError for an unknown one.

    It knows only the definitions that the type leads to: with all of them each
    would take 13 ms instead of 3. Patterns run in linear time.
    """
    definitions = _definitions()
    return jsonschema_rs.Draft202012Validator(
        {
            "$ref": _PREFIX + type_name,
            "$defs": {name: definitions[name] for name in sorted(_closure(type_name))},
        },
        pattern_options=jsonschema_rs.RegexOptions(),
    )


def errors(
    schema: jsonschema_rs.Draft202012Validator, data: dict[str, Any]
) -> list[jsonschema_rs.ValidationError]:
    """Return what is wrong with invalid data, of a very large resource only the beginning.

    ValueError for what JSON cannot express.
    """
    sample, values = _cut(data, _MAX_VALUES)
    if values > 0:
        return list(schema.iter_errors(data))
    found = list(schema.iter_errors(sample))
    if found:
        return found
    try:
        schema.validate(data)
    except jsonschema_rs.ValidationError as error:
        return [error]
    return []


def _cut(value: Any, values: int) -> tuple[Any, int]:  # noqa: ANN401  (any JSON)
    """Return a copy with shorter arrays, and what is left of this number of values.

    Members stay, and one item of each array, so that nothing is missing for it.
    """
    values -= 1
    if isinstance(value, dict):
        members = {}
        for name, inner in value.items():
            members[name], values = _cut(inner, values)
        return members, values
    if isinstance(value, list):
        items: list[Any] = []
        for inner in value:
            if values <= 0 and items:
                break
            item, values = _cut(inner, values)
            items.append(item)
        return items, values
    return value, values


@cache
def _definitions() -> Mapping[str, Any]:
    definitions: dict[str, Any] = section("schemas")
    return definitions


def _closure(type_name: str) -> set[str]:
    definitions, known, ahead = _definitions(), {type_name}, [type_name]
    while ahead:
        for name in _references(definitions[ahead.pop()]):
            if name not in known:
                known.add(name)
                ahead.append(name)
    return known


def _references(schema: Any) -> Iterator[str]:  # noqa: ANN401  (any JSON)
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value.removeprefix(_PREFIX)
            else:
                yield from _references(value)
