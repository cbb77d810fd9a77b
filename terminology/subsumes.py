"""How two codes of a system stand to one another ($subsumes).

https://hl7.org/fhir/R4/codesystem-operation-subsumes.html
"""

from terminology.issues import UNPROCESSABLE, Issue, Refusal, not_found
from terminology.scope import Scope, find_system


async def subsumes(scope: Scope, url: str, version: str | None, code_a: str, code_b: str) -> str:
    """`equivalent`, `subsumes` (A is the ancestor), `subsumed-by` or `not-subsumed`.

    Refusal 404 for an unknown system or code, 422 where the hierarchy means something else than
    is-a.
    """
    system = await find_system(scope, url, version)
    if system.head.hierarchy_meaning not in {None, "is-a"}:
        words = "the hierarchy of the code system does not say what a concept is"
        raise Refusal(UNPROCESSABLE, Issue("error", "not-supported", None, words))
    found = await system.find([code_a, code_b])
    if code_a not in found or code_b not in found:
        raise not_found(f"the code system {system.head.canonical} does not know a code")
    one, other = found[code_a].code, found[code_b].code
    if one == other:
        return "equivalent"
    if await system.subsumes(one, other):
        return "subsumes"
    return "subsumed-by" if await system.subsumes(other, one) else "not-subsumed"
