"""Who may see which study: every path of DICOMweb asks here before it reads.

Studies are what their ImagingStudy and its patient are: who may not read both may not know
of the study. Until there is an ImagingStudy of it, and while no patient is known, it is for
callers whose rights have no limits.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Final

from starlette.requests import Request

from adapters.dicom.studies.ids import imaging_study_id
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Forbidden, NotFound
from fhir_server.identity.doors import caller_of
from fhir_server.interactions.search import matching_ids
from fhir_server.rights import ANY, Consented, Wall
from fhir_server.server import Server

TYPE: Final = "ImagingStudy"
READ, SEARCH = "r", "s"

_PATIENTS: Final = """
SELECT study_instance_uid, patient FROM dicom_study
WHERE study_instance_uid = ANY(%s) AND patient LIKE 'Patient/%%'
"""
_AT_ONCE: Final = 200


def caller(request: Request) -> Caller:
    """Return who asks."""
    return replace(caller_of(request.scope), door="dicomweb")


async def readable(
    server: Server, connection: Connection, who: Caller, studies: Collection[str], letter: str
) -> set[str]:
    """Return those of the studies (UIDs) that the caller may know of, by the letter."""
    if not who.rights.walls:
        return set(studies)
    ids = {imaging_study_id(uid): uid for uid in studies}
    seen = await _seen(server, connection, who, TYPE, list(ids), letter)
    shown = [ids[one] for one in seen]
    rows = await (await connection.execute(_PATIENTS, (shown,))).fetchall()
    of = {uid: patient.partition("/")[2] for uid, patient in rows}
    patients = await _seen(server, connection, who, "Patient", list(set(of.values())), READ)
    return {uid for uid in shown if of.get(uid) in patients}


async def check(
    server: Server, connection: Connection, who: Caller, study: str, letter: str = READ
) -> None:
    """Raise NotFound where the caller may not know of the study."""
    if not await readable(server, connection, who, (study,), letter):
        raise NotFound("There is no such study")


def check_write(who: Caller, letter: str) -> None:
    """Raise Forbidden unless the caller may do with any ImagingStudy what the letter says.

    What is stored becomes an ImagingStudy later: whether that keeps a limit of a role or a
    scope is not known by then. Consents are looked at when it is read.
    """
    if not all(_is_wide(wall, letter) for wall in who.rights.walls):
        raise Forbidden("Your rights do not let you change the archive")


def _is_wide(wall: Wall, letter: str) -> bool:
    return any(
        letter in one.letters
        and one.type in {TYPE, ANY}
        and all(isinstance(limit, Consented) for limit in one.limits)
        for one in wall
    )


async def _seen(
    server: Server,
    connection: Connection,
    who: Caller,
    type_name: str,
    ids: Sequence[str],
    letter: str,
) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        asked = [("_id", ",".join(some))]
        try:
            found.update(
                await matching_ids(server, connection, who, type_name, asked, len(some), letter)
            )
        except Forbidden:  # the type is not among the rights at all
            return set()
    return found
