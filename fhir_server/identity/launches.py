"""Launch handles: what the EHR has open, for the app that it starts.

https://hl7.org/fhir/smart-app-launch/app-launch.html#launch-app-ehr-launch
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from psycopg.types.json import Jsonb

from fhir_server.database import Connection
from fhir_server.errors import BadRequest
from fhir_server.identity import opaque
from fhir_server.identity.refusal import Refusal
from fhir_server.r4.definitions import Definitions

_SPEND: Final = """
UPDATE identity_launch SET used_at = clock_timestamp()
WHERE secret = %s AND used_at IS NULL AND expires_at > clock_timestamp()
RETURNING context, user_id, client_id
"""
_ID_CHARACTERS: Final = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-."
)
_LONGEST_ID: Final = 64
# Of an object of fhirContext, one at least, and what else it may say.
_NAMING: Final = frozenset(("reference", "canonical", "identifier"))
_CONTEXT_MEMBERS: Final = _NAMING | {"type", "role"}


@dataclass(frozen=True, slots=True)
class Launched:
    """What a handle stands for; `user_id` and `client_id` are for whom it counts, if said."""

    context: Mapping[str, Any]
    user_id: str | None
    client_id: str | None


async def add(connection: Connection, launched: Launched, seconds: int) -> str:
    """Store a handle and return it; it counts once, for some seconds."""
    handle = opaque.new()
    await connection.execute(
        "INSERT INTO identity_launch (secret, context, user_id, client_id, expires_at)"
        " VALUES (%s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))",
        (
            opaque.hashed(handle),
            Jsonb(dict(launched.context)),
            launched.user_id,
            launched.client_id,
            seconds,
        ),
    )
    return handle


async def spend(connection: Connection, handle: str, user_id: str, client_id: str) -> Launched:
    """Return what the handle stands for; a Refusal when it is used, old, or for another."""
    row = await (await connection.execute(_SPEND, (opaque.hashed(handle),))).fetchone()
    found = Launched(*row) if row else None
    if (
        found is None
        or found.user_id not in {None, user_id}
        or found.client_id not in {None, client_id}
    ):
        raise Refusal("invalid_request", "The launch was used, is too old, or is of another")
    return found


def context_of(definitions: Definitions, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the launch context of what an EHR says; BadRequest when it cannot be one.

    `patient` and `encounter` are ids, `intent` a word, `need_patient_banner` a boolean,
    `fhirContext` objects with a `reference`, `canonical` or `identifier`.
    """
    unknown = set(given) - {"patient", "encounter", "intent", "need_patient_banner", "fhirContext"}
    if unknown:
        raise BadRequest("A launch has no such members")
    for name in ("patient", "encounter"):
        if name in given and not is_id(given[name]):
            raise BadRequest(f"{name} is the id of a resource")
    if "encounter" in given and "patient" not in given:
        raise BadRequest("An encounter is launched with its patient")
    if not isinstance(given.get("intent", ""), str):
        raise BadRequest("intent is a word")
    if not isinstance(given.get("need_patient_banner", False), bool):
        raise BadRequest("need_patient_banner is true or false")
    more = given.get("fhirContext", [])
    if not isinstance(more, list) or not all(_is_context(definitions, one) for one in more):
        raise BadRequest("fhirContext are objects with a reference, a canonical or an identifier")
    return dict(given)


def is_id(value: object) -> bool:
    """Return whether that is an id of a resource (R4, id)."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= _LONGEST_ID
        and _ID_CHARACTERS.issuperset(value)
    )


def _is_context(definitions: Definitions, value: object) -> bool:
    if not isinstance(value, dict) or not _NAMING.intersection(value):
        return False
    return set(value) <= _CONTEXT_MEMBERS and all(
        _is_member(definitions, name, one) for name, one in value.items()
    )


def _is_member(definitions: Definitions, name: str, value: object) -> bool:
    if name == "identifier":
        return isinstance(value, dict) and isinstance(value.get("value"), str)
    if not isinstance(value, str) or not value:
        return False
    if name == "type":
        return value in definitions.type_ids
    if name == "reference":
        type_name, _, id_ = value.partition("/")
        return type_name in definitions.type_ids and is_id(id_)
    return True
