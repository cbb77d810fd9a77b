"""Refinements: the attributes that concepts have, in groups and in numbers.

https://docs.snomed.org/snomed-ct-specifications/snomed-ct-expression-constraint-language
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from terminology.ecl.clauses import CONCEPTS, GROUPS, Clause, always, combined
from terminology.ecl.cursor import InvalidEcl
from terminology.ecl.fragment import Fragment, sql
from terminology.ecl.members import (
    Ground,
    Members,
    among,
    is_once,
    not_among,
    select,
    selected,
)
from terminology.ecl.searches import any_match
from terminology.ecl.syntax import (
    Attribute,
    Combined,
    Group,
    Reference,
    Refinement,
    Sub,
    Wildcard,
)
from terminology.ecl.unsupported import UnsupportedEcl

IS_A = "116680003"


@dataclass(frozen=True, slots=True)
class Refiner:
    """What refinements are evaluated with: `members` answers the expressions in them."""

    ground: Ground
    members: Callable[[Sub], Members]


def refined(refiner: Refiner, focus: Members, refinement: Refinement) -> Members:
    """Those concepts of a set that a refinement holds for."""
    clause = _clause(refiner, focus, refinement)
    ground = refiner.ground
    if clause.inside:
        return selected(
            "SELECT s.cid FROM ({}) AS s WHERE s.cid IN ({})",
            select(ground, focus),
            clause.query,
            clean=focus.clean,
            once=is_once(focus),
        )
    return selected(
        "SELECT s.cid FROM ({}) AS s WHERE NOT EXISTS (SELECT FROM ({}) AS o WHERE o.cid = s.cid)",
        select(ground, focus),
        clause.query,
        clean=focus.clean,
        once=is_once(focus),
    )


def dotted(refiner: Refiner, focus: Members, name: Sub) -> Members:
    """The values that the concepts of a set have of an attribute."""
    return selected(
        f"SELECT p.value_cid AS cid FROM {refiner.ground.table('property')} AS p"
        " WHERE {} AND p.value_cid IS NOT NULL AND {}",
        _named(refiner, name),
        among("p.cid", focus),
        clean=False,
    )


def _clause(refiner: Refiner, focus: Members, refinement: Refinement) -> Clause:
    """What a refinement asks of concepts."""
    match refinement:
        case Attribute(reverse=True):
            return _reverse(refiner, refinement)
        case Attribute():
            rows = _rows(refiner, refinement)
            return _counted(rows, "p.cid AS cid", "p.cid", refinement.low, refinement.high)
        case Group():
            return _grouped(refiner, focus, refinement)
        case Combined():
            clauses = [_clause(refiner, focus, one) for one in refinement.parts]
            return combined(refinement.operator, clauses, CONCEPTS)


def _counted(
    rows: Fragment,
    columns: str,
    keys: str,
    low: int,
    high: int | None,
    counted: str = "count(*)",
) -> Clause:
    """The keys that have between `low` and `high` of the rows."""
    if low == 0 and high is None:
        return always(GROUPS if "solo" in columns else CONCEPTS)
    if low == 0:
        over = sql(f"SELECT {columns} {{}} GROUP BY {keys} HAVING {counted} > {{}}", rows, high)
        return Clause(inside=False, query=over)
    if low == 1 and high is None:
        return Clause(inside=True, query=sql(f"SELECT {columns} {{}}", rows))
    within = sql(f"{counted} >= {{}}", low)
    if high is not None:
        within = sql(f"{{}} AND {counted} <= {{}}", within, high)
    grouped = sql(f"SELECT {columns} {{}} GROUP BY {keys} HAVING {{}}", rows, within)
    return Clause(inside=True, query=grouped)


def _rows(refiner: Refiner, attribute: Attribute) -> Fragment:
    """`FROM … WHERE …`: the relationships that an attribute of a refinement matches."""
    return sql(
        f"FROM {refiner.ground.table('property')} AS p WHERE {{}} AND {{}}",
        _named(refiner, attribute.name),
        _valued(refiner, attribute),
    )


def _named(refiner: Refiner, name: Sub) -> Fragment:
    """The condition that a relationship is one of the attributes meant."""
    ground = refiner.ground
    if name.plain and name.operator is None:
        if isinstance(name.focus, Wildcard):
            return sql("p.prop_id = ANY({}::smallint[])", sorted(ground.attributes))
        if isinstance(name.focus, Reference):
            return _property(ground, name.focus)
    return sql(
        "p.prop_id = ANY(ARRAY(SELECT a.prop_id FROM unnest({}::smallint[], {}::int[])"
        " AS a(prop_id, cid) WHERE {}))",
        list(ground.attributes),
        list(ground.attributes.values()),
        among("a.cid", refiner.members(name)),
    )


def _property(ground: Ground, name: Reference) -> Fragment:
    if name.code == IS_A:
        raise UnsupportedEcl("the attribute 116680003 |Is a|")
    return sql("p.prop_id = {}::smallint", ground.properties.get(name.code, -1))


def _valued(refiner: Refiner, attribute: Attribute) -> Fragment:
    """The condition that a relationship has the value meant."""
    match attribute.value:
        case Sub() as sub:
            values = refiner.members(sub)
            test = among if attribute.operator == "=" else not_among
            return test("p.value_cid", values)
        case bool() as flag:
            return sql("p.value_bool = {}", flag is (attribute.operator == "="))
        case Decimal() as number:
            sign = "<>" if attribute.operator == "!=" else attribute.operator
            return sql(f"p.value_num {sign} {{}}", number)
        case tuple() as texts:
            found = any_match(sql("p.value_text"), texts)
            if attribute.operator == "=":
                return found
            return sql("(p.value_text IS NOT NULL AND NOT {})", found)


def _reverse(refiner: Refiner, attribute: Attribute) -> Clause:
    """The values of an attribute of the concepts meant; a source counts once."""
    if not isinstance(attribute.value, Sub):
        raise InvalidEcl("a reversed attribute compares concepts", attribute.at)
    test = among if attribute.operator == "=" else not_among
    rows = sql(
        f"FROM {refiner.ground.table('property')} AS p"
        " WHERE {} AND p.value_cid IS NOT NULL AND {}",
        _named(refiner, attribute.name),
        test("p.cid", refiner.members(attribute.value)),
    )
    low, high = attribute.low, attribute.high
    sources = "count(DISTINCT p.cid)"
    return _counted(rows, "p.value_cid AS cid", "p.value_cid", low, high, sources)


_SOLO = "CASE WHEN p.group_no = 0 THEN p.ctid ELSE '(0,0)'::tid END"
_GROUP = f"p.cid AS cid, p.group_no AS group_no, {_SOLO} AS solo"
_GROUP_KEYS = f"p.cid, p.group_no, {_SOLO}"


def _grouped(refiner: Refiner, focus: Members, group: Group) -> Clause:
    """Concepts with as many groups as a cardinality says for which all inside holds."""
    found = _in_group(refiner, group.attributes)
    groups = found.query if found.inside else _other_groups(refiner, focus, found.query)
    if (group.low, group.high) == (1, None):
        return Clause(inside=True, query=sql("SELECT g.cid FROM ({}) AS g", groups))
    rows = sql("FROM (SELECT DISTINCT g.cid, g.group_no, g.solo FROM ({}) AS g) AS p", groups)
    return _counted(rows, "p.cid AS cid", "p.cid", group.low, group.high)


def _other_groups(refiner: Refiner, focus: Members, gone: Fragment) -> Fragment:
    """The groups of the concepts of the focus that are not among those."""
    ground = refiner.ground
    whole = sql(
        f"SELECT {_GROUP} FROM {ground.table('property')} AS p"
        " WHERE p.prop_id = ANY({}::smallint[]) AND {}",
        sorted(ground.attributes),
        among("p.cid", focus),
    )
    return combined(
        "and",
        [Clause(inside=True, query=whole), Clause(inside=False, query=gone)],
        GROUPS,
    ).query


def _in_group(refiner: Refiner, refinement: Refinement) -> Clause:
    """What a refinement inside braces asks of groups."""
    match refinement:
        case Attribute(reverse=True):
            raise UnsupportedEcl("a reversed attribute in a group")
        case Attribute():
            rows = _rows(refiner, refinement)
            return _counted(rows, _GROUP, _GROUP_KEYS, refinement.low, refinement.high)
        case Group():
            raise UnsupportedEcl("a group in a group")
        case Combined():
            clauses = [_in_group(refiner, one) for one in refinement.parts]
            return combined(refinement.operator, clauses, GROUPS)
