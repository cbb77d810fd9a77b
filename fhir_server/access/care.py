"""Limits by care relationship, by orders, and by an open glass.

https://hl7.org/fhir/R4/careteam.html
"""

from collections.abc import Mapping

from fhir_server.access import openers
from fhir_server.access.inside import PATIENT
from fhir_server.access.matching import compiled as matching
from fhir_server.access.openers import GLASS
from fhir_server.rights import Having, Matching, Opened, Related
from fhir_server.role_settings import CareSettings
from fhir_server.search.care import Kind
from fhir_server.search.condition import (
    ALWAYS,
    NEVER,
    Caring,
    Condition,
    Each,
    Keys,
    Referred,
    Sharing,
)
from fhir_server.server import Server

_DAY = 86_400_000_000
_NAMES = ("patient", "subject")
"""Parameters that say whose a resource is, before those of the compartment."""

CLOSED = Keys(())
"""What an open glass would let through while it is known that none is open: nothing.

Unlike `NEVER`, as the type is among the rights.
"""


def related(server: Server, limit: Related, type_name: str) -> Condition:
    """Return the condition of a relationship now; NEVER for a type that is of no patient."""
    return _caring(server, limit.actors, type_name)


def opened(server: Server, limit: Opened, type_name: str) -> Condition:
    """Return the condition of an open glass; NEVER for a type that is of no patient.

    `CLOSED` where it is known that the person has none open.
    """
    found = _caring(server, (f"{GLASS}{limit.user}",), type_name)
    is_closed = found != NEVER and openers.have_none(server, (limit.user,))
    return CLOSED if is_closed else found


def having(server: Server, limit: Having, type_name: str) -> Condition:
    """Return the condition of a patient who also has such a resource.

    Most of what is looked for is of such patients: each is looked at, instead of gathering all
    that they have, but to be counted.
    """
    sources = params(server, limit.type)
    wanted = matching(server, Matching(limit.pairs), limit.type)
    if not sources:
        return NEVER
    type_ids = server.definitions.type_ids
    if type_name == PATIENT:
        return Each(Referred(sources, type_ids[limit.type], wanted, ALWAYS))
    own = params(server, type_name)
    return Sharing(own, type_ids[PATIENT], sources, wanted) if own else NEVER


def params(server: Server, type_name: str) -> tuple[int, ...]:
    """Return the ids of the parameters that say whose a resource is; none for what is nobody's."""
    registry = server.registry.official
    known, plan = registry.parameters(type_name), registry.plan(type_name)
    codes = [one for one in _NAMES if one in known and PATIENT in known[one].target]
    codes = codes or list(server.definitions.compartments[PATIENT].get(type_name, ()))
    found = (one.id for code in codes for one in plan.indexed.get(code, ()))
    return tuple(dict.fromkeys(found))


def _caring(server: Server, actors: tuple[str, ...], type_name: str) -> Condition:
    own = () if type_name == PATIENT else params(server, type_name)
    if not actors or not (own or type_name == PATIENT):
        return NEVER
    patient = server.definitions.type_ids[PATIENT]
    return Caring(actors, patient, own, *windows(server.settings.security.care))


def windows(settings: CareSettings) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return for how many microseconds before and after it a relationship counts, by kind."""
    early: Mapping[Kind, int] = {Kind.APPOINTMENT: settings.appointment_days}
    late: Mapping[Kind, int] = {
        Kind.ENCOUNTER: settings.encounter_days,
        Kind.APPOINTMENT: settings.appointment_days,
        Kind.ORDER: settings.order_days,
    }
    before, after = (tuple(by.get(kind, 0) * _DAY for kind in Kind) for by in (early, late))
    return before, after
