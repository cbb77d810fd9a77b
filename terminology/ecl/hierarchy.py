"""Constraint operators: descendants, ancestors, the top and bottom of a set.

https://docs.snomed.org/snomed-ct-specifications/snomed-ct-expression-constraint-language
"""

from collections.abc import Callable
from dataclasses import replace

from terminology.ecl.fragment import Fragment, sql
from terminology.ecl.members import EVERYTHING, Ground, Members, among, one_of, select, selected

# The table, the column that is known and the column that is sought.
_STEPS = {
    "<": ("closure", "ancestor", "descendant"),
    ">": ("closure", "descendant", "ancestor"),
    "<!": ("edge", "parent", "child"),
    ">!": ("edge", "child", "parent"),
}
# Of all concepts, those with a parent are below one, those with a child above one.
_OF_ALL = {"<": "<!", ">": ">!"}
_OR_SELF = {"<<": "<", ">>": ">", "<<!": "<!", ">>!": ">!"}
_EXTREMES = {"!!>": ("ancestor", "descendant"), "!!<": ("descendant", "ancestor")}


def related(ground: Ground, operator: str, members: Members) -> Members:
    """The concepts that stand to some concept of the set as the operator says."""
    if operator in _EXTREMES:
        return _extreme(ground, members, *_EXTREMES[operator])
    if operator not in _OR_SELF:
        return _step(ground, operator, members)
    if members.everything:
        return EVERYTHING
    step = _step(ground, _OR_SELF[operator], members)
    found = one_of(ground, [members, step])
    if not _is_single(members):
        return found
    # One concept and what is below it: nothing is twice.
    flat = sql("({}) UNION ALL ({})", select(ground, step), select(ground, members))
    near = _near(ground, members) if operator == "<<" else None
    return replace(found, flat=flat, near=near)


def _near(ground: Ground, members: Members) -> Callable[[str], Fragment] | None:
    """A condition that PostgreSQL evaluates by looking up, or by listing: as there are many."""
    (focus,) = members.listed or (0,)
    if focus not in ground.large:
        return None
    below = f"SELECT FROM {ground.table('closure')} AS n WHERE n.ancestor = {{}} AND n.descendant"
    return lambda column: sql(f"({column} = {{}} OR EXISTS ({below} = {column}))", focus, focus)


def _is_single(members: Members) -> bool:
    return members.listed is not None and len(members.listed) == 1


def _step(ground: Ground, operator: str, members: Members) -> Members:
    operator = _OF_ALL.get(operator, operator) if members.everything else operator
    table, known, sought = _STEPS[operator]
    return selected(
        f"SELECT {sought} AS cid FROM {ground.table(table)} WHERE {{}}",
        among(known, members),
        clean=True,
        once=_is_single(members),
    )


def _extreme(ground: Ground, members: Members, above: str, below: str) -> Members:
    """Those of the set that have no other of it above (or below) them."""
    return selected(
        "WITH own AS MATERIALIZED ({}) SELECT own.cid FROM own WHERE NOT EXISTS"
        f" (SELECT FROM {ground.table('closure')} AS c JOIN own AS other ON other.cid = c.{above}"
        f" WHERE c.{below} = own.cid)",
        select(ground, members),
        clean=members.clean,
        once=members.once,
    )
