"""Limits of grants compiled to conditions on resources of a type.

Each class of limits has one compiler, `compile(server, limit, type_name)`, which returns
the condition that a stored resource of the type meets when it keeps the limit: `ALWAYS`
where the limit says nothing of the type, `NEVER` where none keeps it. It raises
`UnanswerableError` where that cannot be told, and the type is then forbidden. What it returns
may be kept for `restriction.KEPT_SECONDS`, so that what depends on the moment may lag by
that, or is to be told by SQL.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from fhir_server.access import care, consent, inside, labels, matching, release
from fhir_server.rights import (
    Cleared,
    Consented,
    Having,
    Inside,
    Limit,
    Matching,
    Opened,
    Related,
    Released,
)
from fhir_server.search.condition import NEVER, Condition
from fhir_server.server import Server

Compile: TypeAlias = Callable[[Server, Any, str], Condition]

COMPILERS: Mapping[type, Compile] = {
    Matching: matching.compiled,
    Inside: inside.compiled,
    Related: care.related,
    Opened: care.opened,
    Having: care.having,
    Cleared: labels.compiled,
    Released: release.compiled,
    Consented: consent.compiled,
}
"""A limit of which there is no compiler is kept by nothing."""


def compiled(server: Server, limit: Limit, type_name: str) -> Condition:
    """Return the condition that resources of the type which keep the limit meet.

    UnanswerableError where it cannot be told.
    """
    found = COMPILERS.get(type(limit))
    return NEVER if found is None else found(server, limit, type_name)
