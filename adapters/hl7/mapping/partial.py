"""Partial updates: what a message says of a resource, what it deletes, and all else kept.

HL7 v2.9 chapter 2, section 2.5.3: an empty field says nothing, `""` deletes.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from adapters.hl7.mapping.context import Json
from adapters.hl7.message.tokenizer import NULL, Segment

_STEP: Final = re.compile(r"(\w+)(?:\(([\w.]+)=([^)]*)\))?\.?")
_CHOICES: Final = (
    "deceased",
    "multipleBirth",
    "onset",
    "performed",
    "effective",
    "value",
    "occurrence",
)
# What has parts that fields of their own fill; other elements are replaced as they are.
_PARTS: Final = frozenset(("hospitalization", "period", "meta"))


def nulls(segment: Segment | None, paths: Mapping[int, tuple[str, ...]]) -> frozenset[str]:
    """Return the paths of the elements whose fields the segment deletes."""
    if segment is None:
        return frozenset()
    gone = (paths[number] for number in paths if segment.raw(number) == NULL)
    return frozenset(path for found in gone for path in found)


def without(resource: Json, paths: Iterable[str]) -> Json:
    """Return the resource without the elements at these paths (see Write.cleared)."""
    for path in paths:
        resource = _removed(resource, [match.groups() for match in _STEP.finditer(path)])
    return resource


def _removed(node: Json, steps: list[tuple[Any, ...]]) -> Json:
    name, selector, wanted = steps[0]
    kept = {k: v for k, v in node.items() if k not in {name, f"_{name}"}}
    value = node.get(name)
    if value is None:
        return kept if len(steps) == 1 and not selector else node
    if isinstance(value, list) and (selector or len(steps) > 1):
        chosen = [not selector or wanted in _leaves(item, selector.split(".")) for item in value]
        if len(steps) == 1:
            value = [item for item, hit in zip(value, chosen, strict=True) if not hit]
        else:
            value = [
                _removed(item, steps[1:]) if hit else item
                for item, hit in zip(value, chosen, strict=True)
            ]
            value = [item for item in value if item]
    elif len(steps) == 1:
        return kept
    else:
        value = _removed(value, steps[1:])
    if not value:
        return kept
    return {**node, name: value}


def _leaves(node: Any, names: list[str]) -> Iterator[Any]:  # noqa: ANN401  (JSON)
    """Yield what stands at the names below a node, in whichever item of a list."""
    if isinstance(node, list):
        for item in node:
            yield from _leaves(item, names)
    elif not names:
        yield node
    elif isinstance(node, dict) and names[0] in node:
        yield from _leaves(node[names[0]], names[1:])


def united(stored: Json, said: Json) -> Json:
    """Return what an update makes of what is stored.

    Elements that the update has replace the stored ones; of lists whose items are of
    different kinds (telecoms by use, extensions by URL, participants by type ...) only
    those kinds that the update has. Identifiers are added.
    """
    merged = dict(stored)
    for name, value in said.items():
        if value is True and _is_told_better(stored, name):
            continue
        _displace(merged, name)
        before = stored.get(name)
        if name in _KINDS and isinstance(before, list):
            items = _still_old(before, value) if name == "identifier" else value
            merged[name] = _by_kind(before, items, _KINDS[name])
        elif name in _PARTS and isinstance(before, dict):
            merged[name] = united(before, value)
        else:
            merged[name] = value
            if f"_{name}" not in said:
                merged.pop(f"_{name}", None)
    return merged


def _still_old(before: list[Json], said: list[Json]) -> list[Json]:
    """Keep identifiers as they are that a merge has ended: who sends them does not know."""
    kind = _KINDS["identifier"]
    old = {kind(one): one for one in before if one.get("use") == "old"}
    return [old.get(kind(one), one) for one in said]


def _is_told_better(stored: Json, name: str) -> bool:
    """Whether "yes, he died" meets the day of his death, or the like."""
    choice = name.removesuffix("Boolean")
    other = (k for k in stored if k.startswith(choice) and k != name)
    return choice in _CHOICES and any(other)


def _displace(merged: Json, name: str) -> None:
    """Remove the other types of a choice, of which a resource has one."""
    for choice in _CHOICES:
        bare = name.removeprefix("_")
        if bare.startswith(choice) and bare[len(choice) :][:1].isupper():
            for other in [k for k in merged if k.removeprefix("_").startswith(choice)]:
                if other.removeprefix("_") != bare:
                    del merged[other]


def _by_kind(before: list[Any], said: list[Any], kind: Callable[[Any], Any]) -> list[Any]:
    """Keep the place of a kind that was there: what did not change writes no version."""
    spoken: dict[str, list[Any]] = {}
    for item in said:
        spoken.setdefault(repr(kind(item)), []).append(item)
    found: list[Any] = []
    for item in before:
        key = repr(kind(item))
        if key not in spoken:
            found.append(item)
        else:
            found += spoken[key]
            spoken[key] = []
    return found + [item for items in spoken.values() for item in items]


def _codes(concepts: Any) -> list[str]:  # noqa: ANN401  (JSON)
    concepts = concepts if isinstance(concepts, list) else [concepts]
    return sorted(str(code) for code in _leaves(concepts, ["coding", "code"]))


def _target(reference: Any) -> Any:  # noqa: ANN401  (JSON)
    return reference.get("reference") or reference.get("display")


_KINDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "identifier": lambda item: (item.get("system"), item.get("value")),
    "extension": lambda item: item.get("url"),
    "telecom": lambda item: (item.get("use"), item.get("system") == "email"),
    "participant": lambda item: _codes(item.get("type", [])),
    "location": lambda item: _target(item.get("location", {})),
    "contact": lambda item: _codes(item.get("relationship", [])),
    "link": lambda item: (item.get("type"), _target(item.get("other", {}))),
    "diagnosis": lambda item: _target(item.get("condition", {})),
    "classHistory": repr,
    "contained": lambda item: item.get("id"),
    "security": lambda item: (item.get("system"), item.get("code")),
    "tag": lambda item: (item.get("system"), item.get("code")),
}
