"""Which slice an item belongs to.

https://hl7.org/fhir/R4/profiling.html#discriminator
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from fhir_server.fhirpath.model import Model
from fhir_server.profiles.compile import Discriminator, Part, Profile, Slicing, Type
from fhir_server.profiles.place import Item, named
from fhir_server.profiles.profiles import Profiles
from fhir_server.profiles.scope import Scope, kind_named, target
from fhir_server.profiles.seams import Targets
from fhir_server.profiles.values import equal, has_pattern

_STEP: Final = re.compile(
    r"(?P<name>\$?[A-Za-z_][A-Za-z0-9_]*(?:\[x\])?)(?:\((?P<argument>[^)]*)\))?(?:\.|\Z)"
)
_RESOLVE: Final = "resolve()"
_SIMPLE: Final = "http://hl7.org/fhir/StructureDefinition/"


@dataclass(frozen=True, slots=True)
class Ask:
    """What telling slices apart may ask: profiles, targets, bindings, conformance.

    `conforms` tells whether an item meets a profile, `member` whether its code is
    in a value set.
    """

    profiles: Profiles
    targets: Targets
    conforms: Callable[[Profile, Item, Scope], bool]
    member: Callable[[str, Item], bool | None]

    @property
    def model(self) -> Model:
        """Return the types of R4."""
        return self.profiles.model


@dataclass(frozen=True, slots=True)
class _Reached:
    """A part that a path of a discriminator leads to, with the types it may have."""

    part: Part
    types: tuple[Type, ...]


class Fit(Enum):
    """Whether an item is one of a slice; OPEN where that hangs on a target that is not known."""

    YES = 1
    NO = 2
    OPEN = 3


def fit(ask: Ask, part: Part, slicing: Slicing | None, item: Item, scope: Scope) -> Fit:
    """Return whether an item has what makes it one of this slice."""
    discriminators = slicing.discriminators if slicing else ()
    url = extension_url(ask.profiles, part)
    if url is not None and all(one.path == "url" for one in discriminators):
        value = item.node.value
        return Fit.YES if type(value) is dict and value.get("url") == url else Fit.NO
    if discriminators:
        verdicts = [_resolved(ask, one, part, item, scope) for one in discriminators]
    elif part.name.endswith("[x]"):
        verdicts = [_fit(any(_is(ask, type_, item) for type_ in part.types))]
    else:
        verdicts = [_fit(suits(ask, part, item))]
    if Fit.NO in verdicts:
        return Fit.NO
    if Fit.OPEN in verdicts:
        return Fit.OPEN
    return Fit.YES if Fit.YES in verdicts else Fit.NO


def alike(ask: Ask, one: Part, other: Part, slicing: Slicing | None) -> bool:
    """Return whether nothing tells two slices apart, whatever an item has."""
    for discriminator in slicing.discriminators if slicing else ():
        mine = [reached.part for reached in _leads(ask, discriminator.path, one)]
        others = [reached.part for reached in _leads(ask, discriminator.path, other)]
        if len(mine) != len(others) or not all(map(_says_the_same, mine, others)):
            return False
    return bool(slicing and slicing.discriminators)


def _says_the_same(one: Part, other: Part) -> bool:
    if (one.name, one.fixed, one.pattern, one.types, one.max) != (
        other.name,
        other.fixed,
        other.pattern,
        other.types,
        other.max,
    ):
        return False
    if bool(one.min) != bool(other.min) or one.binding != other.binding:
        return False
    mine, others = (*one.children, *one.slices), (*other.children, *other.slices)
    return len(mine) == len(others) and all(map(_says_the_same, mine, others))


def _fit(verdict: bool | None) -> Fit | None:  # noqa: FBT001  (what a judge found)
    return verdict if verdict is None else Fit.YES if verdict else Fit.NO


def extension_url(profiles: Profiles, part: Part) -> str | None:
    """Return the URL that the extensions of a slice have."""
    if part.name not in {"extension", "modifierExtension"}:
        return None
    fixed = part.child("url")
    if fixed is not None and (fixed.fixed or fixed.pattern):
        return str((fixed.fixed or fixed.pattern or ("", ""))[1])
    for type_ in part.types:
        for canonical in type_.profiles:
            known = profiles.get(canonical)
            inner = known.root.child("url") if known else None
            if inner is not None and inner.fixed:
                return str(inner.fixed[1])
            return canonical.partition("|")[0]
    return None


def _resolved(ask: Ask, one: Discriminator, part: Part, item: Item, scope: Scope) -> Fit | None:
    """Return what a discriminator tells, OPEN where it cannot be known; None for nothing."""
    told = _told(ask, one, part, item, scope)
    if told is not None:
        return told
    reached, found = _leads(ask, one.path, part), _found(ask, one.path, item, scope)
    return _fit(_JUDGES.get(one.type, _by_value)(ask, reached, found))


def _told(ask: Ask, one: Discriminator, part: Part, item: Item, scope: Scope) -> Fit | None:
    """Return what the text of a reference tells of a target that is not known.

    None where the target is known, or nothing refers to one. A type that the slice does not
    take is told by the text; where the type is all that is asked, it decides.
    """
    before, step, after = one.path.partition(_RESOLVE)
    if not step:
        return None
    reached = _leads(ask, before, part)
    for reference, around in _found(ask, before, item, scope):
        value = reference.node.value
        text = value.get("reference") if type(value) is dict else value
        known = type(text) is str and (text[:1] == "#" or target(around, text, ask.targets))
        kind = kind_named(ask.model, value)
        if known or not (kind or text):
            continue
        profiles = [ask.profiles.get(url) for each in reached for url in _targets(each)]
        if not kind or None in profiles:
            return Fit.OPEN
        if not any(profile and ask.model.is_a(kind, profile.type) for profile in profiles):
            return Fit.NO if profiles else Fit.OPEN
        return Fit.YES if one.type == "type" and not after else Fit.OPEN
    return None


def _found(ask: Ask, path: str, item: Item, scope: Scope) -> list[tuple[Item, Scope]]:
    """Return the items that a path leads to."""
    found = [(item, scope)]
    for step in _steps(path):
        found = [inner for each in found for inner in _items(ask, step, *each)]
    return found


def _leads(ask: Ask, path: str, part: Part) -> list[_Reached]:
    """Return the parts of a slice that a path leads to."""
    reached = [_Reached(part, part.types)]
    for step in _steps(path):
        reached = [inner for each in reached for inner in _parts(ask, step, each)]
    return reached


def _steps(path: str) -> list[tuple[str, str | None]]:
    return [(found["name"], found["argument"]) for found in _STEP.finditer(path)]


def _by_value(ask: Ask, reached: list[_Reached], found: list[tuple[Item, Scope]]) -> bool | None:
    if any(one.part.max == 0 for one in reached):
        return not found
    if not any(_tells(one.part) for one in reached):
        return None
    return any(suits(ask, one.part, item) is True for one in reached for item, _ in found)


def _by_existence(_: Ask, reached: list[_Reached], found: list[tuple[Item, Scope]]) -> bool | None:
    if any(one.part.max == 0 for one in reached):
        return not found
    return bool(found) if any(one.part.min for one in reached) else None


def _by_type(ask: Ask, reached: list[_Reached], found: list[tuple[Item, Scope]]) -> bool | None:
    types = [type_ for one in reached for type_ in one.types]
    if not types:
        return None
    return any(_is(ask, type_, item) for type_ in types for item, _ in found)


def _by_profile(ask: Ask, reached: list[_Reached], found: list[tuple[Item, Scope]]) -> bool | None:
    canonicals = [url for one in reached for type_ in one.types for url in type_.profiles]
    known = [profile for profile in map(ask.profiles.get, canonicals) if profile]
    if not known:
        return None
    return any(ask.conforms(profile, *one) for profile in known for one in found)


_JUDGES: Final = {
    "value": _by_value,
    "pattern": _by_value,
    "exists": _by_existence,
    "type": _by_type,
    "profile": _by_profile,
}


def _is(ask: Ask, type_: Type, item: Item) -> bool:
    name = item.node.type
    if name == type_.code or type_.code in {"BackboneElement", "Element"}:
        return True
    return type_.code[:1].isupper() and ask.model.is_a(name, type_.code)


def _items(
    ask: Ask, step: tuple[str, str | None], item: Item, scope: Scope
) -> Iterator[tuple[Item, Scope]]:
    name, argument = step
    if name == "$this":
        yield item, scope
    elif name == "resolve" and argument is not None:
        value = item.node.value
        reference = value.get("reference") if type(value) is dict else value
        found = target(scope, reference, ask.targets) if type(reference) is str else None
        if found:
            yield found.scope.resource, found.scope
    elif name in {"ofType", "as"} and argument is not None:
        if item.node.type == argument:
            yield item, scope
    elif name == "extension" and argument is not None:
        for one in named(ask.model, item, "extension"):
            if one.node.value.get("url") == argument.strip("'\""):
                yield one, scope
    else:
        for one in named(ask.model, item, name.removesuffix("[x]")):
            yield one, scope


def _parts(ask: Ask, step: tuple[str, str | None], reached: _Reached) -> Iterator[_Reached]:
    name, argument = step
    if name == "$this":
        yield reached
    elif name == "resolve" and argument is not None:
        yield from _referred(ask, reached)
    elif name in {"ofType", "as"} and argument is not None:
        yield from _of_type(reached, argument)
    elif name == "extension" and argument is not None:
        yield from _extensions(ask, reached, argument.strip("'\""))
    else:
        for part in _children(ask, reached, name.removesuffix("[x]")):
            needed = [one for one in part.slices if one.min]
            for one in needed or [part, *part.slices]:
                yield _Reached(one, one.types)


def _of_type(reached: _Reached, code: str) -> Iterator[_Reached]:
    for one in (reached.part, *reached.part.slices):
        types = tuple(type_ for type_ in one.types if type_.code == code)
        if types:
            yield _Reached(one, types)


def _extensions(ask: Ask, reached: _Reached, url: str) -> Iterator[_Reached]:
    for part in _children(ask, reached, "extension"):
        for one in part.slices:
            if extension_url(ask.profiles, one) == url:
                yield _Reached(one, one.types)


def _targets(reached: _Reached) -> Iterator[str]:
    for type_ in reached.types:
        yield from type_.targets
        if type_.code != "Reference":
            yield from type_.profiles


def _referred(ask: Ask, reached: _Reached) -> Iterator[_Reached]:
    for canonical in _targets(reached):
        profile = ask.profiles.get(canonical)
        if profile:
            yield _Reached(profile.root, (Type(profile.type, (canonical,), (), frozenset()),))


def _children(ask: Ask, reached: _Reached, name: str) -> Iterator[Part]:
    own = reached.part.child(name)
    if own is not None:
        yield own
    profiles = [url for type_ in reached.types for url in type_.profiles]
    if own is None and not profiles:
        profiles = [_SIMPLE + type_.code for type_ in reached.types]
    for canonical in profiles:
        profile = ask.profiles.get(canonical)
        part = profile.root.child(name) if profile else None
        if part is not None:
            yield part


def _tells(part: Part) -> bool:
    """Return whether a part or a member of it says what its value is."""
    bound = part.binding is not None and part.binding.strength == "required"
    return bound or _fixes(part)


def suits(ask: Ask, part: Part, item: Item) -> bool | None:
    """Return whether an item has what is fixed in a part and its members; None for nothing."""
    verdict = _of_itself(ask, part, item)
    if verdict is False:
        return False
    for child in part.members:
        inner = _of_member(ask, child, item)
        if inner is False:
            return False
        verdict = verdict or inner
    return verdict


def _of_itself(ask: Ask, part: Part, item: Item) -> bool | None:
    value = item.node.value
    if part.fixed:
        return equal(value, part.fixed[1])
    if part.pattern:
        return has_pattern(value, part.pattern[1])
    if part.binding and part.binding.strength == "required":
        return ask.member(part.binding.value_set, item) is not False
    return None


def _of_member(ask: Ask, child: Part, item: Item) -> bool | None:
    items = named(ask.model, item, child.name.removesuffix("[x]"))
    verdicts = [suits(ask, child, one) for one in items]
    if not items:
        return False if child.min and _fixes(child) else None
    if False in verdicts:
        return False
    verdict = True if True in verdicts else None
    for one in child.slices:
        if one.min and _fixes(one):
            if not any(suits(ask, one, each) for each in items):
                return False
            verdict = True
    return verdict


def _fixes(part: Part) -> bool:
    if part.fixed or part.pattern:
        return True
    return any(_fixes(child) for child in (*part.children, *part.slices))
