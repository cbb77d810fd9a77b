"""What is recorded of other systems: what they were answered, and sent.

https://profiles.ihe.net/ITI/TF/Volume2/ITI-21.html
https://dicom.nema.org/medical/dicom/current/output/html/part15.html#sect_A.5.3.5
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from adapters.hl7.profiles.origin import Origin
from fhir_server.audit.happening import EXPORTED
from fhir_server.audit.peers import System, question
from fhir_server.audit.record import Record, keep, who, written
from fhir_server.caller import trusted
from fhir_server.database import Connection

_SENDER: Final = trusted("hl7", "outbound")
_PATIENT: Final = "Patient/"


def system(sender: str, origin: Origin) -> System:
    """Return a sender as it is recorded."""
    return System(sender, "hl7", origin.host)


async def asked(
    connection: Connection,
    who: System,
    code: str,
    text: str,
    places: Iterable[tuple[str, str]] = (),
    *,
    refused: bool = False,
) -> None:
    """Record a query with what (type, id) it is about to be answered, or that it is refused.

    In the transaction of the connection; raises as the database does.
    """
    said = question(who, code, text.encode(errors="replace"), places, refused=refused)
    await keep(connection, [written(said)])


@dataclass(slots=True)
class Sent:
    """What systems are about to be sent without asking, until it is recorded.

    It is recorded in the transaction that queues it, so that a message which goes out
    twice is recorded once, and none goes out without.
    """

    _told: dict[tuple[str, str], dict[str, None]] = field(default_factory=dict)

    def add(self, to: str, about: Iterable[str], organization: str = "") -> None:
        """Note that a system is sent something about these (references).

        `organization` is whose it is, where that is another.
        """
        named = [one for one in about if one]
        patients = [one for one in named if one.startswith(_PATIENT)]
        others = [one for one in (*named, organization) if one and one not in patients]
        for patient in patients or [""]:
            told = self._told.setdefault((to, patient), {})
            told.update(dict.fromkeys(others))

    async def record(self, connection: Connection) -> None:
        """Record it, one event for each system and patient; raises as the database does."""
        if self._told:
            await keep(connection, [written(_export(*one)) for one in self._told.items()])
            self._told.clear()


def _export(about: tuple[str, str], others: Iterable[str]) -> Record:
    to, patient = about
    named = [patient, *others] if patient else list(others)
    return Record(
        "happening",
        who(_SENDER),
        happening=EXPORTED,
        about=named,
        detail=f"HL7 v2 or ASTM to {to}",
    )
