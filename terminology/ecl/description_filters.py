"""Filters `{{ D … }}`: what one of the descriptions of a concept must be.

https://docs.snomed.org/snomed-ct-specifications/snomed-ct-expression-constraint-language
"""

from collections.abc import Callable

from terminology.dialects import ALIASES
from terminology.ecl.comparisons import (
    Narrower,
    about_active,
    at_times,
    ids,
    is_active,
    items,
    only_id,
    signed,
)
from terminology.ecl.fragment import Fragment, joined, sql
from terminology.ecl.searches import any_match
from terminology.ecl.syntax import Condition, Dialect, Filter, Sub
from terminology.ecl.unsupported import UnsupportedEcl

TYPES = {"fsn": "900000000000003001", "syn": "900000000000013009", "def": "900000000000550004"}


def description_test(narrower: Narrower, asked: Filter) -> Fragment:
    """The condition on `c`, a concept, that one of its descriptions is all that is asked.

    It is an active one if the filter does not say otherwise.
    """
    tests = [_TESTS[one.name](one) for one in asked.conditions]
    if not about_active([asked], "D"):
        tests.append(sql("d.active"))
    return sql(
        f"c.cid IN (SELECT d.cid FROM {narrower.ground.table('designation')} AS d WHERE {{}})",
        joined(" AND ", tests),
    )


def _term(one: Condition) -> Fragment:
    return signed(one, any_match(sql("d.term"), items(one)))


def _language(one: Condition) -> Fragment:
    """A language covers its regions: `en` is that of `en-GB` too."""
    codes = [str(each) for each in items(one)]
    return signed(one, sql("lower(split_part(d.language, '-', 1)) = ANY({}::text[])", codes))


def _type(one: Condition) -> Fragment:
    return _field("type", [TYPES[str(each)] for each in items(one)], one)


def _field(name: str, values: list[str], one: Condition) -> Fragment:
    return signed(one, sql("d.fields ->> {} = ANY({}::text[])", name, values))


def _dialects(one: Condition) -> Fragment:
    """In the language reference set of one of the dialects, and acceptable enough."""
    tests = [_dialect(each) for each in items(one) if isinstance(each, Dialect)]
    return signed(one, joined(" OR ", tests))


def _dialect(one: Dialect) -> Fragment:
    code = only_id(one.name, "dialectId") if isinstance(one.name, Sub) else ALIASES.get(one.name)
    if code is None:
        raise UnsupportedEcl(f"the dialect alias {one.name}")
    found = sql("d.fields -> 'dialects' ->> {}", code)
    if not one.acceptability:
        return sql("({}) IS NOT NULL", found)
    return sql("coalesce({} = ANY({}::text[]), FALSE)", found, list(one.acceptability))


_TESTS: dict[str, Callable[[Condition], Fragment]] = {
    "term": _term,
    "language": _language,
    "type": _type,
    "typeid": lambda one: _field("type", ids(one), one),
    "dialect": _dialects,
    "dialectid": _dialects,
    "moduleid": lambda one: _field("module", ids(one), one),
    "effectivetime": lambda one: at_times(sql("(d.fields ->> 'effectiveTime')"), one),
    "active": lambda one: is_active("d.active", one),
    "id": lambda one: _field("id", ids(one), one),
}
