"""What is recorded of other systems: what they ask by messages, and that one was refused.

https://dicom.nema.org/medical/dicom/current/output/html/part15.html#sect_A.5.3.10
https://dicom.nema.org/medical/dicom/current/output/html/part15.html#sect_A.5.3.11
"""

import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Final

from fhir_server.audit.happening import PEER_REFUSED
from fhir_server.audit.record import MINOR, SUCCESS, Record, Who

IMAGES, WORKLIST = "RAD-14", "RAD-5"
DEMOGRAPHICS, IDENTIFIERS, WORK = "ITI-21", "ITI-9", "LAB-27"
ANALYZER: Final = "astm-query"
OTHER: Final = "message-query"

_IHE: Final = "urn:ihe:event-type-code"
_OWN: Final = "urn:sangam:query"
QUERIES: Final = {
    IMAGES: {"system": _IHE, "code": IMAGES, "display": "Query Images"},
    WORKLIST: {"system": _IHE, "code": WORKLIST, "display": "Query Modality Worklist"},
    DEMOGRAPHICS: {"system": _IHE, "code": DEMOGRAPHICS, "display": "Patient Demographics Query"},
    IDENTIFIERS: {"system": _IHE, "code": IDENTIFIERS, "display": "PIX Query"},
    WORK: {"system": _IHE, "code": WORK, "display": "Query for AWOS"},
    ANALYZER: {"system": _OWN, "code": ANALYZER},
    OTHER: {"system": _OWN, "code": OTHER},
}
"""Codes of queries that come as messages, with the subtypes of their events."""

_LONGEST: Final = 32 << 10
_AGAIN_SECONDS: Final = 60.0
_MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class System:
    """A system that speaks to us: its name there (AE title, sender), the door, its address."""

    name: str
    door: str
    address: str

    def who(self) -> Who:
        """Return it as it is recorded."""
        name = f"{self.name} at {self.address}"
        return Who(name, self.door, client=self.name, address=self.address)


def question(
    system: System,
    code: str,
    asked: bytes,
    places: Iterable[tuple[str, str]] = (),
    *,
    refused: bool = False,
) -> Record:
    """Return the record of a query of `QUERIES` and of what (type, id) it was answered.

    `asked` is the identifier, or the segment or record, that asks; of a very long one the
    beginning is kept.
    """
    assert code in QUERIES
    found = [(kind, id_, 0) for kind, id_ in dict.fromkeys(places)]
    outcome = MINOR if refused else SUCCESS
    return Record(code, system.who(), outcome=outcome, asked=asked[:_LONGEST], places=found)


def refusal(system: System, reason: str) -> Record:
    """Return the record that a system was not let in; `reason` says why, in words of ours."""
    return Record("happening", system.who(), outcome=MINOR, happening=PEER_REFUSED, detail=reason)


class Refusals:
    """The refusals of the last minute: one that comes again and again is recorded once in it.

    Who tries without end would fill the disk else, as records are kept for years.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[Hashable, float] = {}
        self._lock = Lock()

    def is_news(self, system: System, reason: str) -> bool:
        """Return whether that is to be recorded; then it is not again for a minute.

        Of so many in one minute that they are an attack, further ones are only logged.
        """
        now, key = self._clock(), (system, reason)
        # Associations of DICOM have a thread each.
        with self._lock:
            if self._until.get(key, now) > now:
                return False
            if len(self._until) >= _MOST:
                self._until = {one: until for one, until in self._until.items() if until > now}
            if len(self._until) >= _MOST:
                return False
            self._until[key] = now + _AGAIN_SECONDS
            return True
