"""C-FIND of the modality worklist.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_K.4.1
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from adapters.dicom.dataset.charset import defined_terms
from adapters.dicom.dataset.identifier import Key, Keys, keyword, terms_of, write
from adapters.dicom.dataset.transliteration import fitted, text_in
from adapters.dicom.network.command import Answer, Command
from adapters.dicom.network.negotiate import Agreed
from adapters.dicom.network.peer import Peer
from adapters.dicom.network.services import Fixed, Intake, Operation, Streamed
from adapters.dicom.network.statuses import DOES_NOT_MATCH, OUT_OF_RESOURCES, PENDING
from adapters.dicom.query import models
from adapters.dicom.query.answers import PENDING_WITHOUT_KEYS, Record, requested
from adapters.dicom.query.find import Queries, Question, Row, Session, answered
from adapters.dicom.query.matching import criteria
from adapters.dicom.recorded import answered as recorded
from adapters.dicom.worklist.keywords import ENTRY, STATUS, STEP, STEPS
from adapters.dicom.worklist.statement import matches
from fhir_server.audit.peers import WORKLIST

_PATIENT_NAME = 0x00100010


def find(queries: Queries, peer: Peer, context: Agreed, command: Command) -> Intake | Operation:
    """Return the operation that answers a C-FIND of the worklist."""
    if not command.has_data_set:
        return Fixed(Answer(DOES_NOT_MATCH, "There is no identifier"))

    def question(data: bytes) -> Question:
        keys = models.identifier(data, context.transfer_syntax)
        asked = Asked(keys, context.transfer_syntax, peer.character_set)
        return Question(
            matches(criteria(keys)),
            asked.status(),
            asked.answer,
            Answer(OUT_OF_RESOURCES, "There are more matches; ask for fewer"),
            lambda session, found: _record(session, peer, data, found),
        )

    return Streamed(lambda data, exchange: answered(queries, lambda: question(data), exchange))


def _record(session: Session, peer: Peer, data: bytes, found: Iterable[Row]) -> None:
    orders = (("ServiceRequest", row[3]) for row in found)
    recorded(session, peer, WORKLIST, data, orders)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a modality asks for, and in which form answers go to it."""

    keys: Keys
    transfer_syntax: str
    character_set: str = ""

    def status(self) -> int:
        """Return the status of pending responses: whether each key is supported."""
        steps = next((key for tag, key in self.keys.items() if keyword(tag) == STEPS), None)
        inner = [keyword(tag) for item in (steps.values if steps else ()) for tag in item]
        known = ENTRY.issuperset(map(keyword, self.keys)) and STEP.issuperset(inner)
        return PENDING if known else PENDING_WITHOUT_KEYS

    def answer(self, row: Sequence[Any]) -> bytes:
        """Return the identifier of a response: each requested key, empty if nothing is known.

        A peer with a character set of its own gets that, letters replaced where it lacks
        them; others that of the query if it can carry the answer, else UTF-8.
        """
        found = record(row)
        elements = list(requested(self.keys, found, ENTRY.__contains__))
        own = defined_terms(self.character_set)
        if not own:
            return write(elements, self.transfer_syntax, terms_of(self.keys))
        named = [_named(one, found, own) for one in elements]
        return write(fitted(named, own), self.transfer_syntax, own)


def record(row: Sequence[Any]) -> Record:
    """Return the attributes in a row of `statement.matches`."""
    attributes, step, status, *_ = row
    item = {**msgspec.json.decode(step), STATUS: [status]}
    return {**msgspec.json.decode(attributes), STEPS: [item]}


def _named(key: Key, found: Record, terms: Sequence[str]) -> Key:
    """Return the patient's name, another of his where the first has other letters.

    What he writes himself in these letters is better than any rule.
    """
    if key.tag != _PATIENT_NAME or not key.values:
        return key
    names = [str(one) for one in (*key.values, *found.get("OtherPatientNames", ()))]
    first = ((one, one.partition("=")[0]) for one in names)
    fitting = (one for one, letters in first if letters and text_in(letters, terms) == letters)
    return Key(key.tag, key.vr, (next(fitting, names[0]),))
