"""Sorting.

https://hl7.org/fhir/R4/search.html#sort
"""

from collections.abc import Mapping, Sequence

from fhir_server.errors import BadRequest, NotSupported, SangamError
from fhir_server.search.parameter import Parameter
from fhir_server.search.query import CREATION, CodeKey, ColumnKey, RowKey, ScoreKey, SortKey
from fhir_server.search.registry import Registry

SCORE = "_score"
"""Sorts by how well the words match; the best come first, with or without `-`."""

_COLUMNS: Mapping[str, tuple[str, str]] = {
    "date": ("idx_date", "low"),
    "number": ("idx_number", "low"),
    "quantity": ("idx_quantity", "canonical_low"),
    "string": ("idx_string", "value"),
    "uri": ("idx_string", "value"),
}


def sort_keys(registry: Registry, types: Sequence[str], value: str) -> tuple[SortKey, ...]:
    """Return the keys of `_sort`; a parameter that is unknown or cannot order is refused.

    Intervals sort by where they start.
    """
    return tuple(_key(registry, types, name) for name in value.split(","))


def _key(registry: Registry, types: Sequence[str], name: str) -> SortKey:
    descending = name.startswith("-")
    code = name.removeprefix("-")
    if code == SCORE:
        return ScoreKey()
    if code == "_id":
        return ColumnKey("id", descending)
    if code == "_lastUpdated":
        return ColumnKey("last_updated", descending)
    found = [registry.parameters(t)[code] for t in types if code in registry.parameters(t)]
    kinds = {parameter.type for parameter in found}
    if len(found) < len(types) or len(kinds) > 1:
        raise _unsortable(registry, types, code)
    (kind,) = kinds
    indexed = [one for p in found for one in registry.plan(p.base).indexed[code]]
    params = tuple(dict.fromkeys(one.id for one in indexed))
    if kind in ("token", "reference"):
        return CodeKey(params, descending)
    if kind not in _COLUMNS:
        raise NotSupported("This parameter cannot be sorted by.", expression="_sort")
    table, column = _COLUMNS[kind]
    single = kind in ("date", "number", "quantity") and all(
        registry.plan(p.base).facts[code].single for p in found
    )
    return RowKey(table, column, params, single, descending)


def scored(keys: Sequence[SortKey], query: str) -> tuple[SortKey, ...]:
    """Return the keys with what the words are ranked by; an empty `query` ranks nothing.

    The score of a filter is the same for each match, so it orders nothing.
    """
    found = [ScoreKey(query) if isinstance(key, ScoreKey) else key for key in keys]
    return tuple(key for key in found if key != ScoreKey()) or (CREATION,)


def _unsortable(registry: Registry, types: Sequence[str], code: str) -> SangamError:
    registry.refuse_awaited(types, code, "_sort")
    if "." in code or ":" in code:
        return NotSupported("Sorting by a chain or a modifier is not offered.", expression="_sort")
    first = registry.parameters(types[0])
    known = ", ".join(c for c in registry.common(types) if _orders(first[c]))
    return BadRequest(f"_sort takes {known}, each with '-' to descend.", expression="_sort")


def _orders(parameter: Parameter) -> bool:
    return parameter.type in _COLUMNS or parameter.type in ("token", "reference")
