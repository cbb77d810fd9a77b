"""Whether a code is in a value set, and no more: what a binding asks.

https://hl7.org/fhir/R4/terminologies.html#binding
"""

from dataclasses import replace

from terminology.compose import contains, pins, prepare
from terminology.scope import Scope, find_value_set, resolve


async def is_member(
    scope: Scope, canonical: str, system: str, code: str, version: str | None = None
) -> bool | None:
    """True when the code is in the value set; None when the value set or system is unknown.

    Refusal for a value set that cannot be evaluated.
    """
    value_set = await find_value_set(scope, canonical)
    if value_set is None:
        return None
    scope = replace(scope, strict=False).about(system, version)
    await prepare(scope, value_set)
    known = None
    for pin in pins(scope, value_set, system):
        resolution = await resolve(scope, system, pin)
        if resolution.system is None:
            continue
        concept = (await resolution.system.find([code])).get(code)
        key = (system, resolution.version, concept.code) if concept else None
        if key and await contains(scope, value_set, [key]):
            return True
        known = False
    return known if pins(scope, value_set, system) else False
