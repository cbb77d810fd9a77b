"""What a schema cannot say cheaply, in one pass over a resource.

One type of a choice, nulls in step with their extensions, whole numbers written
whole, XHTML, extensions with a value or with extensions, contained ids.

https://hl7.org/fhir/R4/json.html#primitive
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from fhir_server.errors import Issue
from fhir_server.r4.definitions import Element
from fhir_server.r4.walk import segment
from fhir_server.validation.explain import MAX_ISSUES
from fhir_server.validation.narrative import problem

# A place as a chain that leads back to the root: (before, step).
Trail = tuple[Any, str]
# Told to a check: the walk, the object, the member's name and value, its place.
_Check = Callable[["Walk", dict[str, Any], str, Any, Trail], None]

_WHOLE = frozenset(("integer", "positiveInt", "unsignedInt"))


class Rule(NamedTuple):
    """What to do at a member: check it, go inside, count it as one type of a choice."""

    step: str
    check: _Check | None
    inside: "Rules | None"
    choice: str | None
    chosen: str


Rules = dict[str, Rule]
_NOTHING: dict[str, str] = {}


class Walk:
    """One pass: `issues` that were found, and `inline` resources that were met."""

    __slots__ = ("inline", "issues")

    def __init__(self) -> None:
        self.issues: list[Issue] = []
        self.inline: list[tuple[dict[str, Any], Trail]] = []

    def refuse(self, code: str, text: str, trail: Trail) -> None:
        """Note an error at this place, unless there are enough."""
        if len(self.issues) <= MAX_ISSUES:
            self.issues.append(Issue("error", code, text, written(trail)))

    def go(self, rules: Rules, data: dict[str, Any], trail: Trail) -> None:
        """Go through an object whose members have these rules."""
        chosen: dict[str, str] = _NOTHING
        for name, value in data.items():
            rule = rules.get(name)
            if rule is None:
                continue
            step, check, inside, choice, alternative = rule
            if choice is not None:
                chosen = chosen or {}
                if chosen.setdefault(choice, alternative) != alternative:
                    self.refuse("structure", "Only one type may be given", (trail, "." + choice))
            if check is not None:
                check(self, data, name, value, (trail, step))
            if inside is not None:
                self._enter(inside, value, (trail, step))

    def _enter(self, rules: Rules, value: object, trail: Trail) -> None:
        if type(value) is dict:
            self.go(rules, value, trail)
        elif type(value) is list:
            for index, item in enumerate(value):
                if type(item) is dict:
                    self.go(rules, item, (trail, f"[{index}]"))


def written(trail: Trail) -> str:
    """Return the FHIRPath of a place."""
    steps: list[str] = []
    before: Any = trail
    while before:
        before, step = before
        steps.append(step)
    return "".join(reversed(steps))


def rules(elements: Mapping[str, Mapping[str, Element]]) -> dict[str, Rules]:
    """Return the rules of each type; a member without a rule is passed over unseen."""
    types: dict[str, Rules] = {name: {} for name in elements}
    for name, members in elements.items():
        for element in members.values():
            types[name] |= _rules(types, element)
    types["Extension"]["url"] = Rule(".url", _content_of_extension, None, None, "")
    nested = types["Extension"]["extension"]
    types["Extension"]["extension"] = nested._replace(check=_extension_without_value)
    return types


def _rules(types: dict[str, Rules], element: Element) -> Rules:
    name, step = element.name, f".{segment(element)}"
    found: Rules = {}
    check = _check(element)
    inside = None if element.type == "Resource" else types.get(element.type)
    if check or element.choice or inside is not None:
        found[name] = Rule(step, check, inside, element.choice, name)
    if element.type not in types:
        aligned = _no_lone_null if element.max != 1 else None
        found[f"_{name}"] = Rule(step, aligned, types["Element"], element.choice, name)
    return found


def _check(element: Element) -> _Check | None:
    if element.type == "xhtml":
        return _xhtml
    if element.type == "Resource":
        return _contained if element.name == "contained" else _resources
    if element.type in _WHOLE:
        return _whole
    if element.type[0].islower() and element.max != 1:
        return _aligned
    return None


def _whole(walk: Walk, data: dict[str, Any], name: str, value: Any, trail: Trail) -> None:  # noqa: ANN401
    """JSON Schema takes 1.0 for an integer, R4 does not."""
    if type(value) is Decimal:
        walk.refuse("value", "A whole number is written without a fraction or exponent", trail)
    elif type(value) is list:
        for index, item in enumerate(value):
            _whole(walk, data, name, item, (trail, f"[{index}]"))
        _aligned(walk, data, name, value, trail)


def _aligned(walk: Walk, data: dict[str, Any], name: str, value: Any, trail: Trail) -> None:  # noqa: ANN401
    """A null among values keeps the place of an item that has only extensions."""
    beside = data.get(f"_{name}")
    if type(value) is not list or (beside is None and None not in value):
        return
    others = beside if type(beside) is list else []
    if beside is not None and len(others) != len(value):
        walk.refuse("structure", "Values and their extensions differ in number", trail)
    for index, item in enumerate(value):
        if item is None and (index >= len(others) or others[index] is None):
            walk.refuse("structure", "null has no extensions beside it", (trail, f"[{index}]"))


def _no_lone_null(walk: Walk, data: dict[str, Any], name: str, value: Any, trail: Trail) -> None:  # noqa: ANN401
    if type(value) is list and None in value and name[1:] not in data:
        text = "null has no value beside it"
        walk.refuse("structure", text, (trail, f"[{value.index(None)}]"))


def _xhtml(walk: Walk, _: dict[str, Any], __: str, value: Any, trail: Trail) -> None:  # noqa: ANN401
    found = problem(value) if type(value) is str and value else None
    if found:
        walk.refuse(found.code, found.text, trail)


def _resources(walk: Walk, _: dict[str, Any], __: str, value: Any, trail: Trail) -> None:  # noqa: ANN401
    if type(value) is dict:
        walk.inline.append((value, trail))


def _contained(walk: Walk, _: dict[str, Any], __: str, value: Any, trail: Trail) -> None:  # noqa: ANN401
    known: set[str] = set()
    for index, item in enumerate(value if type(value) is list else ()):
        if type(item) is not dict:
            continue
        place = (trail, f"[{index}]")
        walk.inline.append((item, place))
        id_ = item.get("id")
        if type(id_) is str:
            if id_ in known:
                walk.refuse("duplicate", "Two contained resources have one id", (place, ".id"))
            known.add(id_)
        if "contained" in item:
            text = "A contained resource contains no other (dom-2)"
            walk.refuse("invariant", text, (place, ".contained"))


def _extension_without_value(
    walk: Walk,
    data: dict[str, Any],
    _: str,
    __: Any,  # noqa: ANN401
    trail: Trail,
) -> None:
    if any(name.startswith(("value", "_value")) for name in data):
        text = "An extension has a value or extensions, not both (ext-1)"
        walk.refuse("invariant", text, trail[0])


def _content_of_extension(
    walk: Walk,
    data: dict[str, Any],
    _: str,
    __: Any,  # noqa: ANN401
    trail: Trail,
) -> None:
    if len(data) == 1 or (len(data) == 2 and "id" in data):  # noqa: PLR2004  (url and id)
        walk.refuse("invariant", "An extension has a value or extensions (ext-1)", trail[0])
