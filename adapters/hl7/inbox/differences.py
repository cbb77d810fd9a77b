"""What two versions of a resource differ in, by FHIRPath."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.r4 import json

# The server's own words about a version.
_BESIDE: Final = frozenset(("meta", "text"))


@dataclass(frozen=True, slots=True)
class Difference:
    """An element with its value before and after, None where it has none."""

    path: str
    before: Any
    after: Any


def differences(before: bytes | None, after: bytes | None) -> list[Difference]:
    """Return in which elements two texts of a resource differ, None being no resource."""
    old, new = (_content(raw) for raw in (before, after))
    kind = str((old or new).get("resourceType", ""))
    return list(_compared(kind, old, new))


def _content(raw: bytes | None) -> dict[str, Any]:
    data = json.decode(raw) if raw else {}
    return {name: value for name, value in data.items() if name not in _BESIDE}


def _compared(path: str, before: Any, after: Any) -> Iterator[Difference]:  # noqa: ANN401  (any JSON)
    if before == after:
        return
    if isinstance(before or {}, dict) and isinstance(after or {}, dict):
        old, new = before or {}, after or {}
        for name in dict.fromkeys((*old, *new)):
            yield from _compared(f"{path}.{name}", old.get(name), new.get(name))
    elif isinstance(before or [], list) and isinstance(after or [], list):
        old, new = before or [], after or []
        for index in range(max(len(old), len(new))):
            pair = (one[index] if index < len(one) else None for one in (old, new))
            yield from _compared(f"{path}[{index}]", *pair)
    else:
        yield Difference(path, before, after)
