"""One answer judged by its question.

https://hl7.org/fhir/R4/questionnaire-definitions.html#Questionnaire.item.type
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fhir_server.errors import BadRequest
from fhir_server.fhirpath.values import Node
from fhir_server.profiles.enabling import value_of
from fhir_server.profiles.place import Item
from fhir_server.profiles.scope import Scope, kind_named, target
from fhir_server.profiles.values import equal
from fhir_server.profiles.walk import Walk

Json = Mapping[str, Any]
_EXTENSIONS: Final = "http://hl7.org/fhir/StructureDefinition/"
_TYPES: Final[Mapping[str, frozenset[str]]] = {
    "boolean": frozenset(("boolean",)),
    "decimal": frozenset(("decimal",)),
    "integer": frozenset(("integer",)),
    "date": frozenset(("date",)),
    "dateTime": frozenset(("dateTime",)),
    "time": frozenset(("time",)),
    "string": frozenset(("string",)),
    "text": frozenset(("string",)),
    "url": frozenset(("uri",)),
    "choice": frozenset(("Coding", "integer", "date", "time", "string", "Reference")),
    "open-choice": frozenset(("Coding", "integer", "date", "time", "string", "Reference")),
    "attachment": frozenset(("Attachment",)),
    "reference": frozenset(("Reference",)),
    "quantity": frozenset(("Quantity",)),
}


def judge_answer(walk: Walk, question: Json, answer: Json, place: str, scope: Scope) -> None:
    """Note how an answer departs from its question."""
    given = value_of(answer, "value")
    if given is None:
        return
    kind, value = given
    item = Item(Node(kind, value), f"{place}.value.ofType({kind})")
    allowed = _TYPES.get(str(question.get("type")))
    if allowed is not None and kind not in allowed:
        walk.note(
            "error", "structure", "The answer has a type that is not the question's", item.place
        )
        return
    _by_options(walk, question, item)
    _by_value_set(walk, question, item)
    _by_bounds(walk, question, item)
    if type(value) is str:
        _by_text(walk, question, item, scope)
    elif kind == "Attachment" and type(value) is dict:
        _by_content(walk, question, item)
    elif kind == "Reference" and type(value) is dict:
        _by_target(walk, question, item, scope)
    elif kind == "Quantity":
        _by_units(walk, question, item)


def _extensions(question: Json, name: str) -> Iterator[Any]:
    found = question.get("extension")
    for one in found if type(found) is list else ():
        if type(one) is dict and one.get("url") == _EXTENSIONS + name:
            yield next((one[key] for key in one if key.startswith("value")), None)


def _by_options(walk: Walk, question: Json, item: Item) -> None:
    options = question.get("answerOption")
    free = question.get("type") == "open-choice" and item.node.type == "string"
    if type(options) is not list or free:
        return
    known = [value_of(one, "value") for one in options if type(one) is dict]
    if not any(one and _is_option(item, one) for one in known):
        walk.note("error", "code-invalid", "The answer is none of the options", item.place)


def _is_option(item: Item, option: tuple[str, Any]) -> bool:
    kind, value = option
    if kind != item.node.type:
        return False
    if kind == "Coding":
        return all(item.node.value.get(name) == value.get(name) for name in ("system", "code"))
    return equal(item.node.value, value)


def _by_value_set(walk: Walk, question: Json, item: Item) -> None:
    value_set = question.get("answerValueSet")
    if type(value_set) is not str or value_set.startswith("#"):
        return
    if item.node.type == "string" and question.get("type") == "open-choice":
        return
    known = walk.member(value_set, item)
    if known is False:
        walk.note("error", "code-invalid", "The answer is not of the value set", item.place)
    elif known is None:
        text = "Whether the answer is of the value set is not known"
        walk.note("information", "not-found", text, item.place)


def _by_bounds(walk: Walk, question: Json, item: Item) -> None:
    kind, value = item.node.type, item.node.value
    for bound in _extensions(question, "minValue"):
        if walk.compared(kind, value, bound) == -1:
            walk.note("error", "value", "The answer is below the least allowed", item.place)
    for bound in _extensions(question, "maxValue"):
        if walk.compared(kind, value, bound) == 1:
            walk.note("error", "value", "The answer is above the most allowed", item.place)
    for places in _extensions(question, "maxDecimalPlaces"):
        written = str(value).lower().partition("e")[0].partition(".")[2]
        if kind == "decimal" and type(places) is int and len(written) > places:
            walk.note("error", "value", "The answer has too many decimal places", item.place)


def _by_text(walk: Walk, question: Json, item: Item, scope: Scope) -> None:
    value, most = item.node.value, question.get("maxLength")
    if type(most) is int and len(value) > most:
        walk.note("error", "too-long", f"The answer is longer than {most}", item.place)
    for least in _extensions(question, "minLength"):
        if type(least) is int and len(value) < least:
            walk.note("error", "value", f"The answer is shorter than {least}", item.place)
    for pattern in _extensions(question, "regex"):
        if type(pattern) is str and not _matches(walk, pattern, item, scope):
            walk.note("error", "value", "The answer has not the form that is asked for", item.place)


def _matches(walk: Walk, pattern: str, item: Item, scope: Scope) -> bool:
    """The engine's regular expressions take linear time, whatever the pattern is."""
    try:
        found = walk.selected(
            "$this.matches(%pattern)", item, scope, pattern=[Node("string", pattern)]
        )
    except BadRequest:
        return True
    return found != [False]


def _by_content(walk: Walk, question: Json, item: Item) -> None:
    value = item.node.value
    types = [one for one in _extensions(question, "mimeType") if type(one) is str]
    if types and value.get("contentType") not in types:
        walk.note("error", "invalid", "The attachment has another type than asked for", item.place)
    size = attachment_size(value)
    for most in _extensions(question, "maxSize"):
        if size is not None and type(most) is not str and most is not None and size > most:
            walk.note("error", "too-long", "The attachment is too large", item.place)


def attachment_size(value: Json) -> int | None:
    """Return the number of bytes of an Attachment's data; what it says where it has none."""
    data = value.get("data")
    if type(data) is str:
        try:
            return len(base64.b64decode("".join(data.split()), validate=True))
        except binascii.Error:
            return None
    size = value.get("size")
    return size if type(size) is int else None


def _by_target(walk: Walk, question: Json, item: Item, scope: Scope) -> None:
    reference = item.node.value.get("reference")
    kinds = set(_extensions(question, "questionnaire-referenceResource"))
    if not kinds or type(reference) is not str:
        return
    found = target(scope, reference, walk.targets)
    kind = found.scope.resource.node.type if found else kind_named(walk.profiles.model, reference)
    if kind is not None and kind not in kinds:
        walk.note("error", "invalid", "The target has a type that is not asked for", item.place)


def _by_units(walk: Walk, question: Json, item: Item) -> None:
    for value_set in _extensions(question, "questionnaire-unitValueSet"):
        if type(value_set) is str and walk.member(value_set, item) is False:
            walk.note("error", "code-invalid", "The unit is not of the value set", item.place)
