"""Codes that have given properties ($find-matches).

https://hl7.org/fhir/R4/codesystem-operation-find-matches.html
"""

from collections import Counter
from collections.abc import Sequence

from terminology.code_system import Query
from terminology.compose import not_understood
from terminology.filters import Filter, UnsupportedFilter
from terminology.scope import Scope, find_system

MOST = 50
"""Codes in an answer; a property may be had by many more."""
LOOKED_AT = 1000
"""Codes of each property that are ranked."""


async def find_matches(
    scope: Scope,
    url: str,
    version: str | None,
    properties: Sequence[tuple[str, str]],
    *,
    exact: bool,
) -> list[str]:
    """Codes that have all the properties (exact), or as many as possible, the best first.

    Refusal 404 for an unknown system, 422 for an unknown property.
    """
    system = await find_system(scope, url, version)
    filters = [Filter(code, "=", value) for code, value in properties]
    groups = [tuple(filters)] if exact else [(one,) for one in filters]
    counted: Counter[str] = Counter()
    try:
        for group in groups:
            selection = await system.select(Query(filters=group, limit=LOOKED_AT))
            counted.update(one.code for one in selection.concepts)
    except UnsupportedFilter as error:
        raise not_understood(system, error) from error
    return [code for code, _ in counted.most_common(MOST)]
