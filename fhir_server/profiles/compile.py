"""Profiles made ready to judge by: one part for each element and each slice.

https://hl7.org/fhir/R4/elementdefinition.html
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from fhir_server.profiles.core import PREFIX
from fhir_server.profiles.seams import Json
from fhir_server.profiles.snapshot import found_by_path
from fhir_server.profiles.tree import Definition, Tree
from fhir_server.r4.definitions import load

_MAX_VALUE_SET: Final = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet"
_LATER: Final = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ElementDefinition."
_NEEDS_VALUE: Final = _LATER + "mustHaveValue"
_ALTERNATIVES: Final = _LATER + "valueAlternatives"
_ADDITIONAL: Final = frozenset(
    (
        _LATER + "binding.additional",
        "http://hl7.org/fhir/tools/StructureDefinition/additional-binding",
    )
)
_LANGUAGES: Final = "http://hl7.org/fhir/StructureDefinition/narrative-language-control"
_MIN_LENGTH: Final = "http://hl7.org/fhir/StructureDefinition/minLength"
_VALUES: Final = ("fixed", "pattern", "minValue", "maxValue")
_KNOWN_LIMIT: Final = {"0": 0, "*": None}


@dataclass(frozen=True, slots=True)
class Type:
    """A type that an element may have, with the profiles on it and on what it refers to."""

    code: str
    profiles: tuple[str, ...]
    targets: tuple[str, ...]
    aggregation: frozenset[str]


@dataclass(frozen=True, slots=True)
class Binding:
    """A value set with its strength; `max_value_set` bounds an extensible or preferred one.

    `additional` are value sets that are required besides.
    """

    strength: str
    value_set: str
    max_value_set: str | None
    additional: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """An invariant of a profile."""

    key: str
    severity: str
    text: str
    expression: str


@dataclass(frozen=True, slots=True)
class Discriminator:
    """What tells slices apart: its type and path."""

    type: str
    path: str


@dataclass(frozen=True, slots=True)
class Slicing:
    """How the items of an element are told apart, and whether there may be others."""

    discriminators: tuple[Discriminator, ...]
    rules: str
    ordered: bool


@dataclass(slots=True)
class Part:
    """One element or slice of a profile; `children` and `slices` are parts of their own.

    `min` and `max` are those that differ from the type's own, else 0 and None.
    `like` is the path of the element whose members these are (a contentReference).
    `fixed`, `pattern`, `least` and `most` are pairs of type and value. `alternatives`
    are the URLs of extensions that may stand for a value that is needed; `languages`
    those that a narrative is to have sections of (`_no`, `_yes`, `_resource`).
    """

    name: str
    path: str
    slice: str
    min: int
    max: int | None
    types: tuple[Type, ...]
    fixed: tuple[str, Any] | None
    pattern: tuple[str, Any] | None
    least: tuple[str, Any] | None
    most: tuple[str, Any] | None
    max_length: int | None
    binding: Binding | None
    rules: tuple[Rule, ...]
    slicing: Slicing | None
    min_length: int | None = None
    needs_value: bool = False
    alternatives: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    children: "tuple[Part, ...]" = ()
    slices: "tuple[Part, ...]" = ()
    like: "Part | None" = field(default=None, repr=False)

    def child(self, name: str) -> "Part | None":
        """Return the part of this member, a choice by its name without `[x]`."""
        parts = self.like.children if self.like and not self.children else self.children
        return next((one for one in parts if one.name.removesuffix("[x]") == name), None)

    @property
    def members(self) -> "tuple[Part, ...]":
        """Return the parts of its members."""
        return self.like.children if self.like and not self.children else self.children


@dataclass(frozen=True, slots=True)
class Profile:
    """A compiled StructureDefinition; `own` is False for a type of R4 itself."""

    url: str
    version: str
    type: str
    name: str
    own: bool
    root: Part
    definition: Json = field(repr=False)

    @property
    def canonical(self) -> str:
        """Return its URL with its version."""
        return f"{self.url}|{self.version}" if self.version else self.url


def compiled(definition: Json, tree: Tree) -> Profile:
    """Return the profile with these elements."""
    parts: dict[int, Part] = {}
    root = _part(tree, tree.name, parts)
    _link(tree, tree, parts)
    return Profile(
        url=str(definition.get("url", "")),
        version=str(definition.get("version", "")),
        type=str(definition.get("type", tree.name)),
        name=str(definition.get("name", "")),
        own=definition.get("derivation") == "constraint",
        root=root,
        definition=definition,
    )


def _part(tree: Tree, path: str, parts: dict[int, Part]) -> Part:
    element = tree.definition
    base = element.get("base", {})
    least, most = element.get("min", 0), _limit(element.get("max"))
    values = {stem: _value(element, stem) for stem in _VALUES}
    part = parts[id(tree)] = Part(
        name=tree.name,
        path=path,
        slice=str(element.get("sliceName", "")),
        min=0 if least == base.get("min") and not element.get("sliceName") else least,
        max=None if _same_limit(element, base) else most,
        types=tuple(_type(one) for one in element.get("type", ())),
        fixed=values["fixed"],
        pattern=values["pattern"],
        least=values["minValue"],
        most=values["maxValue"],
        max_length=element.get("maxLength"),
        binding=_binding(element.get("binding")),
        rules=tuple(_rule(one) for one in element.get("constraint", ()) if _adds(one)),
        slicing=_slicing(element.get("slicing")),
        min_length=next(_extended(element, _MIN_LENGTH), None),
        languages=tuple(_extended(element, _LANGUAGES)),
        alternatives=tuple(_extended(element, _ALTERNATIVES)),
        needs_value=any(_extended(element, _NEEDS_VALUE, _ALTERNATIVES)),
    )
    part.children = tuple(
        _part(child, f"{path}.{name}", parts) for name, child in tree.children.items()
    )
    part.slices = tuple(_part(one, path, parts) for one in tree.slices.values())
    return part


def _same_limit(element: Definition, base: Json) -> bool:
    return element.get("max") == base.get("max") and not element.get("sliceName")


def _limit(most: Any) -> int | None:  # noqa: ANN401  (JSON)
    if most is None or most in _KNOWN_LIMIT:
        return _KNOWN_LIMIT.get(most)
    return int(most) if str(most).isdecimal() else None


def _link(tree: Tree, root: Tree, parts: dict[int, Part]) -> None:
    reference = tree.definition.get("contentReference")
    if reference and not tree.children:
        found = found_by_path(root, str(reference).rpartition("#")[2])
        parts[id(tree)].like = parts[id(found)] if found else None
    for child in (*tree.children.values(), *tree.slices.values()):
        _link(child, root, parts)


def _type(type_: Json) -> Type:
    return Type(
        code=str(type_.get("code", "")),
        profiles=tuple(type_.get("profile", ())),
        targets=tuple(type_.get("targetProfile", ())),
        aggregation=frozenset(type_.get("aggregation", ())),
    )


def _value(element: Definition, stem: str) -> tuple[str, Any] | None:
    for key, value in element.items():
        name = key[len(stem) :]
        if key.startswith(stem) and name[:1].isupper():
            return (name, value)
    return None


def _binding(binding: Json | None) -> Binding | None:
    if not binding or "valueSet" not in binding:
        return None
    return Binding(
        binding.get("strength", "example"),
        binding["valueSet"],
        next(_extended(binding, _MAX_VALUE_SET), None),
        tuple(_additional(binding)),
    )


def _extended(holder: Json, *urls: str) -> Iterator[Any]:
    """Yield the values of the extensions with these URLs."""
    for one in holder.get("extension", ()):
        if one.get("url") in urls:
            yield from (value for name, value in one.items() if name.startswith("value"))


def _additional(binding: Json) -> Iterator[str]:
    for one in binding.get("extension", ()):
        if one.get("url") in _ADDITIONAL and "required" in _extended(one, "purpose"):
            yield from _extended(one, "valueSet")


def _adds(rule: Json) -> bool:
    """Return whether a rule can be run, and is none of R4's own, which are judged before."""
    source = str(rule.get("source", ""))
    own = source.startswith(PREFIX) and source.removeprefix(PREFIX) in load().elements
    return "expression" in rule and not own


def _rule(rule: Json) -> Rule:
    return Rule(
        str(rule.get("key", "")),
        str(rule.get("severity", "error")),
        str(rule.get("human", "")),
        str(rule["expression"]),
    )


def _slicing(slicing: Json | None) -> Slicing | None:
    if slicing is None:
        return None
    told = slicing.get("discriminator", ())
    return Slicing(
        tuple(Discriminator(str(one.get("type")), str(one.get("path"))) for one in told),
        str(slicing.get("rules", "open")),
        bool(slicing.get("ordered", False)),
    )
