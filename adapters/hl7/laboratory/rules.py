"""The judgement whether a result is critical.

What the laboratory says (OBX-8 HH, LL, AA) counts first, then a rule for the code,
then the distance from the reference range.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from adapters.hl7.mapping.code_tables import THO
from adapters.hl7.mapping.sender_rules import Critical, CriticalRule

Json = dict[str, Any]
Level = Literal["high", "low", "abnormal"]

_LEVELS: Final[dict[str, Level]] = {"HH": "high", "LL": "low"}
_SYSTEMS: Final = frozenset((THO + "v3-ObservationInterpretation", THO + "v2-0078"))
# Nothing was measured, or what was measured is taken back.
_NOT_JUDGED: Final = frozenset(("registered", "cancelled", "entered-in-error"))


@dataclass(frozen=True, slots=True)
class Person:
    """What rules ask of the patient; "" and None where it is not known."""

    sex: str = ""
    age: Decimal | None = None


NOBODY: Final = Person()


@dataclass(frozen=True, slots=True)
class Span:
    """The values that a result may have: one, or all beyond one that it excludes."""

    low: Decimal | None
    high: Decimal | None
    open: bool

    def above(self, limit: Decimal) -> bool:
        """Whether all of them are above the limit."""
        if self.low is None:
            return False
        return self.low >= limit if self.open else self.low > limit

    def below(self, limit: Decimal) -> bool:
        """Whether all of them are below the limit."""
        if self.high is None:
            return False
        return self.high <= limit if self.open else self.high < limit

    def reaches(self, limit: Decimal) -> bool:
        """Whether none of them is below the limit."""
        return self.low is not None and self.low >= limit

    def stays_under(self, limit: Decimal) -> bool:
        """Whether none of them is above the limit."""
        return self.high is not None and self.high <= limit


def span(quantity: Json) -> Span | None:
    """Return what a Quantity may be, by its comparator; None without a value."""
    found = quantity.get("value")
    if found is None:
        return None
    value = Decimal(str(found))
    comparator = quantity.get("comparator", "")
    low = None if comparator in {"<", "<="} else value
    high = None if comparator in {">", ">="} else value
    return Span(low, high, comparator in {"<", ">"})


def asks_for_person(observation: Json, agreed: Critical) -> bool:
    """Whether a rule for this code asks for the patient's age or sex."""
    return any(
        (rule.sex or rule.from_age is not None or rule.to_age is not None)
        and _names(rule, observation)
        for rule in agreed.rules
    )


def judge(observation: Json, agreed: Critical, person: Person = NOBODY) -> Level | None:
    """Return how critical an Observation is, None where it is not.

    One that was only registered, cancelled or entered in error is not, whatever its
    value says.
    """
    if observation.get("status") in _NOT_JUDGED:
        return None
    flagged = _flagged(observation, agreed.codes)
    if flagged is not None:
        return flagged
    for quantity in _quantities(observation):
        found = span(quantity)
        if found is None:
            continue
        level = _by_quantity(observation, quantity, found, agreed, person)
        if level is not None:
            return level
    return None


def _flagged(observation: Json, codes: frozenset[str]) -> Level | None:
    for concept in observation.get("interpretation", ()):
        for coding in concept.get("coding", ()):
            code = coding.get("code", "")
            if code in codes and coding.get("system") in _SYSTEMS:
                return _LEVELS.get(code, "abnormal")
    return None


def _quantities(observation: Json) -> Iterator[Json]:
    for holder in (observation, *observation.get("component", ())):
        if quantity := holder.get("valueQuantity"):
            yield quantity


def _by_quantity(
    observation: Json, quantity: Json, found: Span, agreed: Critical, person: Person
) -> Level | None:
    meant = [r for r in agreed.rules if _names(r, observation) and _fits(r, quantity, person)]
    if meant:  # the laboratory has thought about this code
        return _by_rules(meant, found)
    return _by_ranges(observation, quantity, found, agreed)


def _by_rules(rules: Sequence[CriticalRule], found: Span) -> Level | None:
    for rule in rules:
        if rule.high is not None and found.reaches(rule.high):
            return "high"
        if rule.low is not None and found.stays_under(rule.low):
            return "low"
    return None


def _by_ranges(observation: Json, quantity: Json, found: Span, agreed: Critical) -> Level | None:
    for reference in observation.get("referenceRange", ()):
        high = _limit(reference.get("high"), quantity, agreed.above_percent)
        if high is not None and found.above(high):
            return "high"
        low = _limit(reference.get("low"), quantity, agreed.below_percent)
        if low is not None and found.below(low):
            return "low"
    return None


def _limit(limit: Json | None, quantity: Json, percent: Decimal | None) -> Decimal | None:
    """Return a percentage of a limit in the value's unit; one of zero or less has none."""
    if limit is None or not percent or "value" not in limit:
        return None
    value = Decimal(str(limit["value"]))
    return (
        value * percent / 100 if value > 0 and limit.get("unit") == quantity.get("unit") else None
    )


def _names(rule: CriticalRule, observation: Json) -> bool:
    return any(
        coding.get("code") == rule.code and rule.system in ("", coding.get("system"))
        for coding in observation.get("code", {}).get("coding", ())
    )


def _fits(rule: CriticalRule, quantity: Json, person: Person) -> bool:
    if rule.unit and rule.unit not in (quantity.get("unit"), quantity.get("code")):
        return False
    if rule.sex and rule.sex != person.sex:
        return False
    if rule.from_age is None and rule.to_age is None:
        return True
    if person.age is None or (rule.from_age is not None and person.age < rule.from_age):
        return False
    return rule.to_age is None or person.age < rule.to_age
