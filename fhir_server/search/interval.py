"""Comparison of half-open intervals by prefix.

With the searched S = [s, e) and a stored T = [a, b), R4's prose becomes the
table below. https://hl7.org/fhir/R4/search.html#prefix
"""

from fhir_server.search.condition import Scalar, Test

Groups = tuple[tuple[Test, ...], ...]


def span_groups(prefix: str, start: Scalar, end: Scalar) -> Groups:
    """Return the tests on `low` and `high` by which a stored span passes (dates).

    Some tests follow from the others (an interval is never empty) and stand here
    because they bound an index scan.
    """
    starts_in, ends_in = Test("low", ">=", start), Test("high", "<=", end)
    starts_before, ends_after = Test("low", "<", start), Test("high", ">", end)
    table: dict[str, Groups] = {
        "eq": ((starts_in,), (Test("low", "<", end),), (ends_in,)),
        "ne": ((starts_before, ends_after),),
        "gt": ((ends_after,),),
        "lt": ((starts_before,),),
        "ge": ((Test("high", ">", start),), (ends_after, starts_in)),
        "le": ((Test("low", "<", end),), (starts_before, ends_in)),
        "sa": ((Test("low", ">=", end),),),
        "eb": ((Test("high", "<=", start),),),
        "ap": ((Test("low", "<", end),), (Test("high", ">", start),)),
    }
    return table[prefix]


def point_groups(prefix: str, start: str, end: str, column: str = "") -> Groups:
    """Return the tests by which a stored number or range of numbers passes.

    For `eq`, `ne` and `ap` [start, end) is the searched range, else the searched
    number itself: its order key and the next one. `column` is a column prefix.
    """
    low, high = f"{column}low", f"{column}high"
    table: dict[str, Groups] = {
        "eq": ((Test(low, ">=", start),), (Test(low, "<", end),), (Test(high, "<=", end),)),
        "ne": ((Test(low, "<", start), Test(high, ">", end)),),
        "gt": ((Test(high, ">", end),),),
        "lt": ((Test(low, "<", start),),),
        "ge": ((Test(high, ">", start),),),
        "le": ((Test(low, "<", end),),),
        "sa": ((Test(low, ">=", end),),),
        "eb": ((Test(high, "<=", start),),),
        "ap": ((Test(low, "<", end),), (Test(high, ">", start),)),
    }
    return table[prefix]
