"""Expression constraints evaluated concept by concept, as the language is described."""

import operator
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from universe import (
    ATTRIBUTES,
    FLAG,
    HISTORICAL,
    NUMBER,
    REPLACED_BY,
    SAME_AS,
    TEXT,
    Description,
    Member,
    Relation,
    Universe,
)

from terminology.ecl.syntax import (
    Attribute,
    Combined,
    Compound,
    Condition,
    Dialect,
    Dotted,
    Expression,
    Filter,
    Group,
    Reference,
    Refined,
    Refinement,
    Search,
    Sub,
    Wildcard,
)

ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
TYPES = {"fsn": "900000000000003001", "syn": "900000000000013009"}
ALIASES = {"en-us": "900000000000509007", "en-gb": "900000000000508004"}
DEFINED, PRIMITIVE = "900000000000073002", "900000000000074008"


def matches(text: str, search: Search) -> bool:
    if search.kind == "wild":
        pattern = ".*".join(re.escape(part) for part in search.text.split("*"))
        return re.fullmatch(pattern, text, re.IGNORECASE) is not None
    present = text.lower().split()
    return all(any(w.startswith(typed.lower()) for w in present) for typed in search.text.split())


class Brute:
    def __init__(self, known: Universe) -> None:
        self.known = known
        self.above = {code: known.ancestors(code) for code in known.concepts}
        self.active = {code for code, one in known.concepts.items() if one.active}

    def members(self, expression: Expression, *, every: bool = False) -> set[str]:
        match expression:
            case Sub():
                return self.sub(expression, every=every)
            case Compound(operator="and"):
                return set.intersection(*(self.sub(one, every=every) for one in expression.parts))
            case Compound(operator="or"):
                return set.union(*(self.sub(one, every=every) for one in expression.parts))
            case Compound():
                first, second = (self.sub(one, every=every) for one in expression.parts)
                return first - second
            case Refined():
                focus = self.sub(expression.focus, every=every)
                return {code for code in focus if self.holds(code, expression.refinement)}
            case Dotted():
                found = self.sub(expression.focus, every=every)
                for name in expression.attributes:
                    names = self.names(name)
                    found = {
                        str(one.value)
                        for one in self.known.relations
                        if one.source in found
                        and one.attribute in names
                        and isinstance(one.value, str)
                    }
                return found if every else found & self.active

    def sub(self, sub: Sub, *, every: bool = False) -> set[str]:
        conditions = [c for one in sub.filters if one.kind == "C" for c in one.conditions]
        every = every or any(c.name == "active" for c in conditions)
        match sub.focus:
            case Reference(code=code):
                found = {code}
            case Wildcard():
                found = set(self.known.concepts) if every else set(self.active)
            case inner:
                assert not isinstance(inner, str)
                found = self.members(inner, every=every or sub.member is not None)  # type: ignore[arg-type]
        if sub.member is not None:
            found = self.member_of(found, sub, everything=sub.focus == Wildcard())
        if sub.operator is not None:
            found = self.related(sub.operator, found)
        if not every:
            found &= self.active
        for one in sub.filters:
            if one.kind != "M":
                found = {code for code in found if self.passes(code, one)}
        return found if sub.history is None else found | self.history(found, sub)

    def related(self, operator: str, found: set[str]) -> set[str]:
        above, edges = self.above, self.known.edges
        strict = operator.removesuffix("!")
        if operator in {"!!>", "!!<"}:
            inner = {a for code in found for a in above[code]}
            if operator == "!!>":
                return {code for code in found if not above[code] & found}
            return found - inner
        own = found if len(strict) == 2 else set()
        if operator.endswith("!"):
            pairs = edges if strict[0] == "<" else {(b, a) for a, b in edges}
            return own | {child for child, parent in pairs if parent in found}
        if strict[0] == "<":
            return own | {code for code in above if above[code] & found}
        return own | {a for code in found for a in above[code]}

    def names(self, name: Sub) -> set[str]:
        return self.sub(name) & {*ATTRIBUTES, NUMBER, TEXT, FLAG}

    def holds(self, code: str, refinement: Refinement) -> bool:
        match refinement:
            case Combined(operator="and"):
                return all(self.holds(code, one) for one in refinement.parts)
            case Combined():
                return any(self.holds(code, one) for one in refinement.parts)
            case Attribute(reverse=True):
                return within(len(self.sources(code, refinement)), refinement)
            case Attribute():
                own = [one for one in self.known.relations if one.source == code]
                return within(self.count(own, refinement), refinement)
            case Group():
                fitting = [
                    one for one in self.groups(code) if self.fits(one, refinement.attributes)
                ]
                return within(len(fitting), refinement)

    def sources(self, code: str, attribute: Attribute) -> set[str]:
        names = self.names(attribute.name)
        assert isinstance(attribute.value, Sub)
        wanted = self.sub(attribute.value)
        return {
            one.source
            for one in self.known.relations
            if one.value == code
            and one.attribute in names
            and (one.source in wanted) is (attribute.operator == "=")
        }

    def groups(self, code: str) -> list[list[Relation]]:
        found: dict[int, list[Relation]] = {}
        for place, one in enumerate(self.known.relations):
            if one.source == code:
                found.setdefault(one.group or -place - 1, []).append(one)
        return list(found.values())

    def fits(self, group: list[Relation], refinement: Refinement) -> bool:
        match refinement:
            case Combined(operator="and"):
                return all(self.fits(group, one) for one in refinement.parts)
            case Combined():
                return any(self.fits(group, one) for one in refinement.parts)
            case Attribute():
                return within(self.count(group, refinement), refinement)
        raise AssertionError(refinement)

    def count(self, relations: list[Relation], attribute: Attribute) -> int:
        names, test = self.names(attribute.name), self.value_test(attribute)
        return sum(one.attribute in names and test(one.value) for one in relations)

    def value_test(self, attribute: Attribute) -> Callable[[object], bool]:
        equal, wanted = attribute.operator == "=", attribute.value
        if isinstance(wanted, Sub):
            codes = self.sub(wanted)
            return lambda value: isinstance(value, str) and (value in codes) is equal
        if isinstance(wanted, bool):
            return lambda value: isinstance(value, bool) and (value is wanted) is equal
        if isinstance(wanted, Decimal):
            order = ORDER[attribute.operator]
            return lambda value: isinstance(value, Decimal) and order(value, wanted)
        return lambda value: (
            isinstance(value, tuple)
            and any(matches(value[0], one) for one in wanted if isinstance(one, Search)) is equal
        )

    def member_of(self, refsets: set[str], sub: Sub, *, everything: bool) -> set[str]:
        assert sub.member is not None
        tests = [c for one in sub.filters if one.kind == "M" for c in one.conditions]
        found = [
            one
            for one in self.known.members
            if (everything or one.refset in refsets)
            and all(self.member_test(one, c) for c in tests)
            and (one.active or any(c.name == "active" for c in tests))
        ]
        if sub.member.fields == ("targetComponentId",):
            return {one.target or "" for one in found} & set(self.known.concepts)
        if sub.member.fields == ("refsetId",):
            return {one.refset for one in found}
        return {one.code for one in found}

    def member_test(self, one: Member, condition: Condition) -> bool:
        equal, wanted = condition.operator == "=", condition.value
        if condition.name == "active":
            return wanted == ("*",) or (one.active is wanted) is equal
        if condition.name == "referencedComponentId":
            assert isinstance(wanted, Sub)
            return (one.code in self.sub(wanted)) is equal
        value = one.fields.get(condition.name)
        if value is None:
            return False
        if isinstance(wanted, Sub):
            return (value in self.sub(wanted)) is equal
        if isinstance(wanted, Decimal):
            return value.isdigit() and ORDER[condition.operator](Decimal(value), wanted)
        assert isinstance(wanted, tuple)
        return any(matches(value, s) for s in wanted if isinstance(s, Search)) is equal

    def passes(self, code: str, asked: Filter) -> bool:
        if asked.kind == "C":
            return all(self.concept_test(code, one) for one in asked.conditions)
        explicit = any(one.name == "active" for one in asked.conditions)
        return any(
            all(self.description_test(each, one) for one in asked.conditions)
            for each in self.known.descriptions
            if each.code == code and (explicit or each.active)
        )

    def concept_test(self, code: str, one: Condition) -> bool:
        concept, equal = self.known.concepts[code], one.operator == "="
        match one.name:
            case "active":
                return one.value == ("*",) or (concept.active is one.value) is equal
            case "effectivetime":
                assert isinstance(one.value, tuple)
                listed = [each.text for each in one.value]  # type: ignore[union-attr]
                if one.operator == "!=":
                    return concept.time not in listed
                return any(ORDER[one.operator](concept.time, each) for each in listed)
            case "moduleid":
                wanted = (
                    self.sub(one.value)
                    if isinstance(one.value, Sub)
                    else {each.code for each in one.value}  # type: ignore[union-attr]
                )
                return (concept.module in wanted) is equal
        return (("defined" if concept.defined else "primitive") in one.value) is equal  # type: ignore[operator]

    def description_test(self, one: Description, condition: Condition) -> bool:
        equal, wanted = condition.operator == "=", condition.value
        if condition.name == "active":
            return wanted == ("*",) or (one.active is wanted) is equal
        assert isinstance(wanted, tuple)
        match condition.name:
            case "term":
                found = any(matches(one.term, each) for each in wanted if isinstance(each, Search))
            case "language":
                found = one.language.split("-")[0] in wanted
            case "type":
                found = one.type in {TYPES[str(each)] for each in wanted}
            case "id":
                found = one.id in wanted
            case _:
                found = any(accepted(one, each) for each in wanted if isinstance(each, Dialect))
        return found is equal

    def history(self, found: set[str], sub: Sub) -> set[str]:
        assert sub.history is not None
        if sub.history.profile == "MIN":
            refsets = {SAME_AS}
        elif sub.history.profile or sub.history.subset == Sub(Wildcard()):
            refsets = {HISTORICAL, SAME_AS, REPLACED_BY}
        else:
            assert sub.history.subset is not None
            refsets = self.members(sub.history.subset, every=True)
        return {
            one.code
            for one in self.known.members
            if one.active and one.refset in refsets and one.target in found
        }


def within(count: int, limits: Attribute | Group) -> bool:
    return limits.low <= count and (limits.high is None or count <= limits.high)


def accepted(one: Description, dialect: Dialect) -> bool:
    name = dialect.name
    code = ALIASES[name] if isinstance(name, str) else name.focus.code  # type: ignore[union-attr]
    said = one.dialects.get(code)
    return said is not None and (not dialect.acceptability or said in dialect.acceptability)
