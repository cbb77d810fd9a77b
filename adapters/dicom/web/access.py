"""Who may see and change which study: every path of DICOMweb asks here before it reads.

Studies are what their ImagingStudy and its patient are: who may not read both may not know
of the study. Until there is an ImagingStudy of it, and while no patient is known, it is for
callers whose rights have no limits.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final, TypeGuard

from starlette.requests import Request

from adapters.dicom.query.conditions import Condition
from fhir_server.access.openers import GLASS
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Forbidden, NotFound
from fhir_server.identity.doors import caller_of
from fhir_server.interactions.visibility import require_reached, visible
from fhir_server.rights import (
    ANY,
    Grant,
    Having,
    Inside,
    Limit,
    Matching,
    Opened,
    Related,
    is_wide,
)
from fhir_server.server import Server

TYPE: Final = "ImagingStudy"
READ, SEARCH, CREATE, UPDATE = "r", "s", "c", "u"
OPERATOR: Final = "dicom"
"""The operator scope of who keeps the archive."""

_PATIENT: Final = "substr(s.patient, 9)"
_SEEN: Final = "SELECT 1 FROM dicom_study s WHERE s.study_instance_uid = %s AND "
_IS_SHOWN: Final = (
    "SELECT 1 FROM dicom_study WHERE study_instance_uid = %s AND imaging_study IS NOT NULL"
)
_SHOWN_AS: Final = """
SELECT imaging_study, substr(patient, 9) FROM dicom_study WHERE study_instance_uid = ANY (%s)
"""
# Of times nothing is said: whoever had to do with one of these once.
_CARED_FOR: Final = """
SELECT DISTINCT 'Patient/' || patient FROM idx_care WHERE actor = ANY(%s::text[]) LIMIT %s
"""
_MOST_PATIENTS: Final = 2_000
"""Of more than so many the newest studies are found sooner by their days."""
_UNKNOWN: Final = "There is no such study"


def caller(request: Request) -> Caller:
    """Return who asks."""
    return replace(caller_of(request.scope), door="dicomweb")


async def wall(
    server: Server, connection: Connection, who: Caller, letter: str
) -> tuple[Condition, ...]:
    """Return what a row `s` of dicom_study must meet for the caller to know of it."""
    if not who.rights.walls:
        return ()
    each = not _is_by_search(who, letter)
    study = await visible(server, connection, who, TYPE, letter, "s.imaging_study", each=each)
    patient = await visible(server, connection, who, "Patient", READ, _PATIENT, each=True)
    named = Condition("starts_with(s.patient, 'Patient/')")
    patients = _bound(who, letter) or await _cared_for(connection, _caring(who, letter))
    if patients is not None:
        # The tests say so too, but no index leads from them to some patients' few studies.
        named = Condition("s.patient = ANY(%s::text[])", (patients,))
    return (named, Condition(*study), Condition(*patient))


async def _cared_for(connection: Connection, actors: list[str]) -> list[str] | None:
    """Return the patients with whom one of these may have to do, None where it says nothing."""
    if not actors:
        return None
    cursor = await connection.execute(_CARED_FOR, (actors, _MOST_PATIENTS + 1))
    found = [str(row[0]) for row in await cursor.fetchall()]
    return None if len(found) > _MOST_PATIENTS else found


def _is_by_search(who: Caller, letter: str) -> bool:
    """Return whether it is matched which studies the caller sees, and they may be few."""
    limits = {type(x) for some in _grants(who, letter) for one in some for x in one.limits}
    return not limits.isdisjoint((Matching, Having))


def _bound(who: Caller, letter: str) -> list[str]:
    """Return the patients to whose studies some wall binds the caller, none where none does."""
    for grants in _grants(who, letter):
        inside = [[x.id for x in each.limits if _is_patient(x)] for each in grants]
        if inside and all(inside):
            return sorted({f"Patient/{id_}" for ids in inside for id_ in ids})
    return []


def _caring(who: Caller, letter: str) -> list[str]:
    """Return the actors to whose patients some wall binds the caller, none where none does."""
    for grants in _grants(who, letter):
        found = [[*_actors(each.limits)] for each in grants]
        if found and all(found):
            return sorted({actor for actors in found for actor in actors})
    return []


def _grants(who: Caller, letter: str) -> Iterator[list[Grant]]:
    """Yield of each wall the grants that let studies through."""
    for one in who.rights.walls:
        yield [each for each in one if letter in each.letters and each.type in {TYPE, ANY}]


def _actors(limits: Iterable[Limit]) -> Iterator[str]:
    for one in limits:
        if isinstance(one, Related):
            yield from one.actors
        elif isinstance(one, Opened):
            yield f"{GLASS}{one.user}"


def _is_patient(limit: Limit) -> TypeGuard[Inside]:
    return isinstance(limit, Inside) and limit.type == "Patient"


async def _is_seen(
    server: Server, connection: Connection, who: Caller, study: str, letter: str
) -> bool:
    conditions = await wall(server, connection, who, letter)
    if not conditions:
        return True
    tests = " AND ".join(one.sql for one in conditions)
    values = (study, *(value for one in conditions for value in one.values))
    # Planned for its own values, as searches are.
    cursor = await connection.execute(_SEEN + tests, values, prepare=False)
    return await cursor.fetchone() is not None


async def check(
    server: Server, connection: Connection, who: Caller, study: str, letter: str = READ
) -> None:
    """Raise NotFound where the caller may not know of the study."""
    if not await _is_seen(server, connection, who, study, letter):
        raise NotFound(_UNKNOWN)


async def require_reached_all(server: Server, who: Caller, studies: Iterable[str]) -> None:
    """Raise HiddenError where the second wall keeps back what one of the studies (UIDs) is."""
    if not who.rights.walls:
        return
    # Who waits for a connection behind the wall holds none before it.
    async with server.database.connection() as connection:
        rows = await (await connection.execute(_SHOWN_AS, (sorted(set(studies)),))).fetchall()
    places = [(TYPE, row[0] or "") for row in rows] + [("Patient", row[1] or "") for row in rows]
    await require_reached(server, who, places)


async def check_change(server: Server, connection: Connection, who: Caller, study: str) -> None:
    """Raise NotFound where the caller may not know of the study, Forbidden where not change it.

    Who may update its ImagingStudy changes it, by all that limits this, and who keeps the
    archive (the operator scope `dicom`).
    """
    if is_keeper(who) or await _is_seen(server, connection, who, study, UPDATE):
        return
    await check(server, connection, who, study)
    raise Forbidden("Your rights do not let you change this study")


async def may_add(server: Server, connection: Connection, who: Caller, study: str) -> bool:
    """Return whether somebody who may bring studies may add to this one.

    One that is shown by an ImagingStudy he has to be able to change; what nobody has looked
    at yet is as new.
    """
    if is_keeper(who):
        return True
    row = await (await connection.execute(_IS_SHOWN, (study,))).fetchone()
    return row is None or await _is_seen(server, connection, who, study, UPDATE)


def is_keeper(who: Caller) -> bool:
    """Return whether somebody keeps the archive: all of it, whatever is shown of it."""
    return not who.rights.walls or not who.rights.operator.isdisjoint((OPERATOR, ANY))


def may_bring(who: Caller) -> bool:
    """Return whether somebody may store what nobody has looked at yet.

    What is stored becomes an ImagingStudy later: whether that keeps a limit of a role or a
    scope is not known by then. Labels and consents are looked at when it is read.
    """
    return is_keeper(who) or is_wide(who.rights, TYPE, CREATE)
