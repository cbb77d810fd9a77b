"""The job that mails those who review emergency access: an opening waits.

The mail names no patient, no person and no reason: mail is read on other machines than ours.
"""

import asyncio
from typing import Any, Final

from fhir_server.config import Settings
from fhir_server.jobs import Job
from fhir_server.mail import send
from fhir_server.server import Server

KIND: Final = "glass.mail"
PATH: Final = "/auth/reviews"
"""Where openings are reviewed."""

_SUBJECT: Final = "Emergency access to be reviewed"


def jobs_of(settings: Settings) -> list[Job]:
    """Return the job of an opening, none where no mail is set; several that wait are one."""
    return [Job(KIND, {}, KIND)] if settings.security.glass.mail is not None else []


async def run(server: Server, _: dict[str, Any]) -> None:
    """Send the mail; Unavailable where it was not taken, so that it is tried again."""
    settings = server.settings.security.glass.mail
    if settings is not None:
        await asyncio.to_thread(send, settings, _SUBJECT, text(server))


def text(server: Server) -> str:
    """Return what the mail says."""
    here = f"{server.root}{PATH}"
    return f"A record was opened by breaking the glass. Review and sign it here:\n\n{here}\n"
