"""Filters as conditions on concepts in the database.

https://hl7.org/fhir/R4/valueset-definitions.html#ValueSet.compose.include.filter
"""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation

from terminology.code_system import PropertyDefinition
from terminology.filters import HIERARCHY, OPS, Filter, UnsupportedFilter
from terminology.implicit import SNOMED
from terminology.postgres.conditions import ALWAYS, NEVER, Condition, either, negated
from terminology.postgres.releases import Release

Numbers = Mapping[str, int]
"""Numbers of concepts by the code that a filter names; unknown codes are absent."""

CODE = frozenset({"concept", "code"})


def values(asked: Filter) -> list[str]:
    """The values of a filter: one, or those that commas part."""
    value = asked.value or ""
    if asked.op not in {"in", "not-in"}:
        return [value]
    return list(dict.fromkeys(part.strip() for part in value.split(",")))


def condition(release: Release, asked: Filter, numbers: Numbers) -> Condition:
    """What a filter asks; UnsupportedFilter. Patterns are not evaluated here (patterns.py)."""
    if asked.op not in OPS:
        raise UnsupportedFilter(asked, "the operation is unknown")
    if release.head.url == SNOMED and (asked.property, asked.op) == ("expressions", "="):
        # Expressions are not listed; what is listed is there either way.
        return ALWAYS
    if asked.op in HIERARCHY:
        if asked.property not in CODE:
            raise UnsupportedFilter(asked, "the operation is one of the hierarchy")
        return _hierarchy(release, asked.op, numbers.get(asked.value or ""))
    if asked.op == "exists":
        if asked.value not in {"true", "false"}:
            raise UnsupportedFilter(asked, "the value is neither true nor false")
        present = _present(release, asked)
        return present if asked.value == "true" else negated(present)
    fitting = one_of(release, asked, values(asked), numbers)
    return negated(fitting) if asked.op == "not-in" else fitting


def _hierarchy(release: Release, op: str, number: int | None) -> Condition:
    if number is None:
        return ALWAYS if op == "is-not-a" else NEVER
    sql, *members = (text.format(id=release.id) for text in _HIERARCHY[op])
    return Condition(sql, (number,) * sql.count("%s"), tuple(members))


_BELOW = "SELECT descendant AS cid FROM tx.closure_{id} WHERE ancestor = %s"
_ABOVE = "SELECT ancestor AS cid FROM tx.closure_{id} WHERE descendant = %s"
_IS_BELOW = f"EXISTS ({_BELOW} AND descendant = c.cid)"
_IS_ABOVE = f"EXISTS ({_ABOVE} AND ancestor = c.cid)"
_IS_LEAF = "NOT EXISTS (SELECT FROM tx.edge_{id} WHERE parent = c.cid)"
_SELF = "SELECT %s::int AS cid"
# The condition of one concept, and lists of all.
_HIERARCHY: Mapping[str, tuple[str, ...]] = {
    "is-a": (f"{_IS_BELOW} OR c.cid = %s", _BELOW, _SELF),
    "descendent-of": (_IS_BELOW, _BELOW),
    "is-not-a": (f"NOT {_IS_BELOW} AND c.cid <> %s",),
    "generalizes": (f"{_IS_ABOVE} OR c.cid = %s", _ABOVE, _SELF),
    "child-of": (
        "EXISTS (SELECT FROM tx.edge_{id} WHERE parent = %s AND child = c.cid)",
        "SELECT child AS cid FROM tx.edge_{id} WHERE parent = %s",
    ),
    "descendent-leaf": (f"{_IS_BELOW} AND {_IS_LEAF}",),
}

Role = Callable[[Release, list[str], list[int]], Condition]
"""Concepts by the values of a standard property, as texts and as numbers of concepts."""


def _children(release: Release, _: list[str], parents: list[int]) -> Condition:
    sql = f"c.cid IN (SELECT child FROM tx.edge_{release.id} WHERE parent = ANY(%s::int[]))"
    return Condition(sql, (parents,))


def _parents(release: Release, _: list[str], children: list[int]) -> Condition:
    sql = f"c.cid IN (SELECT parent FROM tx.edge_{release.id} WHERE child = ANY(%s::int[]))"
    return Condition(sql, (children,))


def _below(release: Release, _: list[str], ancestors: list[int]) -> Condition:
    return either(_hierarchy(release, "descendent-of", one) for one in ancestors)


def _column(sql: str) -> Role:
    return lambda _, wanted, __: Condition(f"{sql} = ANY(%s::text[])", (wanted,))


def _flag(sql: str) -> Role:
    return lambda _, wanted, __: Condition(f"({sql})::text = ANY(%s::text[])", (wanted,))


# Properties that are columns or edges, whether declared or not.
ROLES: Mapping[str, Role] = {
    "parent": _children,
    "child": _parents,
    "status": _column("c.status"),
    "inactive": _flag("NOT c.active"),
    "notSelectable": _flag("c.abstract"),
}
# And those which are so only where the code system does not declare them.
UNDECLARED: Mapping[str, Role] = {"ancestor": _below, "definition": _column("c.definition")}


def one_of(release: Release, asked: Filter, wanted: list[str], numbers: Numbers) -> Condition:
    """Concepts whose code, display or property of the filter is one of the values."""
    cids = [numbers[one] for one in wanted if one in numbers]
    if asked.property in CODE:
        return _code_in(release, asked, wanted, cids)
    if asked.property == "display":
        return Condition("c.display = ANY(%s::text[])", (wanted,))
    role = _role(release, asked.property)
    if role is not None:
        return role(release, wanted, cids)
    defined = _defined(release, asked)
    return _rows(release, defined, _values_of(defined, wanted, cids))


def _role(release: Release, name: str) -> Role | None:
    defined = release.head.defined(name)
    return ROLES.get(defined.role) if defined else {**ROLES, **UNDECLARED}.get(name)


def _code_in(release: Release, asked: Filter, wanted: list[str], cids: list[int]) -> Condition:
    """Where the values are reference sets, their members."""
    if asked.op == "=" or not release.refsets.intersection(cids):
        return Condition("c.code = ANY(%s::text[])", (wanted,))
    sql = (
        f"c.cid IN (SELECT cid FROM tx.refset_member_{release.id}"
        " WHERE refset = ANY(%s::int[]) AND active)"
    )
    return Condition(sql, (cids,))


def _defined(release: Release, asked: Filter) -> PropertyDefinition:
    defined = release.head.defined(asked.property)
    if defined is None:
        raise UnsupportedFilter(asked, "the property is unknown")
    return defined


def _rows(release: Release, defined: PropertyDefinition, value: Condition) -> Condition:
    """Concepts that have a row of the property whose value fits."""
    found = f"SELECT cid FROM tx.property_{release.id} WHERE prop_id = %s AND ({value.sql})"
    place = release.head.properties.index(defined)
    return Condition(f"c.cid IN ({found})", (place, *value.parameters))


_SIMPLE = {
    "integer": ("value_num", "numeric"),
    "decimal": ("value_num", "numeric"),
    "boolean": ("value_bool", "boolean"),
    "dateTime": ("coalesce(value_date, value_text)", "text"),
}


def _values_of(defined: PropertyDefinition, wanted: list[str], cids: list[int]) -> Condition:
    if defined.kind in {"code", "Coding"}:
        code = Condition("value_code = ANY(%s::text[])", (wanted,))
        concept = Condition("value_cid = ANY(%s::int[])", (cids,))
        return either([code, concept]) if cids else code
    column, kind = _SIMPLE.get(defined.kind, ("value_text", "text"))
    given = [one for one in map(_READERS.get(kind, str), wanted) if one is not None]
    return Condition(f"{column} = ANY(%s::{kind}[])", (given,))


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


_READERS: Mapping[str, Callable[[str], object]] = {
    "numeric": _number,
    "boolean": {"true": True, "false": False}.get,
}


def _present(release: Release, asked: Filter) -> Condition:
    if asked.property in CODE:
        return ALWAYS
    if asked.property == "display":
        return Condition("c.display <> ''")
    defined = release.head.defined(asked.property)
    role = defined.role if defined else asked.property
    known = _PRESENT.get(role)
    if known:
        return Condition(known.format(id=release.id))
    if defined is None and role == "definition":
        return Condition("c.definition IS NOT NULL")
    return _rows(release, _defined(release, asked), ALWAYS)


_PRESENT = {
    "parent": "EXISTS (SELECT FROM tx.edge_{id} WHERE child = c.cid)",
    "child": "EXISTS (SELECT FROM tx.edge_{id} WHERE parent = c.cid)",
    "status": "c.status IS NOT NULL",
    "inactive": "true",
    "notSelectable": "c.abstract",
}
