"""From who somebody is to what they may do: the walls of a caller, put together.

Access is the intersection of the token's scopes, the roles of the user, security labels and
consents; each is a wall of its own, made where its rules are (fhir_server/access).

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from fhir_server.access import audit_reading, consent, labels, role_store, roles, scopes
from fhir_server.access.role_table import RoleTable
from fhir_server.access.roles import Person
from fhir_server.errors import Forbidden
from fhir_server.identity.claims import Claims
from fhir_server.r4 import definitions
from fhir_server.rights import Rights, Wall
from fhir_server.security_settings import SecuritySettings

OWN: Final = ("Patient", "RelatedPerson")
"""Who asks for the own record, or that of a patient for whom they may act."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a person beside the token: roles, and whom they stand for."""

    roles: tuple[str, ...]
    person: Person


def purpose(settings: SecuritySettings, table: RoleTable, known: Known | None) -> str:
    """Return what somebody asks for records for, as a code of v3-PurposeOfUse."""
    if known is None:
        return settings.system_purpose
    if is_own(known.person.user):
        return "PATRQT" if (known.person.user or "").startswith("Patient/") else "FAMRQT"
    return roles.purpose(table, known.roles)


def is_own(user: str | None) -> bool:
    """Return whether a person (a reference) is a patient or acts for one, and is no staff."""
    return (user or "").partition("/")[0] in OWN


def of_token(
    settings: SecuritySettings, table: RoleTable, claims: Claims, known: Known | None
) -> Rights:
    """Return what the holder of a token may do; `known` is None for a system without a user.

    Forbidden where the user has no role, or one that is not known.
    """
    allowed = scopes.wall(claims.scope, claims.patient)
    asked = scopes.operators(claims.scope)
    disclosing = claims.client in settings.consent.disclosed_to
    if known is None:
        cleared = labels.wall(settings.system_clearance, settings.system_sensitivities)
        actors = (f"Device/{claims.client}",)
        agreed = consent.wall(actors, settings.system_purpose, disclosing=disclosing)
        allowed = audit_reading.reserved(allowed, asked, definitions.load().resource_types)
        return Rights((allowed, cleared, agreed), asked)
    if claims.patient is not None and is_own(known.person.user):
        _check_patient(claims.patient, known.person.patients)
    own = of_person(settings, table, known, disclosing=disclosing)
    return Rights((allowed, *own.walls), asked & own.operator)


def of_person(
    settings: SecuritySettings, table: RoleTable, known: Known, *, disclosing: bool = False
) -> Rights:
    """Return what a person may do by their roles alone, as one who is logged in here.

    `disclosing`: by an app of another organisation. Forbidden where they have no role, or one
    that is not known.
    """
    if not known.roles:
        raise Forbidden("You have no role here")
    person = known.person
    asked_for = purpose(settings, table, known)
    walls: tuple[Wall, ...] = (
        roles.wall(table, known.roles, person, role_store.flags(settings.roles)),
        labels.wall(*roles.clearance(table, known.roles), person.user),
        consent.wall(person.actors, asked_for, user=person.user, disclosing=disclosing),
    )
    return Rights(walls, roles.operators(table, known.roles))


def _check_patient(patient: str, patients: Collection[str]) -> None:
    """Refuse a context that is of neither the patient nor one for whom they may act."""
    if patient not in patients:
        raise Forbidden("The token is of another patient")
