"""Whether a version that is not the present one would have met a restriction.

Index rows are of present versions only. What an old one said, perhaps of another patient
or under other labels, is judged by the rows that it would have.

https://hl7.org/fhir/R4/http.html#vread
"""

import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

from fhir_server import tables
from fhir_server.r4 import json
from fhir_server.search.condition import (
    Among,
    Both,
    Condition,
    Either,
    Ids,
    Not,
    Row,
    Terms,
    Test,
    Typed,
    Updated,
)
from fhir_server.search.extract import IndexRows, extract
from fhir_server.server import Server

Groups: TypeAlias = tuple[tuple[Test, ...], ...]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LIKE = re.compile(r"\\.|%|_|.", re.DOTALL)
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "is": operator.is_,
    "like": lambda value, pattern: re.fullmatch(_regex(pattern), value, re.DOTALL) is not None,
}


class Version:
    """A version as it lies: its type, its text, and what is found in it when it is asked."""

    def __init__(self, server: Server, type_name: str, body: bytes) -> None:
        self.type_id = server.definitions.type_ids[type_name]
        self.data: dict[str, Any] = json.decode(body)
        self.rows: IndexRows = extract(server.registry, type_name, self.data)
        self.terms = frozenset(self.rows.terms)
        self._patient = server.definitions.type_ids["Patient"]

    @property
    def patients(self) -> frozenset[str]:
        """Return the ids of the patients that it refers to, or is."""
        own = {self.data["id"]} if self.type_id == self._patient else set()
        return frozenset(
            own | {edge.target_id for edge in self.rows.edges if edge.target_type == self._patient}
        )


def holds(version: Version, condition: Condition) -> bool | None:
    """Return whether the version meets the condition; None where its content does not tell."""
    match condition:
        case Not(inner):
            found = holds(version, inner)
            return None if found is None else not found
        case Both(parts):
            return _all(holds(version, one) for one in parts)
        case Either(parts):
            return _any(holds(version, one) for one in parts)
        case _:
            return _leaf(version, condition)


def _all(found: Any) -> bool | None:  # noqa: ANN401  (an iterator)
    answers = set(found)
    return False if False in answers else None if None in answers else True


def _any(found: Any) -> bool | None:  # noqa: ANN401  (an iterator)
    answers = set(found)
    return True if True in answers else None if None in answers else False


def _leaf(version: Version, condition: Condition) -> bool | None:
    found: bool | None = None
    match condition:
        case Terms(alternatives):
            found = not version.terms.isdisjoint(alternatives)
        case Among(text):
            found = not version.terms.isdisjoint(map(int, text.strip("{}").split(",")))
        case Row(table, param, groups):
            found = any(_passes(groups, row) for row in _rows(version, table, param))
        case Ids(ids, types):
            found = version.type_id in types and version.data["id"] in ids
        case Typed(types):
            found = version.type_id in types
        case Updated(groups):
            moment = datetime.fromisoformat(version.data["meta"]["lastUpdated"])
            low = round((moment - _EPOCH).total_seconds() * 1_000_000)
            found = _passes(groups, {"low": low, "high": low + 1})
    return found


def _rows(version: Version, table: str, param: int) -> list[dict[str, Any]]:
    names = [column.name for column in tables.metadata.tables[table].columns][1:]
    named = (dict(zip(names, row, strict=True)) for row in version.rows.ranges.get(table, ()))
    return [row for row in named if row["param"] == param]


def _passes(groups: Groups, row: Mapping[str, Any]) -> bool:
    return all(any(_compared(row[test.column], test) for test in group) for group in groups)


def _compared(value: Any, test: Test) -> bool:  # noqa: ANN401  (of a column)
    return value is not None and _COMPARE[test.comparison](value, test.value)


def _regex(pattern: str) -> str:
    pieces = _LIKE.findall(pattern)
    return "".join(
        ".*" if one == "%" else "." if one == "_" else re.escape(one.removeprefix("\\"))
        for one in pieces
    )
