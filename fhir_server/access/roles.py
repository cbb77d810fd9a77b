"""Roles as grants.

What a role may do is data (role_table.py); this makes rights of it for one person.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

import msgspec

from fhir_server.access import scopes
from fhir_server.access.role_table import CARE, OWN, TREATMENT, USER, WARD, RoleTable, Rule
from fhir_server.errors import Forbidden
from fhir_server.rights import (
    AFTER,
    ANY,
    BEFORE,
    Cleared,
    Grant,
    Having,
    Inside,
    Limit,
    Matching,
    Opened,
    Related,
    Released,
    Reported,
    Wall,
)


@dataclass(frozen=True, slots=True)
class Person:
    """Who has the roles.

    `user` is the reference of the person, `actors` are all references that stand for them
    (themselves, their PractitionerRoles, teams), `wards` those of the places where they work,
    `patients` the ids of the patients for whom they may act.
    """

    user: str | None = None
    actors: tuple[str, ...] = ()
    wards: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()


def wall(table: RoleTable, names: Iterable[str], person: Person, flags: Mapping[str, bool]) -> Wall:
    """Return what the roles of a person let through, one role or another.

    `flags` are the settings that take rules away. Forbidden for a role that the table does
    not have: what it limits is not known.
    """
    found: list[Grant] = []
    for name in names:
        role = table.roles.get(name)
        if role is None:
            raise Forbidden("The role is not known here")
        rules = (one for one in role.grants if not one.unless or flags[one.unless])
        found += [grant for rule in rules for grant in _grants(table, rule, person)]
        if person.user and person.user.startswith("Practitioner"):
            # Not over a label that says so, whatever the clearance.
            opened = (Opened(person.user), Cleared("V", (ANY,), breaking=True))
            found += [Grant(one, "rs", opened) for one in table.types(role.break_glass)]
    return tuple(dict.fromkeys(found))


def operators(table: RoleTable, names: Iterable[str]) -> frozenset[str]:
    """Return the operator scopes that the roles allow."""
    known = (table.roles.get(name) for name in names)
    return frozenset(one for role in known if role for one in role.operator)


def is_staff(table: RoleTable, names: Collection[str]) -> bool:
    """Return whether a second factor is needed: of all but those who have patients' roles only."""
    return not names or any(
        role is None or role.staff for role in (table.roles.get(name) for name in names)
    )


def clearance(table: RoleTable, names: Iterable[str]) -> tuple[str, tuple[str, ...]]:
    """Return the highest confidentiality and the sensitivities that the roles are cleared for."""
    known = [role for name in names if (role := table.roles.get(name))]
    highest = max((role.clearance for role in known), key=_ORDER.index, default="N")
    return highest, tuple(sorted({one for role in known for one in role.sensitivities}))


def may_delegate(table: RoleTable, names: Iterable[str]) -> bool:
    """Return whether a role lets a service be given rights on records that one has not oneself."""
    known = (table.roles.get(name) for name in names)
    return any(role is not None and role.delegates for role in known)


def purpose(table: RoleTable, names: Iterable[str]) -> str:
    """Return what records are asked for (v3-PurposeOfUse): treatment where roles say several."""
    found = {role.purpose for name in names if (role := table.roles.get(name))}
    return found.pop() if len(found) == 1 else TREATMENT


_ORDER = "ULMNRV"
# What is put into a query string must not say more than itself.
_REFERENCE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}", re.ASCII)


def _grants(table: RoleTable, rule: Rule, person: Person) -> Iterator[Grant]:
    if rule.becoming:
        for letter, where in ((BEFORE, rule.where), (AFTER, rule.becoming)):
            once = msgspec.structs.replace(rule, letters=letter, where=where, becoming="")
            yield from _grants(table, once, person)
        return
    limits = _always(rule, person)
    if limits is None:
        return
    reasons = [(one,) for one in _reasons(table, rule, person)] if rule.because else [()]
    for type_name, reason in product(table.types(rule.types), reasons):
        yield Grant(type_name, rule.letters, (*limits, *reason), rule.without)


def _always(rule: Rule, person: Person) -> tuple[Limit, ...] | None:
    """Return the limits that all of a rule has; None when it says nothing of this person."""
    if USER in rule.where and not _REFERENCE.fullmatch(person.user or ""):
        return None
    where = rule.where.replace(USER, person.user or "")
    pairs = scopes.pairs(where) if where else ()
    if pairs is None:
        return None
    matching: tuple[Limit, ...] = (Matching(pairs),) if pairs else ()
    released: tuple[Limit, ...] = (Released(),) if rule.released else ()
    reported: tuple[Limit, ...] = (Reported(),) if rule.reported else ()
    return (*matching, *released, *reported)


def _reasons(table: RoleTable, rule: Rule, person: Person) -> Iterator[Limit]:
    """Yield the limits of which one is enough."""
    related = [*(person.actors if CARE in rule.because else ())]
    related += person.wards if WARD in rule.because else ()
    if related:
        yield Related(tuple(dict.fromkeys(related)))
    if OWN in rule.because:
        yield from (Inside("Patient", one) for one in person.patients)
    for name in rule.because:
        if reason := table.reasons.get(name):
            yield Having(reason.type, scopes.pairs(reason.where) or ())
