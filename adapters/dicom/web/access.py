"""Who may see and change which study: every path of DICOMweb asks here before it reads.

Studies are what their ImagingStudy and its patient are: who may not read both may not know
of the study. Until there is an ImagingStudy of it, and while no patient is known, it is for
callers whose rights have no limits.
"""

from dataclasses import replace
from typing import Final, TypeGuard

from starlette.requests import Request

from adapters.dicom.query.conditions import Condition
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Forbidden, NotFound
from fhir_server.identity.doors import caller_of
from fhir_server.interactions.visibility import visible
from fhir_server.rights import ANY, Inside, Limit, is_wide
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
    study = await visible(server, connection, who, TYPE, letter, "s.imaging_study")
    patient = await visible(server, connection, who, "Patient", READ, _PATIENT)
    named = Condition("starts_with(s.patient, 'Patient/')")
    bound = _bound(who, letter)
    if bound:
        # The tests say so too, but no index leads from them to a patient's few studies.
        named = Condition("s.patient = ANY(%s::text[])", (bound,))
    return (named, Condition(*study), Condition(*patient))


def _bound(who: Caller, letter: str) -> list[str]:
    """Return the patients to whose studies some wall binds the caller, none where none does."""
    for one in who.rights.walls:
        grants = [each for each in one if letter in each.letters and each.type in {TYPE, ANY}]
        inside = [[x.id for x in each.limits if _is_patient(x)] for each in grants]
        if inside and all(inside):
            return sorted({f"Patient/{id_}" for ids in inside for id_ in ids})
    return []


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
