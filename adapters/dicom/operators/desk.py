"""One study as an operator looks at it: what it says, its series, its candidates, its history."""

from datetime import UTC, datetime
from typing import Any, Final

from adapters.dicom.operators import views
from adapters.dicom.operators.candidates import candidates, orders
from adapters.dicom.studies import audit, conflicts, rejection
from adapters.dicom.studies.rejection import Target
from fhir_server.access import glass
from fhir_server.database import Connection
from fhir_server.errors import NotFound
from fhir_server.server import Server

_SAID: Final = "SELECT attributes FROM dicom_study WHERE study_instance_uid = %s"
_SHOWN: Final = frozenset(
    (
        *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
        *("AccessionNumber", "StudyDate", "StudyTime", "StudyDescription", "StudyID"),
        *("ReferringPhysicianName", "InstitutionName"),
    )
)
_MOST: Final = 200


async def study(
    server: Server, connection: Connection, uid: str, actor: str, *, user: str | None = None
) -> dict[str, Any]:
    """Return all of a study, which is recorded as an AuditEvent. Raises NotFound.

    `user` is the person (a reference) who looks at it, where one is known.
    """
    found = await views.rows(connection, views.STUDY, study=uid)
    row = await (await connection.execute(_SAID, (uid,))).fetchone()
    if not found or row is None or row[0] is None:
        raise NotFound("The archive has no such study")
    opened = await glass.open_at(connection, user, datetime.now(UTC)) if user else ()
    done = (uid, actor, audit.READ, "read")
    await audit.record(server, connection, *done, user=user, opened=opened)
    said = row[0]
    offered = await candidates(server, connection, said) if found[0]["unmatched_at"] else []
    ordered = await orders(server, connection, said) if found[0]["unmatched_at"] else []
    return {
        **found[0],
        "says": {name: value[0] for name, value in sorted(said.items()) if name in _SHOWN},
        "series": await views.rows(connection, views.SERIES, study=uid),
        "candidates": [
            {
                "patient": one.patient,
                "score": one.score,
                "agrees": one.agrees,
                "name": _named(one.resource),
                "birth_date": one.resource.get("birthDate"),
            }
            for one in offered
        ],
        "orders": [_ordered(one) for one in ordered],
        "rejections": await views.rows(connection, views.REJECTED, study=uid, limit=_MOST),
        "conflicts": await conflicts.conflicts(connection, study=uid, everything=True),
        "actions": await actions(connection, uid, _MOST),
    }


async def actions(connection: Connection, uid: str | None, limit: int) -> list[views.Row]:
    """Return what operators did, the newest first, and whether it can be taken back."""
    found = await views.rows(connection, views.ACTIONS, study=uid, limit=limit)
    return [{**one, "undoable": views.undoable(one)} for one in found]


def _named(patient: dict[str, Any]) -> str:
    name: dict[str, Any] = next(iter(patient.get("name", ())), {})
    parts = [*name.get("given", ()), name.get("family", "")]
    return " ".join(filter(None, parts)) or str(name.get("text", ""))


def _ordered(order: dict[str, Any]) -> dict[str, Any]:
    code = order.get("code", {})
    shown = code.get("text") or next((c.get("display") for c in code.get("coding", ())), None)
    return {
        "order": f"ServiceRequest/{order['id']}",
        "patient": order.get("subject", {}).get("reference"),
        "status": order.get("status"),
        "code": shown,
    }


async def reject(
    server: Server, connection: Connection, target: Target, code: str, actor: str, reason: str
) -> int:
    """Reject as `rejection.reject` does, and record it."""
    count = await rejection.reject(connection, target, code, actor, reason=reason)
    await audit.record(server, connection, target.study, actor, audit.CHANGED, "reject")
    return count


async def restore(server: Server, connection: Connection, target: Target, actor: str) -> int:
    """Restore as `rejection.restore` does, and record it."""
    count = await rejection.restore(connection, target, actor)
    await audit.record(server, connection, target.study, actor, audit.CHANGED, "restore")
    return count


async def approve(server: Server, connection: Connection, target: Target, actor: str) -> int:
    """Approve as `rejection.approve` does, and record it."""
    count = await rejection.approve(connection, target, actor)
    await audit.record(server, connection, target.study, actor, audit.CHANGED, "approve")
    return count
