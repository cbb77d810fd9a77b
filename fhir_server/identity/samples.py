"""The sample users and apps of demo mode, which count in no other.

Their password is known to everyone who reads this.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.caller import trusted
from fhir_server.database import Connection
from fhir_server.identity import clients, users
from fhir_server.identity.clients import Client
from fhir_server.identity.users import PATIENT, Draft, User
from fhir_server.interactions.draft import Sent
from fhir_server.interactions.search import matching_ids
from fhir_server.interactions.update import update
from fhir_server.keys import new_id
from fhir_server.r4 import json
from fhir_server.server import Server

PASSWORD: Final = "sangam demonstration"  # noqa: S105  (it is printed at the start)
# Made at the costs that are set at first, so that no start has to wait for it.
_HASH: Final = (
    "$argon2id$v=19$m=65536,t=3,p=4$IlavFsslMkqrTSmVIK7PoA"
    "$BrTqBppZ89nqp7u5dxqHc5McqQOlM4jjxuHqRimk49c"
)
APP: Final = "sangam-demo"
"""The public client of apps on the same machine."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample user."""

    name: str
    display: str
    fhir_user: str
    role: str


SAMPLES: Final = (
    Sample("admin", "Administrator", "Practitioner/demo-admin", "ADMIN"),
    Sample("doctor", "Doctor", "Practitioner/demo-doctor", "DOCTOR"),
    Sample("nurse", "Nurse", "Practitioner/demo-nurse", "NURSE"),
    Sample("lab", "Laboratory staff", "Practitioner/demo-lab", "LAB_STAFF"),
    Sample("radiologist", "Radiologist", "Practitioner/demo-radiologist", "RADIOLOGIST"),
    Sample("pharmacy", "Pharmacy staff", "Practitioner/demo-pharmacy", "PHARMACY_STAFF"),
    Sample("billing", "Billing staff", "Practitioner/demo-billing", "BILLING_STAFF"),
    Sample("reception", "Receptionist", "Practitioner/demo-reception", "RECEPTIONIST"),
    Sample("patient", "Patient", "Patient/demo-patient", PATIENT),
)
_SCOPE: Final = (
    "openid fhirUser profile launch launch/patient launch/encounter offline_access online_access"
    " patient/*.cruds user/*.cruds"
)
_CLIENT: Final = Client(
    id=APP,
    name="An app on this machine",
    authentication="none",
    redirects=("http://127.0.0.1/", "http://localhost/"),
    scope=_SCOPE,
    demo=True,
)


async def settle(connection: Connection) -> None:
    """Store what is missing of the samples: only for a server in demo mode."""
    for one in SAMPLES:
        if await users.by_name(connection, one.name) is None:
            draft = Draft(one.name, one.display, one.fhir_user, (one.role,), _HASH, demo=True)
            await users.add(connection, new_id(), draft)
    if await clients.by_id(connection, APP, demo=True) is None:
        await clients.add(connection, _CLIENT, "demo")


async def present(server: Server, user: User) -> None:
    """Store who a sample user is in FHIR, and a patient of the sample doctor, if they are missing.

    That is done when a sample first logs in, so that a demonstration begins empty.
    """
    if not server.settings.demo or user.name not in {one.name for one in SAMPLES if user.demo}:
        return
    for sample in SAMPLES:
        if sample.name in {user.name, "doctor", "patient"}:
            await _put(server, _resource(sample))


def _resource(sample: Sample) -> dict[str, Any]:
    type_name, _, id_ = sample.fhir_user.partition("/")
    found: dict[str, Any] = {
        "resourceType": type_name,
        "id": id_,
        "active": True,
        "name": [{"family": "Sample", "given": [sample.display]}],
    }
    if type_name == "Patient":
        found["generalPractitioner"] = [{"reference": "Practitioner/demo-doctor"}]
    return found


async def _put(server: Server, resource: dict[str, Any]) -> None:
    caller = trusted("demo", "cli")
    type_name, id_ = resource["resourceType"], resource["id"]
    async with server.database.connection() as connection:
        if await matching_ids(server, connection, caller, type_name, [("_id", id_)], 1):
            return
    await update(server, caller, type_name, id_, Sent(json.encode(resource)))


def shown(server: Server) -> Sequence[Sample]:
    """Return the samples that the login page may name: those of demo mode."""
    return SAMPLES if server.settings.demo else ()
