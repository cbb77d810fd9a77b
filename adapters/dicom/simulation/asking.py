"""What a modality asks by DIMSE-N, and what the archive asks of it meanwhile.

https://dicom.nema.org/medical/dicom/current/output/html/part07.html#chapter_10
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Event

from adapters.dicom.commitment.transaction import ALL_COMMITTED
from adapters.dicom.dataset.identifier import Key, Keys, read, tag_of, write
from adapters.dicom.dataset.syntaxes import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from adapters.dicom.network.classes import COMMITMENT, COMMITMENT_INSTANCE, MPPS
from adapters.dicom.network.command import RESPONSE, Answer, Command, Element, Field
from adapters.dicom.network.negotiate import Agreed
from adapters.dicom.network.peer import Peer
from adapters.dicom.network.scu import Sender
from adapters.dicom.network.services import Gathered, Intake
from adapters.dicom.network.statuses import SUCCESS
from fhir_server.errors import BadRequest

Pair = tuple[str, str]


def contexts(sop_class: str) -> list[Pair]:
    """Return the contexts to propose for a class without bulk data."""
    return [(sop_class, EXPLICIT_LITTLE), (sop_class, IMPLICIT_LITTLE)]


@dataclass(slots=True)
class Reports:
    """The reports of storage commitments that have come, wherever they came."""

    came: Event = field(default_factory=Event)
    committed: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    complete: bool = False

    def hear(self, command: Command, keys: Keys) -> Answer:
        """Take the information of an N-EVENT-REPORT."""
        kept = keys.get(tag_of("ReferencedSOPSequence"))
        lost = keys.get(tag_of("FailedSOPSequence"))
        self.committed = len(kept.values) if kept else 0
        self.complete = command.number(Element.EventTypeID) == ALL_COMMITTED
        for item in lost.values if lost else ():
            uid = _only(item, "ReferencedSOPInstanceUID")
            self.failed[str(uid)] = int(_only(item, "FailureReason") or 0)
        self.came.set()
        return Answer(SUCCESS)

    def service(self, _peer: Peer, context: Agreed, command: Command) -> Intake:
        """Return the intake of a report on an association that the archive opened."""
        return self.intake(context.transfer_syntax, command)

    def intake(self, transfer_syntax: str, command: Command) -> Intake:
        """Return the intake of a report."""
        return Gathered(lambda data: self.hear(command, read(data, transfer_syntax)))


def _only(item: Keys, name: str) -> str | int | None:
    key = item.get(tag_of(name))
    return key.values[0] if key and key.values else None


def create(sender: Sender, uid: str, keys: Iterable[Key]) -> int:
    """Create a performed procedure step, and return the status."""
    elements: dict[int, int | str] = {
        Element.AffectedSOPClassUID: MPPS,
        Element.CommandField: Field.N_CREATE_RQ,
        Element.AffectedSOPInstanceUID: uid,
    }
    return _status(sender, MPPS, elements, keys)


def change(sender: Sender, uid: str, keys: Iterable[Key]) -> int:
    """Change a performed procedure step, and return the status."""
    elements: dict[int, int | str] = {
        Element.RequestedSOPClassUID: MPPS,
        Element.CommandField: Field.N_SET_RQ,
        Element.RequestedSOPInstanceUID: uid,
    }
    return _status(sender, MPPS, elements, keys)


def request_commitment(sender: Sender, transaction_uid: str, references: Iterable[Pair]) -> int:
    """Ask for the commitment of instances (class and UID), and return the status."""
    names = ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID")
    tags = [tag_of(name) for name in names]
    items = tuple(
        {tag: Key(tag, "UI", (uid,)) for tag, uid in zip(tags, one, strict=True)}
        for one in references
    )
    keys = (
        Key(tag_of("TransactionUID"), "UI", (transaction_uid,)),
        Key(tag_of("ReferencedSOPSequence"), "SQ", items),
    )
    elements: dict[int, int | str] = {
        Element.RequestedSOPClassUID: COMMITMENT,
        Element.CommandField: Field.N_ACTION_RQ,
        Element.RequestedSOPInstanceUID: COMMITMENT_INSTANCE,
        Element.ActionTypeID: 1,
    }
    return _status(sender, COMMITMENT, elements, keys)


def report(sender: Sender, reports: Reports) -> None:
    """Take the report that comes on the association on which it was asked for."""
    used: list[Pair] = []

    def intake(abstract: str, transfer: str, command: Command) -> Intake:
        used[:] = [(abstract, transfer)]
        return reports.intake(transfer, command)

    command, answer = sender.receive(intake)
    sender.reply(used[0], command, answer)


def _status(
    sender: Sender, sop_class: str, elements: Mapping[int, int | str], keys: Iterable[Key]
) -> int:
    pair = next((one for one in contexts(sop_class) if one in sender.contexts), None)
    if pair is None:
        raise BadRequest("The peer does not provide this service")
    sender.send(pair, elements, [write(keys, pair[1])])
    command, _ = sender.receive(lambda *_: Gathered(lambda _: Answer(SUCCESS)))
    if not command.field & RESPONSE:
        raise BadRequest("The peer asks before it answers")
    status = command.number(Element.Status)
    return SUCCESS if status is None else status
