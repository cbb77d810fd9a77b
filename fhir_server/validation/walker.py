"""What a schema cannot say cheaply, in one pass over a resource.

One type of a choice, nulls in step with their extensions, whole numbers written
whole, XHTML, extensions with a value or with extensions, contained ids.

https://hl7.org/fhir/R4/json.html#primitive
"""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from fhir_server.errors import Issue
from fhir_server.r4.definitions import Element
from fhir_server.r4.walk import segment
from fhir_server.validation.explain import MAX_ISSUES
from fhir_server.validation.narrative import has_content, problem

# A place as a chain that leads back to the root: (before, step).
Trail = tuple[Any, str]
# Told to a check: the walk, the object, the member's name and value, its place.
Check = Callable[["Walk", dict[str, Any], str, Any, Trail], None]
# Told to a check of a whole object: the walk, the object, its place.
_ObjectCheck = Callable[["Walk", dict[str, Any], Trail], None]

_NO_CONTAINED = "A contained resource contains no other"
_NO_VERSION = "A contained resource has no meta.versionId and no meta.lastUpdated"
_NO_LABEL = "A contained resource has no security labels"
_UNLINKED = "A contained resource is referred to from its container, or refers to it"
_WHOLE = frozenset(("integer", "positiveInt", "unsignedInt"))


class Rule(NamedTuple):
    """What to do at a member: check it, go inside, count it as one type of a choice."""

    step: str
    check: Check | None
    inside: "Rules | None"
    choice: str | None
    chosen: str

    @classmethod
    def of(cls, element: Element) -> "Rule":
        """Return the rule of a member that has nothing to be checked yet."""
        return cls(f".{segment(element)}", None, None, element.choice, element.name)


class Rules(dict[str, Rule]):
    """The rules of a type's members by name, and `always` what to ask at each object."""

    __slots__ = ("always",)

    def __init__(self) -> None:
        super().__init__()
        self.always: tuple[_ObjectCheck, ...] = ()


_NOTHING: dict[str, str] = {}
_NO_RESOURCE: dict[str, Any] = {}


class Coded(NamedTuple):
    """A coded value that a value set of the terminology service is to be asked for.

    `codings` are its (system, code) pairs, without a system where the element has none.
    """

    value_set: str
    strength: str
    codings: tuple[tuple[str, str], ...]
    place: str


class Walk:
    """One pass over the resource `data`: `issues` found, `inline` resources met.

    `root` is the resource that contains it, or itself. Invariants are asked
    only of a resource that is `sound`, of the shape that R4 gives it. `urls` are
    the types of what stands in the same Bundle by fullUrl; `coded` are the values
    whose value sets are not known here.
    """

    __slots__ = ("coded", "data", "inline", "issues", "root", "sound", "type", "urls")

    def __init__(
        self,
        type_name: str = "",
        data: dict[str, Any] = _NO_RESOURCE,
        root: dict[str, Any] = _NO_RESOURCE,
        *,
        sound: bool = False,
        urls: Mapping[str, str] = _NOTHING,
    ) -> None:
        self.type = type_name
        self.data = data
        self.root = root
        self.sound = sound
        self.urls = urls
        self.coded: list[Coded] = []
        self.issues: list[Issue] = []
        self.inline: list[tuple[dict[str, Any], Trail, dict[str, Any]]] = []

    def refuse(self, code: str, text: str, trail: Trail) -> None:
        """Note an error at this place, unless there are enough."""
        if len(self.issues) <= MAX_ISSUES:
            self.issues.append(Issue("error", code, text, written(trail)))

    def break_rule(self, key: str, severity: str, text: str, trail: Trail) -> None:
        """Note that an invariant is broken here, once."""
        issue = Issue(severity, "invariant", f"{text} ({key})", written(trail), rule=key)
        if issue not in self.issues and len(self.issues) <= MAX_ISSUES:
            self.issues.append(issue)

    def give_up(self, key: str) -> None:
        """Note that judging an invariant goes over the limits, and ask for no other."""
        self.sound = False
        text = f"The resource is too large to judge an invariant ({key})"
        self.issues.append(Issue("error", "too-costly", text, self.type, rule=key))

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
        for ask in rules.always:
            ask(self, data, trail)

    def _enter(self, rules: Rules, value: object, trail: Trail) -> None:
        if type(value) is dict:
            self.go(rules, value, trail)
        elif type(value) is list:
            for index, item in enumerate(value):
                if type(item) is dict:
                    self.go(rules, item, (trail, f"[{index}]"))


def hang(rules: Rules, element: Element, names: Iterable[str], check: Check) -> None:
    """Run the check at the member of these names, after what is checked there already."""
    for name in names:
        rule = rules.get(name) or Rule.of(element)
        both = _both(rule.check, check) if rule.check else check
        rules[name] = rule._replace(check=both)


def _both(first: Check, second: Check) -> Check:
    def check(walk: Walk, data: dict[str, Any], name: str, value: Any, trail: Trail) -> None:  # noqa: ANN401
        first(walk, data, name, value, trail)
        second(walk, data, name, value, trail)

    return check


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
    types = {name: Rules() for name in elements}
    for name, members in elements.items():
        for element in members.values():
            types[name].update(_rules(types, element))
    types["Extension"]["url"] = Rule(".url", _content_of_extension, None, None, "")
    nested = types["Extension"]["extension"]
    types["Extension"]["extension"] = nested._replace(check=_extension_without_value)
    return types


def _rules(types: dict[str, Rules], element: Element) -> dict[str, Rule]:
    name, step = element.name, f".{segment(element)}"
    found: dict[str, Rule] = {}
    check = _check(element)
    inside = None if element.type == "Resource" else types.get(element.type)
    if check or element.choice or inside is not None:
        found[name] = Rule(step, check, inside, element.choice, name)
    if element.type not in types:
        aligned = _no_lone_null if element.max != 1 else None
        found[f"_{name}"] = Rule(step, aligned, types["Element"], element.choice, name)
    return found


def _check(element: Element) -> Check | None:
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
    elif walk.sound and not has_content(value):
        text = "The narrative SHALL have some non-whitespace content"
        walk.break_rule("txt-2", "error", text, trail)


def _resources(walk: Walk, _: dict[str, Any], __: str, value: Any, trail: Trail) -> None:  # noqa: ANN401
    if type(value) is dict:
        walk.inline.append((value, trail, value))


def _contained(walk: Walk, data: dict[str, Any], _: str, value: Any, trail: Trail) -> None:  # noqa: ANN401
    known: set[str] = set()
    for index, item in enumerate(value if type(value) is list else ()):
        if type(item) is not dict:
            continue
        place = (trail, f"[{index}]")
        walk.inline.append((item, place, walk.root))
        id_ = item.get("id")
        if type(id_) is str:
            if id_ in known:
                walk.refuse("duplicate", "Two contained resources have one id", (place, ".id"))
            known.add(id_)
        if "contained" in item:
            walk.break_rule("dom-2", "error", _NO_CONTAINED, (place, ".contained"))
    if walk.sound and walk.data is walk.root:
        _contained_belong(walk, data, value, trail)


def _contained_belong(walk: Walk, data: dict[str, Any], contained: list[Any], trail: Trail) -> None:
    """Contained resources are part of this one: no versions, no labels, and linked to it."""
    targets = fragments(data)
    for index, item in enumerate(contained):
        place, meta = (trail, f"[{index}]"), item.get("meta", {})
        if "versionId" in meta or "lastUpdated" in meta:
            walk.break_rule("dom-4", "error", _NO_VERSION, (place, ".meta"))
        if "security" in meta:
            walk.break_rule("dom-5", "error", _NO_LABEL, (place, ".meta.security"))
        # What has no id cannot be referred to, although dom-3 as it is written says nothing of it.
        if f"#{item.get('id', '')}" not in targets - {"#"} and "#" not in fragments(item):
            walk.break_rule("dom-3", "error", _UNLINKED, place)


def fragments(data: Any) -> set[str]:  # noqa: ANN401  (JSON)
    """Return each text outside narratives that begins with `#`: references to what is contained."""
    found: set[str] = set()
    ahead = [data]
    while ahead:
        item = ahead.pop()
        if type(item) is dict:
            ahead += item.values()
        elif type(item) is list:
            ahead += item
        elif type(item) is str and item.startswith("#"):
            found.add(item)
    return found


def _extension_without_value(
    walk: Walk,
    data: dict[str, Any],
    _: str,
    __: Any,  # noqa: ANN401
    trail: Trail,
) -> None:
    if any(name.startswith(("value", "_value")) for name in data):
        text = "An extension has a value or extensions, not both"
        walk.break_rule("ext-1", "error", text, trail[0])


def _content_of_extension(
    walk: Walk,
    data: dict[str, Any],
    _: str,
    __: Any,  # noqa: ANN401
    trail: Trail,
) -> None:
    if len(data) == 1 or (len(data) == 2 and "id" in data):  # noqa: PLR2004  (url and id)
        walk.break_rule("ext-1", "error", "An extension has a value or extensions", trail[0])
