"""What modalities perform, and the commitments that they asked for, over HTTP."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from adapters.dicom.commitment import rows as commitments
from adapters.dicom.commitment.rows import Commitment
from adapters.dicom.dataset.attributes import text
from adapters.dicom.mpps import rows as steps
from adapters.dicom.mpps.completeness import Completeness, completeness
from adapters.dicom.mpps.rows import Performed
from fhir_server.errors import NotFound
from fhir_server.server import Server

Limit = Annotated[int, Query(ge=1, le=1_000)]


def router(server: Server) -> APIRouter:
    """Return the routes of performed procedure steps and storage commitments."""
    made = APIRouter(tags=["modalities"])

    @made.get("/steps")
    async def list_steps(limit: Limit = 50) -> dict[str, Any]:
        """List the newest performed procedure steps, and what of their instances is here."""
        async with server.database.connection() as connection:
            found = await steps.newest(connection, limit)
            known = await completeness(connection, found)
        return {"steps": [_step(one, known[one.sop_instance_uid]) for one in found]}

    @made.get("/commitments")
    async def list_commitments(everything: bool = False, limit: Limit = 50) -> dict[str, Any]:  # noqa: FBT001, FBT002
        """List requests for storage commitment, `everything`: also those that were reported."""
        async with server.database.connection() as connection:
            found = await commitments.newest(connection, everything=everything, limit=limit)
        return {"commitments": [_commitment(one) for one in found]}

    @made.post("/commitments/{number}/retry")
    async def retry(number: int) -> dict[str, int]:
        """Report a commitment now."""
        async with server.database.transaction() as connection:
            if not await commitments.due(connection, number):
                raise NotFound(f"There is no commitment {number}")
        return {"commitment": number}

    @made.post("/commitments/{number}/dismiss")
    async def dismiss(number: int) -> dict[str, int]:
        """End a commitment without a report."""
        async with server.database.transaction() as connection:
            if not await commitments.dismissed(connection, number):
                raise NotFound(f"There is no open commitment {number}")
        return {"commitment": number}

    return made


def _step(step: Performed, known: Completeness) -> dict[str, Any]:
    return {
        "step": step.sop_instance_uid,
        "state": step.state,
        "station": text(step.attributes, "PerformedStationAETitle") or step.calling_ae,
        "modality": text(step.attributes, "Modality"),
        "studies": list(step.studies),
        "begun_at": step.created_at,
        "changed_at": step.changed_at,
        "procedure": step.procedure,
        "in_fhir": step.applied == step.version,
        "flags": list(step.flags),
        "expected": known.expected,
        "stored": known.stored,
        "missing": [{"series": series, "instance": uid} for series, uid in known.missing],
        "unlisted": [{"series": series, "instance": uid} for series, uid in known.unlisted],
    }


def _commitment(one: Commitment) -> dict[str, Any]:
    return {
        "number": one.id,
        "requester": one.calling_ae,
        "transaction": one.request.transaction_uid,
        "state": one.state,
        "instances": len(one.request.references),
        "failed": None
        if one.failed is None
        else [{"instance": uid, "reason": f"{reason:04X}"} for _, uid, reason in one.failed],
        "attempts": one.attempts,
        "failure": one.failure,
        "requested_at": one.requested_at,
        "report_at": one.report_at,
        "reported_at": one.reported_at,
    }
