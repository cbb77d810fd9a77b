"""Whether somebody who keeps interfaces or archives running may see what they hold of patients.

The operator scopes `hl7` and `dicom` are for states, counts, errors and decisions. What a message
or a study says of a patient is for who may read the records: of everybody, or of this patient, as
by breaking the glass.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from fhir_server.access import masking
from fhir_server.access.queries import Walls
from fhir_server.caller import Caller
from fhir_server.database import Connection
from fhir_server.errors import Forbidden
from fhir_server.interactions import coded
from fhir_server.rights import ANY, Rights, is_wide
from fhir_server.server import Server
from fhir_server.store import walls as store

_READ: Final = "r"
_OF: Final = "Patient"
_REFUSED: Final = (
    "This shows a patient's record, which your rights do not; "
    "in an emergency the glass may be broken for the patient, where one is known"
)


def is_general(rights: Rights, types: Iterable[str]) -> bool:
    """Return whether somebody reads these types of whichever patient.

    Labels and consents are left aside, as they are of resources that are stored.
    """
    return all(is_wide(rights, one, _READ) for one in types)


def require_general(caller: Caller, types: Iterable[str]) -> None:
    """Refuse (Forbidden) who does not read these types of whichever patient."""
    if not is_general(caller.rights, types):
        raise Forbidden(_REFUSED)


async def require(
    server: Server,
    connection: Connection,
    caller: Caller,
    types: Collection[str],
    literals: Iterable[str],
) -> None:
    """Refuse (Forbidden) who may not see what became these resources (`Type/id`, with a version).

    Of `types` each has to be granted, be it of some patients; of the resources of these types
    all that are stored have to be seen, and, by who does not read everybody's, a Patient
    among them.
    """
    rights = caller.rights
    if not rights.walls:
        return
    if not all(_is_granted(rights, one) for one in types):
        raise Forbidden(_REFUSED)
    places = set(_places(server, types, literals))
    seen = await _seen(server, connection, caller, types, places)
    if is_general(rights, types):
        # What was deleted since, and what never was stored, keeps nobody away.
        allowed = seen >= await store.there(connection, places, None)
    else:
        patient = server.definitions.type_ids[_OF]
        allowed = seen >= places and any(type_id == patient for type_id, _ in seen)
    if not allowed:
        raise Forbidden(_REFUSED)


def _is_granted(rights: Rights, type_name: str) -> bool:
    return all(
        any(_READ in one.letters and one.type in {type_name, ANY} for one in wall)
        for wall in rights.walls
    )


def _places(
    server: Server, types: Collection[str], literals: Iterable[str]
) -> Iterator[tuple[int, str]]:
    for one in literals:
        kind, _, rest = one.partition("/")
        if kind in types:
            yield server.definitions.type_ids[kind], rest.partition("/")[0]


async def _seen(
    server: Server,
    connection: Connection,
    caller: Caller,
    types: Collection[str],
    places: Collection[tuple[int, str]],
) -> set[tuple[int, str]]:
    # What is shown in part is not shown by a message, which has all.
    parts = masking.parts(caller.rights)
    rights = caller.rights if parts is None else parts.whole
    await coded.answer_rights(server, connection, caller)
    wall = Walls(server, rights, sorted(types), _READ).any
    return await store.there(connection, places, wall) if wall is not None else set()
