"""Conditions evaluated on index rows in memory, as SQL evaluates them on tables."""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

from fhir_server import tables
from fhir_server.config import Limits, SearchSettings
from fhir_server.r4.definitions import load
from fhir_server.search.condition import (
    Both,
    Condition,
    Either,
    Ids,
    Named,
    Not,
    Row,
    Terms,
    Test,
    Updated,
)
from fhir_server.search.context import Context
from fhir_server.search.extract import IndexRows, extract
from fhir_server.search.parse import Rules, parse
from fhir_server.search.query import Query
from fhir_server.search.registry import Registry

BASE = "http://testserver/fhir"
REGISTRY = Registry.build(load(), Context(bases=(BASE,)))
INDIAN = Registry.build(load(), Context(bases=(BASE,), zone=ZoneInfo("Asia/Kolkata")))
RULES = Rules(SearchSettings(), Limits())

Json = dict[str, Any]

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "like": lambda value, pattern: bool(re.fullmatch(_regex(pattern), value, re.DOTALL)),
}


def query(type_name: str, text: str, registry: Registry = REGISTRY) -> Query:
    found = parse(registry, type_name, parse_qsl(text, keep_blank_values=True), RULES)
    return replace(found, guard="open")


def finds(text: str, resource: Json, registry: Registry = REGISTRY) -> bool:
    """Return whether the query string `text` on the resource's type finds it."""
    type_name = resource["resourceType"]
    rows = extract(registry, type_name, resource)
    return all(
        holds(condition, rows, resource)
        for condition in query(type_name, text, registry).conditions
    )


def holds(condition: Condition, rows: IndexRows, resource: Json) -> bool:
    match condition:
        case Not(inner):
            return not holds(inner, rows, resource)
        case Either(parts):
            return any(holds(part, rows, resource) for part in parts)
        case Both(parts):
            return all(holds(part, rows, resource) for part in parts)
        case _:
            return _leaf_holds(condition, rows, resource)


def _leaf_holds(
    condition: Terms | Named | Row | Ids | Updated, rows: IndexRows, resource: Json
) -> bool:
    match condition:
        case Terms(alternatives):
            return not set(alternatives).isdisjoint(rows.terms)
        case Named(candidates=candidates):
            return not {term for _, term in candidates}.isdisjoint(rows.terms)
        case Row(table, param, groups):
            return any(_passes(groups, row) for row in _rows(table, param, rows))
        case Ids(ids, types):
            type_id = REGISTRY.context.type_ids[resource["resourceType"]]
            return resource.get("id") in ids and type_id in types
        case Updated(groups):
            moment = datetime.fromisoformat(resource["meta"]["lastUpdated"])
            start = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
            return _passes(groups, {"low": start, "high": start + 1})


def _rows(table: str, param: int, rows: IndexRows) -> list[dict[str, Any]]:
    names = [column.name for column in tables.metadata.tables[table].columns][1:]
    named = [dict(zip(names, row, strict=True)) for row in rows.ranges.get(table, ())]
    return [row for row in named if row["param"] == param]


def _passes(groups: tuple[tuple[Test, ...], ...], row: dict[str, Any]) -> bool:
    return all(
        any(_COMPARE[test.comparison](row[test.column], test.value) for test in group)
        for group in groups
    )


def _regex(pattern: str) -> str:
    pieces = re.findall(r"\\.|%|_|.", pattern, re.DOTALL)
    return "".join(
        ".*" if p == "%" else "." if p == "_" else re.escape(p.removeprefix("\\")) for p in pieces
    )
