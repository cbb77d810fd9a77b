"""Index rows of a resource."""

from typing import Any

import msgspec

from fhir_server.search.registry import Registry
from fhir_server.search.rows import Edge, IndexRows, Rows

__all__ = ["Edge", "IndexRows", "extract"]

_SORT_TABLE = "idx_code"


def extract(registry: Registry, type_name: str, resource: dict[str, Any]) -> IndexRows:
    """Return all index rows of a valid resource: sorted, without doubles, deterministic."""
    rows = Rows(registry.context)
    registry.plan(type_name).write(resource, rows)
    ranges: dict[str, list[tuple[Any, ...]]] = {
        table: sorted(found) for table, found in sorted(rows.ranges.items())
    }
    if rows.codes:
        ranges[_SORT_TABLE] = [_sort_values(rows.codes)]
    return IndexRows(tuple(sorted(rows.terms)), tuple(sorted(rows.edges, key=_order)), ranges)


def _order(edge: Edge) -> tuple[int, int, str, int]:
    param, target_type, target_id, version = edge
    return param, target_type, target_id, version or 0


def _sort_values(codes: dict[int, list[str]]) -> tuple[str, str]:
    """Return {"param": value} as JSON text of the least values, and of the greatest ones.

    The greatest stands only where it is another than the least.
    """
    least, greatest = {}, {}
    for param, found in sorted(codes.items()):
        name, low, high = str(param), min(found), max(found)
        least[name] = low
        if high != low:
            greatest[name] = high
    return msgspec.json.encode(least).decode(), msgspec.json.encode(greatest).decode()
