"""Who reads AuditEvents: who was given that by name, not who was given all types.

https://profiles.ihe.net/ITI/BALP/content.html
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

from fhir_server.rights import ANY, Grant, Wall

AUDIT_EVENT = "AuditEvent"
SCOPE = "audit"
"""The operator scope of who reads them."""


def reserved(wall: Wall, operator: Collection[str], types: Iterable[str]) -> Wall:
    """Return the wall without the reading of AuditEvents, unless the scope was granted.

    `types` are all resource types. A patient's own compartment keeps them.
    """
    if SCOPE in operator or ANY in operator:
        return wall
    others = [name for name in types if name != AUDIT_EVENT]
    found: list[Grant] = []
    for grant in wall:
        if grant.type == ANY:
            found += [replace(grant, type=name) for name in others]
        if grant.type in {ANY, AUDIT_EVENT}:
            left = "".join(letter for letter in grant.letters if letter not in "rs")
            found += [replace(grant, type=AUDIT_EVENT, letters=left)] if left else []
        else:
            found.append(grant)
    return tuple(found)
