"""`$break-glass`: emergency access to one patient's record, for a while, to read.

    POST [base]/$break-glass       patient, reason (v3-ActReason), text: open the record
    POST [base]/$break-glass-end   patient: close it before its time
    GET  [base]/$break-glass       what is to be reviewed, or what one has open oneself
    POST [base]/$break-glass-sign  id: it was reviewed

Operations of this server.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from fhir_server.access.glass import Opening
from fhir_server.caller import Caller
from fhir_server.errors import BadRequest
from fhir_server.interactions import glass
from fhir_server.interactions.draft import ID
from fhir_server.operations.operation import Call, Operation, Result
from fhir_server.server import Server

LISTED = 1_000


async def _open(server: Server, caller: Caller, call: Call) -> Result:
    """Open the record of a patient."""
    call.refuse_others(["patient", "reason", "text"])
    opening = await glass.open_record(
        server, caller, _patient(call), _text(call, "reason"), _text(call, "text")
    )
    return _told([opening])


async def _close(server: Server, caller: Caller, call: Call) -> Result:
    """Close it."""
    call.refuse_others(["patient"])
    return _told(await glass.close_record(server, caller, _patient(call)))


async def _list(server: Server, caller: Caller, call: Call) -> Result:
    """List openings."""
    call.refuse_others([])
    return _told(await glass.listed(server, caller, LISTED))


async def _sign(server: Server, caller: Caller, call: Call) -> Result:
    """Note that one was reviewed."""
    call.refuse_others(["id"])
    key = _text(call, "id")
    if not key.isascii() or not key.isdecimal() or len(key) > 18:  # noqa: PLR2004  (64 bits)
        raise BadRequest("The id is a number", code="value", expression="id")
    return _told([await glass.sign(server, caller, int(key))])


OPEN = Operation(
    name="break-glass",
    definition="urn:sangam:operation:break-glass",
    methods={"POST": _open, "GET": _list},
    system=True,
)
END = Operation(
    name="break-glass-end",
    definition="urn:sangam:operation:break-glass-end",
    methods={"POST": _close},
    system=True,
)
SIGN = Operation(
    name="break-glass-sign",
    definition="urn:sangam:operation:break-glass-sign",
    methods={"POST": _sign},
    system=True,
)


def _text(call: Call, name: str) -> str:
    found = call.texts(name)
    if len(found) != 1:
        raise BadRequest("The parameter is given once", code="required", expression=name)
    return found[0]


def _patient(call: Call) -> str:
    """Return the id of the patient, given as a Reference, as `Patient/1`, or as an id."""
    found = [value for name, value in call.parameters if name == "patient"]
    value = found[0].get("reference") if found and isinstance(found[0], dict) else found[:1]
    text = value[0] if isinstance(value, list) and value else value
    id_ = text.removeprefix("Patient/") if isinstance(text, str) else ""
    if len(found) != 1 or not ID.match(id_):
        raise BadRequest("The patient is named once", code="required", expression="patient")
    return id_


def _told(openings: Iterable[Opening]) -> Result:
    found = [{"name": "opening", "part": _parts(one)} for one in openings]
    parameters: dict[str, Any] = {"resourceType": "Parameters"}
    return Result(
        200, msgspec.json.encode({**parameters, "parameter": found} if found else parameters)
    )


def _parts(one: Opening) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [
        {"name": "id", "valueString": str(one.key)},
        {"name": "who", "valueReference": {"reference": one.actor}},
        {"name": "patient", "valueReference": {"reference": f"Patient/{one.patient}"}},
        {"name": "reason", "valueCode": one.reason},
        {"name": "text", "valueString": one.words},
        _at("opened", one.opened_at),
        _at("until", one.ended_at or one.until),
    ]
    if one.notice:
        literal = f"CommunicationRequest/{one.notice}"
        parts.append({"name": "notice", "valueReference": {"reference": literal}})
    if one.signed_by and one.signed_at:
        parts.append({"name": "signedBy", "valueString": one.signed_by})
        parts.append(_at("signed", one.signed_at))
    return parts


def _at(name: str, at: datetime) -> dict[str, Any]:
    return {"name": name, "valueInstant": at.isoformat(timespec="milliseconds")}
