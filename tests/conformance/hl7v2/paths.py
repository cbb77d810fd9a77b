"""Values at the paths that the maps name, references followed."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

Json = dict[str, Any]
_DEPTH: Final = 6
# Whom everything refers to: their values are not the field's.
_AROUND: Final = frozenset(("subject", "patient", "encounter", "target"))


def resources(entries: Iterable[tuple[str, Json]]) -> dict[str, Json]:
    """Return resources by URL, contained ones and merely described ones too."""
    found: dict[str, Json] = {}
    for url, resource in entries:
        whole = _absolute(resource, url)
        found[url] = whole
        for inner in whole.get("contained", ()):
            found[f"{url}#{inner['id']}"] = inner
    return found


def steps(path: str) -> list[str]:
    """Return the steps of a path of a map; a step `>Type` follows a reference."""
    plain = re.sub(r"\[[\d\-a-z]*[\]}]?|:[a-z\-]+", "", path)
    tokens = re.findall(r"\(|[A-Za-z$]\w*", plain)
    found: list[str] = []
    for before, token in zip(["", *tokens], tokens, strict=False):
        if token != "(":
            found.append(f">{token}" if before == "(" else token)
    return found


def at(nodes: Iterable[Any], path: str, known: Mapping[str, Json]) -> list[Any]:
    """Return what stands at the path below the nodes; indices do not count."""
    found = list(nodes)
    for step in steps(path):
        found = [child for node in found for child in _below(node, step, known)]
    return found


def leaves(node: Any, known: Mapping[str, Json], depth: int = 0) -> Counter[str]:
    """Return the values at and below a node, and of what it refers to."""
    found: Counter[str] = Counter()
    if isinstance(node, list):
        for item in node:
            found += leaves(item, known, depth)
    elif isinstance(node, dict):
        if depth < _DEPTH and node.get("reference") in known:
            found += leaves(known[node["reference"]], known, depth + 1)
        for name, value in node.items():
            if name not in _AROUND or depth == 0:
                found += leaves(value, known, depth + 1 if name in _AROUND else depth)
    elif node is not None:
        found[written(node)] += 1
    return found


def written(value: object) -> str:
    """Return a value as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _below(node: Any, step: str, known: Mapping[str, Json]) -> Iterator[Any]:
    if step.startswith("$"):
        yield node
    elif not isinstance(node, dict):
        return
    elif step.startswith(">"):
        yield from _followed(node, step[1:], known)
    else:
        if step not in node and f"_{step}" not in node and node.get("reference") in known:
            node = known[node["reference"]]
        for name in (step, f"_{step}"):
            value = node.get(name)
            if value is not None:
                yield from value if isinstance(value, list) else [value]


def _followed(node: Json, kind: str, known: Mapping[str, Json]) -> Iterator[Json]:
    if "resourceType" in node and node["resourceType"] == kind:
        yield node
    elif "reference" in node:
        found = known.get(node["reference"])
        if found is not None and found["resourceType"] == kind:
            yield found
    elif "identifier" in node or "display" in node:
        if node.get("type", kind) == kind:
            name = {"name": node["display"]} if "display" in node else {}
            identifier = {"identifier": [node["identifier"]]} if "identifier" in node else {}
            yield {"resourceType": kind, **identifier, **name}
    else:
        yield node


def _absolute(node: Any, url: str) -> Any:
    if isinstance(node, dict):
        return {
            name: f"{url}{value}"
            if name == "reference" and isinstance(value, str) and value.startswith("#")
            else _absolute(value, url)
            for name, value in node.items()
        }
    return [_absolute(item, url) for item in node] if isinstance(node, list) else node
