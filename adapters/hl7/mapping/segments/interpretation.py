"""OBX-8 where it is empty: what the reference range says of a value.

https://hl7.org/fhir/R4/observation-definitions.html#Observation.interpretation
"""

from decimal import Decimal
from typing import Final

from adapters.hl7.mapping.code_tables import THO
from adapters.hl7.mapping.context import Json

COMPUTED: Final = "Computed from the reference range"
_STRICT: Final = ("<=", ">=")
_CONCEPT: Final[dict[str, list[Json]]] = {
    code: [
        {
            "coding": [
                {
                    "system": THO + "v3-ObservationInterpretation",
                    "code": code,
                    "userSelected": False,
                }
            ],
            "text": COMPUTED,
        }
    ]
    for code in ("H", "L", "N")
}


def computed(resource: Json) -> list[Json]:
    """Return the interpretation of a quantity by its range, [] where these do not tell.

    `userSelected` false and the text say that nobody at the laboratory said so.
    """
    quantity = resource.get("valueQuantity")
    ranges = resource.get("referenceRange", ())
    if quantity is None or len(ranges) != 1:
        return []
    code = _code(quantity, ranges[0])
    return _CONCEPT[code] if code else []


def _code(quantity: Json, limits: Json) -> str:
    low, high = (_limit(limits, name) for name in ("low", "high"))
    if low is None and high is None:
        return ""
    value, comparator = Decimal(quantity["value"]), quantity.get("comparator", "")
    text = limits["text"].strip()
    # The limits of `a-b` belong to the range; those of `<b` and `>a` do not.
    open_ = text[:1] in {"<", ">"} and text[:2] not in _STRICT
    reaching = open_ or comparator in {"<", ">"}
    if (
        high is not None
        and comparator not in {"<", "<="}
        and _exceeds(value, high, reaching=reaching)
    ):
        return "H"
    if (
        low is not None
        and comparator not in {">", ">="}
        and _exceeds(low, value, reaching=reaching)
    ):
        return "L"
    return "N" if _is_inside(value, comparator, low, high) else ""


def _limit(limits: Json, name: str) -> Decimal | None:
    return limits[name]["value"] if name in limits else None


def _exceeds(one: Decimal, other: Decimal, *, reaching: bool) -> bool:
    return one > other or (reaching and one == other)


def _is_inside(value: Decimal, comparator: str, low: Decimal | None, high: Decimal | None) -> bool:
    """Whether all values that it may be are in the range."""
    if comparator in {"<", "<="}:
        return low is None and high is not None and value <= high
    if comparator in {">", ">="}:
        return high is None and low is not None and value >= low
    return True
