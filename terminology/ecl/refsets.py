"""Members of reference sets, and the inactive concepts that history adds.

https://docs.snomed.org/snomed-ct-specifications/snomed-ct-expression-constraint-language
"""

from collections.abc import Iterable
from decimal import Decimal

from terminology.ecl.comparisons import (
    Narrower,
    about_active,
    at_times,
    is_active,
    items,
    of_concepts,
    signed,
)
from terminology.ecl.fragment import Fragment, joined, sql
from terminology.ecl.hierarchy import related
from terminology.ecl.members import (
    Ground,
    Members,
    among,
    one_of,
    select,
    selected,
)
from terminology.ecl.searches import any_match
from terminology.ecl.syntax import Condition, Filter, MemberOf, Search, Sub
from terminology.ecl.unsupported import UnsupportedEcl

HISTORICAL = "900000000000522004"
"""|Historical association reference set|: those of MAX are below it."""
SAME_AS = "900000000000527005"
REPLACED_BY, WAS_A, PARTIALLY = "900000000000526001", "900000000000528000", "1186924009"
PROFILES = {
    "MIN": (SAME_AS,),
    "MOD": (SAME_AS, REPLACED_BY, WAS_A, PARTIALLY),
    "MAX": (HISTORICAL, SAME_AS, REPLACED_BY, WAS_A, PARTIALLY),
}
# What a member's own row says, beyond the columns of its reference set, is not loaded.
NOT_LOADED = frozenset({"moduleid", "effectivetime", "id"})
NUMBER = r"^[+-]?[0-9]+(\.[0-9]+)?$"


def members_of(
    narrower: Narrower, refsets: Members, function: MemberOf, filters: Iterable[Filter]
) -> Members:
    """What the members of reference sets are about, or name in a field; none of no refset."""
    ground = narrower.ground
    tests = [] if refsets.everything else [among("m.refset", refsets)]
    column, join = _returned(ground, function)
    return selected(
        f"SELECT {column} AS cid FROM {ground.table('refset_member')} AS m {{}} WHERE {{}}",
        join,
        joined(" AND ", [*tests, *_tests(narrower, filters)]),
    )


def _returned(ground: Ground, function: MemberOf) -> tuple[str, Fragment]:
    if function.fields in {(), ("referencedComponentId",)}:
        return "m.cid", sql("")
    if function.fields == ("refsetId",):
        return "m.refset", sql("")
    if function.fields != ("targetComponentId",):
        names = ", ".join(function.fields)
        raise UnsupportedEcl(f"^ [{names}]: fields that are no concepts, or several at once")
    return "t.cid", sql(f"JOIN {ground.table('concept')} AS t ON t.code = m.map_target")


def _tests(narrower: Narrower, filters: Iterable[Filter]) -> list[Fragment]:
    """Conditions on `m`, a member; it is active if they do not say otherwise."""
    own = [one for one in filters if one.kind == "M"]
    tests = [_test(narrower, each) for one in own for each in one.conditions]
    return tests if about_active(own, "M") else [*tests, sql("m.active")]


def _test(narrower: Narrower, one: Condition) -> Fragment:
    if one.name == "active":
        return is_active("m.active", one)
    if one.name.lower() in NOT_LOADED:
        raise UnsupportedEcl(f"a filter on {one.name} of members")
    if one.name == "referencedComponentId":
        return of_concepts(narrower, "m.cid", one)
    return _field_test(narrower, sql("(m.fields ->> {})", one.name), one)


def _field_test(narrower: Narrower, field: Fragment, one: Condition) -> Fragment:
    """A field as what it is compared with: a concept, a number, a truth value, texts, dates."""
    match one.value:
        case Sub() as sub:
            chosen = select(narrower.ground, narrower.members(sub))
            codes = sql(
                f"SELECT o.code FROM {narrower.ground.table('concept')} AS o WHERE o.cid IN ({{}})",
                chosen,
            )
            # A member without the field is of no set, and of no set's complement.
            return sql(
                "({} IS NOT NULL AND {})", field, signed(one, sql("{} IN ({})", field, codes))
            )
        case bool() as flag:
            words = ["1", "true"] if flag else ["0", "false"]
            return signed(one, sql("lower({}) = ANY({}::text[])", field, words))
        case Decimal() as number:
            sign = "<>" if one.operator == "!=" else one.operator
            cast = f"CASE WHEN {{}} ~ {{}} THEN {{}}::numeric {sign} {{}} ELSE FALSE END"
            return sql(cast, field, NUMBER, field, number)
    if isinstance(items(one)[0], Search):
        return signed(one, any_match(field, items(one)))
    return at_times(field, one)


def with_history(ground: Ground, members: Members, refsets: Members) -> Members:
    """The set, and the concepts that historical associations lead from to one of it."""
    added = selected(
        f"SELECT m.cid FROM {ground.table('refset_member')} AS m"
        f" JOIN {ground.table('concept')} AS t ON t.code = m.map_target"
        " WHERE m.active AND {} AND {}",
        among("m.refset", refsets),
        among("t.cid", members),
    )
    return one_of(ground, [members, added])


def history_refsets(ground: Ground, profile: str | None) -> Members:
    """The reference sets of a profile; those that the release has not are left out."""
    profile = profile or "MAX"
    known = (ground.concepts.get(code) for code in PROFILES[profile])
    named = Members(tuple(one.cid for one in known if one))
    return related(ground, "<<", named) if profile == "MAX" else named
