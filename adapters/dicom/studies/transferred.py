"""The job that records which studies went to whom by C-MOVE, C-GET or as files, or were stored.

https://dicom.nema.org/medical/dicom/current/output/html/part15.html#sect_A.5.3.7
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from adapters.dicom.studies import audit
from fhir_server import jobs
from fhir_server.caller import trusted
from fhir_server.interactions.entry import Entry
from fhir_server.interactions.transaction import transaction
from fhir_server.server import Server

KIND: Final = "dicom.transferred"


def job(
    studies: Iterable[str], actor: str, what: str, *, user: str | None = None, delay: float = 0
) -> jobs.Job:
    """Return the job; `what` is move, get, export or store, `actor` says who, and to whom.

    `user` is the person (a reference), where one is known; `delay` how long (s) the job waits.
    """
    at = datetime.now(UTC).isoformat()
    payload = {"studies": sorted(set(studies)), "actor": actor, "what": what, "at": at}
    if user is not None:
        payload["user"] = user
    return jobs.Job(KIND, payload, delay_seconds=delay)


async def run(server: Server, payload: dict[str, Any]) -> None:
    """Write an AuditEvent for each study, in one transaction."""
    actor, what = str(payload["actor"]), str(payload["what"])
    at, user = datetime.fromisoformat(payload["at"]), payload.get("user")
    action = audit.CHANGED if what == "store" else audit.READ
    async with server.database.transaction() as connection:
        of = await audit.of_studies(connection, payload["studies"])
        made = [
            audit.event(server.base, study, actor, action, what, at, of.get(study), user)
            for study in payload["studies"]
        ]
        entries = [Entry("POST", "AuditEvent", one) for one in made]
        await transaction(server, connection, trusted(actor, "dicom"), entries)
