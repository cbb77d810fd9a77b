"""Whether somebody may do all that a scope lets through, as who gives it to a system must.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from collections.abc import Iterable

from fhir_server.access.scopes import Scope
from fhir_server.rights import ANY, Cleared, Consented, Grant, Limit, Matching, Rights, Wall


def covers(rights: Rights, scopes: Iterable[Scope]) -> bool:
    """Return whether the rights surely reach as far as the scopes.

    Labels and consents are left aside: they bind the holder of a scope as well, by the
    clearance of systems. Any other limit has to be in the scope word for word.
    """
    return all(_lets(wall, one) for wall in rights.walls for one in scopes)


def _lets(wall: Wall, scope: Scope) -> bool:
    """Return whether one grant or several let each letter of the scope through."""
    letters = "".join(one.letters for one in wall if _is_wide(one, scope))
    return set(scope.letters) <= set(letters)


def _is_wide(grant: Grant, scope: Scope) -> bool:
    return (
        grant.type in {ANY, scope.type}
        and not grant.without
        and all(_binds_alike(one, scope) for one in grant.limits)
    )


def _binds_alike(limit: Limit, scope: Scope) -> bool:
    if isinstance(limit, Matching):
        return set(limit.pairs) <= set(scope.pairs)
    return isinstance(limit, Cleared | Consented)
