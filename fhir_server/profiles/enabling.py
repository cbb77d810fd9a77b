"""Whether an item of a Questionnaire is enabled by the answers to others.

https://hl7.org/fhir/R4/questionnaire-definitions.html#Questionnaire.item.enableWhen
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from fhir_server.fhirpath.quantity import Units
from fhir_server.profiles.values import compared, equal, quantities

Json = Mapping[str, Any]
_NEVER: Final = datetime(1, 1, 1, tzinfo=UTC)
_ORDERS: Final[Mapping[str, Callable[[int], bool]]] = {
    ">": lambda order: order > 0,
    "<": lambda order: order < 0,
    ">=": lambda order: order >= 0,
    "<=": lambda order: order <= 0,
}


def items_in(holder: Any) -> list[Any]:  # noqa: ANN401  (JSON)
    """Return the items directly in a response, an item or an answer."""
    found = holder.get("item") if type(holder) is dict else None
    return [one for one in found if type(one) is dict] if type(found) is list else []


def answers_of(item: Json) -> list[Any]:
    """Return the answers of an item of a response."""
    found = item.get("answer")
    return [one for one in found if type(one) is dict] if type(found) is list else []


def value_of(holder: Json, stem: str) -> tuple[str, Any] | None:
    """Return the type and value of a choice such as `value` or `answer`."""
    for name, value in holder.items():
        kind = name.removeprefix(stem)
        if kind != name and kind[:1].isupper():
            return (kind[0].lower() + kind[1:] if kind in _PRIMITIVES else kind), value
    return None


_PRIMITIVES: Final = frozenset(
    ("Boolean", "Decimal", "Integer", "Date", "DateTime", "Time", "String", "Uri")
)


def is_enabled(item: Json, response: Json, units: Units) -> bool:
    """Return whether an item of a Questionnaire is enabled in a response."""
    conditions = item.get("enableWhen")
    if type(conditions) is not list or not conditions:
        return True
    met = [_is_met(one, response, units) for one in conditions if type(one) is dict]
    return all(met) if item.get("enableBehavior") == "all" else any(met)


def _is_met(condition: Json, response: Json, units: Units) -> bool:
    given = [
        value
        for found in _named(response, condition.get("question"))
        for one in answers_of(found)
        if (value := value_of(one, "value"))
    ]
    wanted = value_of(condition, "answer")
    operator = condition.get("operator")
    if wanted is None:
        return True
    if operator == "exists":
        return bool(given) is wanted[1]
    return any(_compares(str(operator), one, wanted, units) for one in given)


def _compares(operator: str, given: tuple[str, Any], wanted: tuple[str, Any], units: Units) -> bool:
    if operator in {"=", "!="}:
        return _same(given[1], wanted[1]) is (operator == "=")
    kind, value = given
    if type(value) is dict and type(wanted[1]) is dict:
        order = quantities(value, wanted[1], units)
    else:
        order = compared(kind, value, wanted[1], _NEVER)
    test = _ORDERS.get(operator)
    return order is not None and test is not None and test(order)


def _same(value: Any, other: Any) -> bool:  # noqa: ANN401  (JSON)
    """Return whether an answer is another; codings by system and code."""
    if type(value) is dict and type(other) is dict and "code" in other:
        return all(value.get(name) == other.get(name) for name in ("system", "code"))
    return equal(value, other)


def _named(holder: Json, link_id: object) -> Iterator[Json]:
    ahead: list[Json] = [holder]
    while ahead:
        found = ahead.pop()
        if found.get("linkId") == link_id and found is not holder:
            yield found
        ahead += items_in(found)
        for answer in answers_of(found):
            ahead += items_in(answer)
