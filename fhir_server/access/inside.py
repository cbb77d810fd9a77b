"""Limits by compartment.

https://hl7.org/fhir/R4/compartmentdefinition.html
"""

from dataclasses import replace

from fhir_server.access.type_sets import ALONGSIDE
from fhir_server.rights import Inside
from fhir_server.search.compartment import Compartment, membership
from fhir_server.search.condition import ALWAYS, NEVER, Condition, Either, Terms
from fhir_server.server import Server

PATIENT = "Patient"


def compiled(server: Server, limit: Inside, type_name: str) -> Condition:
    """Return the condition of belonging to the compartment.

    Types `ALONGSIDE` of a patient's are of no patient, and keep the limit.
    """
    if is_outside(server, limit, type_name):
        return ALWAYS if limit.type == PATIENT and type_name in ALONGSIDE else NEVER
    found = membership(server.registry, Compartment(limit.type, limit.id), (type_name,))
    return _few(found) if limit.type == PATIENT else found


def _few(condition: Condition) -> Condition:
    """Return the condition as one that few resources meet, as they are of one patient."""
    match condition:
        case Terms():
            return replace(condition, few=True)
        case Either(parts):
            return Either(tuple(_few(one) for one in parts))
        case _:
            return condition


def is_outside(server: Server, limit: Inside, type_name: str) -> bool:
    """Return whether the compartment has no resources of the type."""
    known = server.definitions.compartments.get(limit.type, {})
    return type_name != limit.type and not known.get(type_name)
