"""The requester's side: associations that we open to echo and to send instances.

https://dicom.nema.org/medical/dicom/current/output/html/part07.html#chapter_9
"""

import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from adapters.dicom.dataset.implementation import CLASS_UID, VERSION_NAME
from adapters.dicom.dataset.syntaxes import IMPLICIT_LITTLE, VERIFICATION
from adapters.dicom.network import command, pdu
from adapters.dicom.network.associate import (
    APPLICATION_CONTEXT,
    PROTOCOL_VERSION,
    Acceptance,
    Proposal,
    Request,
    Role,
    User,
    decode_acceptance,
    encode_request,
)
from adapters.dicom.network.command import (
    DATA_SET,
    NO_DATA_SET,
    Answer,
    Command,
    Element,
    Field,
)
from adapters.dicom.network.pdu import DEFAULT_MAX_PDU, Fault, Kind
from adapters.dicom.network.services import Intake
from adapters.dicom.network.wire import Wire

_MEDIUM = 0
_TIMEOUT_SECONDS = 30.0
_MAX_COUNT = 0xFFFF


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance to send: its identity and the bytes of its data set."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    data_set: bytes


class Refusal(Exception):
    """The peer rejected or aborted the association; `body` is the PDU's."""

    def __init__(self, kind: int, body: bytes) -> None:
        super().__init__(f"PDU of type {kind}: {body.hex()}")
        self.kind = kind
        self.body = body


class Sender:
    """An open association; a context manager that releases it at the end.

    `contexts` are the pairs of abstract and transfer syntax to propose, `providing` the
    classes of which we take the SCP role too, with their transfer syntaxes, and `roles` where
    they are others than both. `secure` puts TLS on the connection; `waiting` is how long
    its opening may take, `timeout` how long an answer. Raises Refusal when the peer does not
    accept, OSError when it cannot be reached.
    """

    def __init__(  # noqa: PLR0913  (what an association is made of)
        self,
        address: tuple[str, int],
        *,
        called: str,
        calling: str,
        contexts: Iterable[tuple[str, str]] = ((VERIFICATION, IMPLICIT_LITTLE),),
        timeout: float = _TIMEOUT_SECONDS,
        waiting: float | None = None,
        providing: Mapping[str, tuple[str, ...]] | None = None,
        roles: Mapping[str, Role] | None = None,
        secure: Callable[[socket.socket], socket.socket] | None = None,
    ) -> None:
        connection = socket.create_connection(address, waiting or timeout)
        if secure:
            connection = secure(connection)
        self._wire = Wire(connection, limit=DEFAULT_MAX_PDU)
        self._wire.patience(timeout)
        self._message_id = 0
        pairs = tuple(dict.fromkeys(contexts))
        offered: list[tuple[str, tuple[str, ...]]] = [
            *((abstract, (transfer,)) for abstract, transfer in pairs),
            *(providing or {}).items(),
        ]
        proposals = tuple(
            Proposal(2 * number + 1, abstract, transfers)
            for number, (abstract, transfers) in enumerate(offered)
        )
        selected = {uid: Role(True, True) for uid in providing or ()} | dict(roles or {})
        acceptance = self._accepted(_request(called, calling, proposals, selected))
        accepted = {one.context_id: one for one in acceptance.contexts if one.result == 0}
        self._max_pdu = acceptance.user.max_pdu
        self.contexts = {
            (one.abstract_syntax, accepted[one.context_id].transfer_syntax): one.context_id
            for one in proposals
            if one.context_id in accepted
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.release()
        else:
            self.abandon()

    def echo(self) -> int:
        """Send a C-ECHO and return its status."""
        context_id = self.contexts[VERIFICATION, IMPLICIT_LITTLE]
        request: dict[int, int | str] = {
            Element.AffectedSOPClassUID: VERIFICATION,
            Element.CommandField: Field.C_ECHO_RQ,
            Element.MessageID: self._next_id(),
            Element.CommandDataSetType: NO_DATA_SET,
        }
        self._wire.send(self._command(context_id, request))
        return self._status()

    def store(self, instance: Instance) -> int:
        """Send a C-STORE and return its status; KeyError when its context was not accepted."""
        context_id = self.contexts[instance.sop_class_uid, instance.transfer_syntax_uid]
        request: dict[int, int | str] = {
            Element.AffectedSOPClassUID: instance.sop_class_uid,
            Element.CommandField: Field.C_STORE_RQ,
            Element.MessageID: self._next_id(),
            Element.Priority: _MEDIUM,
            Element.CommandDataSetType: DATA_SET,
            Element.AffectedSOPInstanceUID: instance.sop_instance_uid,
        }
        self._wire.send(
            self._command(context_id, request)
            + pdu.message(context_id, 0, instance.data_set, self._max_pdu)
        )
        return self._status()

    def store_pieces(
        self,
        pair: tuple[str, str],
        sop_instance_uid: str,
        data_set: Iterable[bytes],
        origin: Mapping[int, int | str],
    ) -> int:
        """Send a C-STORE whose data set comes in pieces, and return its status.

        `pair` is one of `contexts`; `origin` names the C-MOVE that it belongs to.
        """
        elements: dict[int, int | str] = {
            Element.AffectedSOPClassUID: pair[0],
            Element.CommandField: Field.C_STORE_RQ,
            Element.Priority: _MEDIUM,
            Element.AffectedSOPInstanceUID: sop_instance_uid,
            **origin,
        }
        self.send(pair, elements, data_set)
        return self._status()

    def send(
        self,
        pair: tuple[str, str],
        elements: Mapping[int, int | str],
        data_set: Iterable[bytes] | None = None,
    ) -> int:
        """Send a message in the context of `pair` and return its message id."""
        context_id = self.contexts[pair]
        sent: dict[int, int | str] = {Element.MessageID: self._next_id(), **elements}
        sent[Element.CommandDataSetType] = NO_DATA_SET if data_set is None else DATA_SET
        if data_set is None:
            self._wire.send(self._command(context_id, sent))
        else:
            encoded = command.encode(sent)
            for part in pdu.messages(context_id, encoded, data_set, self._max_pdu):
                self._wire.send(part)
        return self._message_id

    def receive(self, intake: Callable[[str, str, Command], Intake]) -> tuple[Command, Answer]:
        """Return the next message and what its data set was answered by the intake.

        `intake` is asked with abstract syntax, transfer syntax and command.
        """
        pairs = {context_id: pair for pair, context_id in self.contexts.items()}
        received = bytearray()
        heard: Command | None = None
        taking: Intake | None = None
        while True:
            kind, body = self._wire.read()
            if kind != Kind.P_DATA:
                raise self._refusal(kind, body)
            for context_id, flags, fragment in pdu.fragments(body):
                if flags & pdu.COMMAND:
                    received += fragment
                    if flags & pdu.LAST:
                        heard = command.decode(received)
                        taking = intake(*pairs[context_id], heard)
                elif taking is not None:
                    taking.write(fragment)
                ended = bool(flags & pdu.LAST) and not (flags & pdu.COMMAND)
                if heard and taking and (ended or not heard.has_data_set):
                    return heard, taking.finish()

    def reply(self, pair: tuple[str, str], request: Command, answer: Answer) -> None:
        """Answer a request that came on this association."""
        response = command.response(request, answer)
        context_id = self.contexts[pair]
        self._wire.send(pdu.message(context_id, pdu.COMMAND, response, self._max_pdu))

    def release(self) -> None:
        """Release the association and close the connection."""
        self._wire.send(pdu.RELEASE_RQ)
        self._wire.read()
        self._wire.close()

    def abandon(self) -> None:
        """Close the connection without a word."""
        self._wire.close()

    def _accepted(self, request: bytes) -> Acceptance:
        try:
            self._wire.send(request)
            kind, body = self._wire.read()
        except BaseException:
            self._wire.close()
            raise
        if kind != Kind.ASSOCIATE_AC:
            raise self._refusal(kind, body)
        return decode_acceptance(bytes(body))

    def _command(self, context_id: int, elements: dict[int, int | str]) -> bytes:
        return pdu.message(context_id, pdu.COMMAND, command.encode(elements), self._max_pdu)

    def _status(self) -> int:
        status = self._response().number(Element.Status)
        if status is None:
            raise Fault(Fault.INVALID_PARAMETER, "A response has no status")
        return status

    def _response(self) -> Command:
        received = bytearray()
        while True:
            kind, body = self._wire.read()
            if kind != Kind.P_DATA:
                raise self._refusal(kind, body)
            for _, flags, fragment in pdu.fragments(body):
                received += fragment
                if flags & pdu.LAST:
                    return command.decode(received)

    def _refusal(self, kind: int, body: memoryview) -> Refusal:
        refusal = Refusal(kind, bytes(body))
        self._wire.close()
        return refusal

    def _next_id(self) -> int:
        self._message_id = self._message_id % _MAX_COUNT + 1
        return self._message_id


def _request(
    called: str, calling: str, proposals: tuple[Proposal, ...], roles: Mapping[str, Role]
) -> bytes:
    user = User(DEFAULT_MAX_PDU, CLASS_UID, VERSION_NAME, roles)
    request = Request(PROTOCOL_VERSION, called, calling, APPLICATION_CONTEXT, proposals, user)
    return pdu.pdu(Kind.ASSOCIATE_RQ, encode_request(request))
