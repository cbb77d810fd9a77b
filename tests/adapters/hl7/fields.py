"""Segments by the numbers of their fields, and members of resources by their paths."""

from typing import Any

from tests.adapters.hl7.reading import MSH


def segment(name: str, **fields: str) -> str:
    """Return a segment of which `f5="x"` sets field 5."""
    values = {int(key.removeprefix("f")): value for key, value in fields.items()}
    parts = [values.get(number, "") for number in range(1, max(values, default=0) + 1)]
    return "|".join([name, *parts])


def header(kind: str) -> str:
    """Return the MSH of a message of this type, such as `OML^O21`."""
    return MSH.replace("ORU^R01", kind)


def dig(node: Any, path: str) -> Any:
    """Return what stands at a path such as `code.coding.0.code`, None where nothing does."""
    for step in path.split("."):
        if isinstance(node, list):
            node = node[int(step)] if int(step) < len(node) else None
        elif isinstance(node, dict):
            node = node.get(step)
        else:
            return None
    return node


def extension(resource: dict[str, Any], url: str) -> list[dict[str, Any]]:
    """Return the extensions whose URL ends so."""
    return [one for one in resource.get("extension", ()) if one["url"].endswith(url)]
