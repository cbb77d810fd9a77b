"""Sorting.

https://hl7.org/fhir/R4/search.html#sort
"""

from collections.abc import Mapping

from fhir_server.errors import BadRequest, NotSupported, SangamError
from fhir_server.search.parameter import Parameter
from fhir_server.search.query import CodeKey, ColumnKey, RowKey, SortKey
from fhir_server.search.registry import Registry

_COLUMNS: Mapping[str, tuple[str, str]] = {
    "date": ("idx_date", "low"),
    "number": ("idx_number", "low"),
    "quantity": ("idx_quantity", "canonical_low"),
    "string": ("idx_string", "value"),
    "uri": ("idx_string", "value"),
}


def sort_keys(registry: Registry, type_name: str, value: str) -> tuple[SortKey, ...]:
    """Return the keys of `_sort`; a parameter that is unknown or cannot order is refused.

    Intervals sort by where they start.
    """
    return tuple(_key(registry, type_name, name) for name in value.split(","))


def _key(registry: Registry, type_name: str, name: str) -> SortKey:
    descending = name.startswith("-")
    code = name.removeprefix("-")
    if code == "_id":
        return ColumnKey("id", descending)
    if code == "_lastUpdated":
        return ColumnKey("last_updated", descending)
    parameter = registry.parameters(type_name).get(code)
    if parameter is None:
        raise _unsortable(registry, type_name, code)
    plan = registry.plan(type_name)
    indexed = plan.indexed[code]
    params = tuple(p.id for p in indexed)
    if parameter.type in ("token", "reference"):
        return CodeKey(params, descending)
    if parameter.type not in _COLUMNS:
        raise NotSupported("This parameter cannot be sorted by.", expression="_sort")
    table, column = _COLUMNS[parameter.type]
    single = plan.facts[code].single and parameter.type in ("date", "number", "quantity")
    return RowKey(table, column, params, single, descending)


def _unsortable(registry: Registry, type_name: str, code: str) -> SangamError:
    if "." in code or ":" in code:
        return NotSupported("Sorting by a chain or a modifier is not offered.", expression="_sort")
    known = ", ".join(sorted(c for c, p in registry.parameters(type_name).items() if _orders(p)))
    return BadRequest(f"_sort takes {known}, each with '-' to descend.", expression="_sort")


def _orders(parameter: Parameter) -> bool:
    return parameter.type in _COLUMNS or parameter.type in ("token", "reference")
