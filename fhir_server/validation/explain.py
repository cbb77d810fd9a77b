"""What is wrong, from what the JSON Schema found: one issue for each place.

Built from the place and the rule alone, as the messages of the schema library
quote the resource.

https://hl7.org/fhir/R4/operationoutcome.html
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import jsonschema_rs

from fhir_server.errors import Issue
from fhir_server.r4.definitions import Element
from fhir_server.validation.place import Elements, Place, located, member

MAX_ISSUES = 100
_LOOKED_AT = 1_000  # findings, of which several may be one issue

_Explanation = Callable[[Elements, Place, Any, Any], Iterator[Issue]]


def explained(
    elements: Elements,
    type_name: str,
    path: str,
    errors: Iterable[jsonschema_rs.ValidationError],
) -> list[Issue]:
    """Return the issues of one resource of `type_name` that stands at `path`.

    No more are sought when there are over `MAX_ISSUES`.
    """
    found: dict[tuple[str | None, str], Issue] = {}
    for error in islice(errors, _LOOKED_AT):
        place = located(elements, type_name, path, error.instance_path)
        explain = _BY_KEYWORD.get(error.kind.name, _other)
        for issue in explain(elements, place, error.kind, error.instance):
            found.setdefault((issue.expression, issue.code), issue)
        if len(found) > MAX_ISSUES:
            break
    return list(found.values())


def _structure(text: str, path: str) -> Issue:
    return Issue("error", "structure", text, path)


def _value(text: str, path: str) -> Issue:
    return Issue("error", "value", text, path)


def _unknown(_: Elements, place: Place, kind: Any, __: Any) -> Iterator[Issue]:  # noqa: ANN401
    for name in kind.unexpected[: MAX_ISSUES + 1]:
        yield _structure("R4 has no such member here", place.path + member(name))


def _missing(elements: Elements, place: Place, kind: Any, instance: Any) -> Iterator[Issue]:  # noqa: ANN401
    """Yield what is required and absent; an empty object has an issue of its own."""
    if not instance:
        return
    if getattr(kind, "property", None) == "resourceType":
        yield Issue("error", "required", "A resource names its type", f"{place.path}.resourceType")
    for name in _absent(elements.get(place.type, {}), instance):
        yield Issue("error", "required", "A required element is missing", f"{place.path}.{name}")


def _absent(members: Mapping[str, Element], instance: Mapping[str, Any]) -> list[str]:
    """Return the required elements without a value and without extensions in its place."""
    present: dict[str, bool] = {}
    for name, element in members.items():
        if element.min:
            stem = element.choice or name
            here = name in instance or f"_{name}" in instance
            present[stem] = present.get(stem, False) or here
    return [stem for stem, here in present.items() if not here]


def _empty_object(_: Elements, place: Place, __: Any, ___: Any) -> Iterator[Issue]:  # noqa: ANN401
    yield _structure("An object must not be empty", place.path)


def _empty_array(_: Elements, place: Place, __: Any, ___: Any) -> Iterator[Issue]:  # noqa: ANN401
    yield _structure("An array must not be empty", place.path)


def _type(_: Elements, place: Place, kind: Any, instance: Any) -> Iterator[Issue]:  # noqa: ANN401
    expected = next(one for one in kind.types if one != "null")
    if instance is None:
        yield _structure("null has no meaning here", place.path)
    elif expected == "array":
        yield _structure("An array is expected, as the element repeats", place.path)
    elif isinstance(instance, list):
        yield _structure("One value is expected, not an array", place.path)
    elif expected == "object" or isinstance(instance, dict):
        what = "An object" if expected == "object" else "A primitive value"
        yield _structure(f"{what} is expected", place.path)
    else:
        yield _value(f"A JSON {expected} is expected", place.path)


def _code(_: Elements, place: Place, __: Any, instance: Any) -> Iterator[Issue]:  # noqa: ANN401
    if place.element is None:
        yield _structure("R4 has no such resource type", place.path)
    elif isinstance(instance, str) and place.element.binding:
        text = f"Not a code of {place.element.binding.value_set}"
        yield Issue("error", "code-invalid", text, place.path)


def _constant(_: Elements, place: Place, kind: Any, __: Any) -> Iterator[Issue]:  # noqa: ANN401
    yield _structure(f"The resource type is not {kind.expected_value}", place.path)


def _format(_: Elements, place: Place, __: Any, instance: Any) -> Iterator[Issue]:  # noqa: ANN401
    type_name = place.element.type if place.element else "value"
    text = "A string must not be empty" if instance == "" else f"Not a valid {type_name}"
    yield _value(text, place.path)


def _length(_: Elements, place: Place, __: Any, ___: Any) -> Iterator[Issue]:  # noqa: ANN401
    yield Issue("error", "too-long", "A string has at most 1,048,576 characters", place.path)


def _other(_: Elements, place: Place, kind: Any, __: Any) -> Iterator[Issue]:  # noqa: ANN401
    yield _structure(f"Against the rule {kind.name}", place.path)


_BY_KEYWORD: Mapping[str, _Explanation] = {
    "additionalProperties": _unknown,
    "required": _missing,
    "anyOf": _missing,
    "minProperties": _empty_object,
    "minItems": _empty_array,
    "type": _type,
    "enum": _code,
    "const": _constant,
    "pattern": _format,
    "minLength": _format,
    "minimum": _format,
    "maximum": _format,
    "maxLength": _length,
}
