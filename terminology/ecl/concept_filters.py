"""Filters `{{ C … }}`: what concepts say of themselves.

https://docs.snomed.org/snomed-ct-specifications/snomed-ct-expression-constraint-language
"""

from terminology.ecl.comparisons import Narrower, at_times, ids, is_active, of_concepts
from terminology.ecl.fragment import Fragment, joined, sql
from terminology.ecl.syntax import Condition, Filter
from terminology.ecl.unsupported import UnsupportedEcl

DEFINED, PRIMITIVE = "900000000000073002", "900000000000074008"
STATUSES = {"defined": DEFINED, "primitive": PRIMITIVE}


def concept_test(narrower: Narrower, asked: Filter) -> Fragment:
    """The condition on `c`, a concept; UnsupportedEcl where nothing is known of it."""
    return joined(" AND ", [_test(narrower, one) for one in asked.conditions])


def _test(narrower: Narrower, one: Condition) -> Fragment:
    match one.name:
        case "active":
            return is_active("c.active", one)
        case "moduleid":
            return _property(narrower, "moduleId", of_concepts(narrower, "p.value_cid", one))
        case "effectivetime":
            return _property(narrower, "effectiveTime", at_times(sql("p.value_text"), one))
    wanted = {STATUSES.get(each, each) for each in ids(one)}
    if one.operator == "!=":
        wanted = {DEFINED, PRIMITIVE} - wanted
    flags = [code == DEFINED for code in sorted(wanted & {DEFINED, PRIMITIVE})]
    is_status = sql("p.value_bool = ANY({}::boolean[])", flags)
    return _property(narrower, "sufficientlyDefined", is_status)


def _property(narrower: Narrower, name: str, test: Fragment) -> Fragment:
    number = narrower.ground.properties.get(name)
    if number is None:
        raise UnsupportedEcl(f"a filter on {name}, of which the content says nothing")
    return sql(
        f"c.cid IN (SELECT p.cid FROM {narrower.ground.table('property')} AS p"
        " WHERE p.prop_id = {}::smallint AND {})",
        number,
        test,
    )
