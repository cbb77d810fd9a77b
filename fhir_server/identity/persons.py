"""Whom a user stands for: their roles and teams in FHIR, their wards, their patients.

https://hl7.org/fhir/R4/practitionerrole.html
"""

from collections.abc import Sequence
from typing import Final

from fhir_server.access.roles import Person
from fhir_server.caller import trusted
from fhir_server.database import Connection
from fhir_server.interactions import proxies
from fhir_server.interactions.search import matching_ids
from fhir_server.server import Server

_ASKING: Final = trusted("identity", "worker")
_MOST: Final = 200


async def person(server: Server, connection: Connection, user: str | None) -> Person:
    """Return the person that a reference (`Practitioner/1`) is; one of nobody stands for none."""
    if user is None:
        return Person()
    type_name, _, id_ = user.partition("/")
    if type_name == "Patient":
        return Person(user, (user,), (), (id_,))
    if type_name == proxies.TYPE:
        return Person(user, (user,), (), await proxies.patients(server, connection, id_))
    if type_name != "Practitioner":
        return Person(user, (user,))
    roles = await _found(
        server,
        connection,
        "PractitionerRole",
        [("practitioner", user), ("active:not", "false")],
    )
    themselves = (user, *roles)
    teams = await _found(
        server,
        connection,
        "CareTeam",
        [("participant", ",".join(themselves)), ("status", "active")],
    )
    return Person(user, (*themselves, *teams), await _wards(server, connection, roles))


async def _wards(server: Server, connection: Connection, roles: Sequence[str]) -> tuple[str, ...]:
    if not server.settings.security.care.wards or not roles:
        return ()
    ids = ",".join(one.partition("/")[2] for one in roles)
    return await _found(
        server, connection, "Location", [("_has:PractitionerRole:location:_id", ids)]
    )


async def _found(
    server: Server, connection: Connection, type_name: str, pairs: Sequence[tuple[str, str]]
) -> tuple[str, ...]:
    ids = await matching_ids(server, connection, _ASKING, type_name, pairs, _MOST)
    return tuple(f"{type_name}/{one}" for one in ids)
