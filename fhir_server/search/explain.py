"""How a search is carried out, told without a value that was searched or found."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

# What a node of PostgreSQL's plan is and how much it did. Its conditions hold values.
_TOLD = (
    "Node Type",
    "Parent Relationship",
    "Subplan Name",
    "Join Type",
    "Scan Direction",
    "Strategy",
    "Relation Name",
    "Alias",
    "Index Name",
    "CTE Name",
    "Plan Rows",
    "Actual Rows",
    "Actual Loops",
    "Actual Total Time",
    "Rows Removed by Filter",
    "Rows Removed by Index Recheck",
)
_BIND = re.compile(r"CAST\(\$\d+ AS ([A-Za-z_ ]+(?:\[\])?)\)")
_BLANKS = re.compile(r"\s+")


def explained(part: str, sql: str, plan: Mapping[str, Any]) -> dict[str, Any]:
    """Return what to tell of a statement, with `plan` as EXPLAIN (ANALYZE, FORMAT JSON) gives it.

    `part` says which part of the result the statement finds. Values are shown by
    their types; times are milliseconds.
    """
    top = plan["Plan"]
    return {
        "part": part,
        "sql": _BLANKS.sub(" ", _BIND.sub(lambda bind: f"<{bind[1].lower()}>", sql)).strip(),
        "estimatedRows": top["Plan Rows"],
        "actualRows": top["Actual Rows"],
        "planningTime": plan["Planning Time"],
        "executionTime": plan["Execution Time"],
        "path": _node(top),
    }


def text(told: Sequence[Mapping[str, Any]]) -> str:
    """Return what is told of the statements as JSON."""
    return msgspec.json.encode(told).decode()


def _node(node: Mapping[str, Any]) -> dict[str, Any]:
    told = {name: node[name] for name in _TOLD if name in node}
    if "Subplan Name" in told:
        # PostgreSQL 15 adds the number of its result, which looks like a place of a value.
        told["Subplan Name"] = told["Subplan Name"].partition(" (returns ")[0]
    inner = [_node(one) for one in node.get("Plans", ())]
    return {**told, "Plans": inner} if inner else told
