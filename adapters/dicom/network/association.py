"""One association on its thread: accepted or rejected, then message after message.

https://dicom.nema.org/medical/dicom/current/output/html/part08.html#sect_9.2
https://dicom.nema.org/medical/dicom/current/output/html/part07.html#sect_9.3
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing

from adapters.dicom import metrics
from adapters.dicom.network import command, pdu
from adapters.dicom.network.associate import Request, decode_request, encode_acceptance
from adapters.dicom.network.classes import Service as Kinds
from adapters.dicom.network.classes import service_of
from adapters.dicom.network.command import RESPONSE, Answer, Command, Element, Field, Notice
from adapters.dicom.network.desk import Desk, Patience, nobody
from adapters.dicom.network.negotiate import Agreed, Negotiated, Rejected, negotiate
from adapters.dicom.network.pdu import Fault, Kind
from adapters.dicom.network.peer import UNKNOWN, Admitted, Peer
from adapters.dicom.network.services import Fixed, Intake, Operation, Stopped
from adapters.dicom.network.statuses import NOT_AUTHORIZED, SUCCESS, UNRECOGNIZED_OPERATION
from adapters.dicom.network.wire import Closed, TimedOut, Wire

log = logging.getLogger(__name__)

MAX_REQUEST = 1 << 20
MAX_COMMAND = 16 << 10
_LINGER = 2.0
# How long the peer is listened to before it is asked again what there is to tell it.
_NOTICE_SECONDS = 0.1


class Association:
    """The acceptor's side of one association; `run` returns when it is over."""

    def __init__(
        self,
        wire: Wire,
        address: str,
        *,
        desk: Desk,
        patience: Patience,
        refusal: Rejected | None = None,
        others: Callable[[str], Desk | Rejected | None] = nobody,
    ) -> None:
        """Serve what comes; `others` has the desks, or refusals, of other called AE titles."""
        self._wire = wire
        self._peer = Peer(address, "", "")
        self._desk = desk
        self._patience = patience
        self._refusal = refusal
        self._others = others
        self.contexts: Mapping[int, Agreed] = {}
        self._max_pdu = 0
        self._command = bytearray()
        self._pending: tuple[Agreed, Command, Intake | Operation] | None = None
        self._complete = False
        self._cancelled = False
        self._message_id = 0
        self._stopping = False
        self._counts: Counter[str] = Counter()
        self._later: list[Iterator[Notice | None]] = []
        self._told: dict[int, Notice] = {}
        self._is_accepted = False

    def run(self) -> None:
        """Serve the peer until release, abort, fault, silence or `stop`."""
        linger = _LINGER
        try:
            if self._open():
                self._exchange()
        except Fault as fault:
            log.warning("association with %s aborted: %s", self._peer.address, fault)
            self._abort(fault.reason)
        except (TimedOut, Stopped):
            self._abort(Fault.NOT_SPECIFIED)
        except Closed as closed:
            # What TLS had to say is heard only if it is waited for.
            linger = _LINGER if str(closed) else 0
            self._note_unshaken(str(closed))
            if self._stopping:
                self._abort(Fault.NOT_SPECIFIED)
        except Exception as error:  # noqa: BLE001  (nothing may end the listener)
            log.error("association failed: %s", type(error).__name__)  # noqa: TRY400  (no values)
            self._abort(Fault.NOT_SPECIFIED)
        finally:
            if self._pending:
                self._pending[2].discard()
            self._wire.close(linger)
            if self._counts:
                done = ", ".join(f"{count} {what}" for what, count in self._counts.items())
                log.info("association with %s: %s", self._peer.address, done)

    def _note_unshaken(self, why: str) -> None:
        """Take note of who could not be let in, as there was no TLS with it."""
        if why and not self._is_accepted:
            log.warning("association with %s: %s", self._peer.address, why)
            self._desk.note(Peer(self._peer.address, UNKNOWN, ""), why)

    def stop(self) -> None:
        """End after the message that is under way; at once when there is none."""
        self._stopping = True
        if self._pending is None:
            self._wire.interrupt()

    def _open(self) -> bool:
        """Receive the request and answer it; return whether it was accepted."""
        self._wire.deadline = time.monotonic() + self._patience.artim
        kind, body = self._wire.read()
        if kind != Kind.ASSOCIATE_RQ:
            raise _unexpected(kind)
        request = decode_request(bytes(body))
        verdict = self._refusal or self._verdict(request)
        if isinstance(verdict, Rejected):
            log.warning("association with %s rejected: %s", self._peer.address, verdict)
            why = f"{verdict.result},{verdict.source},{verdict.reason}"
            metrics.rejected.labels(why).inc()
            if verdict.is_permanent:
                caller = Peer(self._peer.address, request.calling, request.called)
                self._desk.note(caller, f"The association was rejected ({why})")
            self._wire.send(pdu.rejection(verdict.result, verdict.source, verdict.reason))
            return False
        self.contexts = verdict.contexts
        self._max_pdu = request.user.max_pdu
        self._wire.deadline = None
        self._wire.patience(self._patience.idle)
        self._wire.widen(self._desk.policy.max_pdu)
        self._wire.send(pdu.pdu(Kind.ASSOCIATE_AC, encode_acceptance(verdict.acceptance)))
        self._is_accepted = True
        return True

    def _verdict(self, request: Request) -> Negotiated | Rejected:
        """Negotiate, and then see whether the caller may be who it says it is."""
        other = self._others(request.called)
        if isinstance(other, Rejected):
            return other
        if other is not None:
            self._desk = other
        admitted = self._desk.admit(request, self._peer.address, self._wire.certificate())
        known = isinstance(admitted, Admitted) and admitted.known
        verdict = negotiate(request, self._desk.policy, known=known)
        if isinstance(admitted, Rejected):
            return verdict if isinstance(verdict, Rejected) else admitted
        self._peer = Peer(
            self._peer.address,
            request.calling,
            request.called,
            admitted.services,
            admitted.issuer,
            admitted.timezone,
            admitted.character_set,
        )
        return verdict

    def _exchange(self) -> None:
        while not (self._stopping and self._pending is None):
            self._tell()
            kind, body = self._wire.read()
            if kind == Kind.P_DATA:
                for context_id, flags, fragment in pdu.fragments(body):
                    self._take(context_id, flags, fragment)
                if self._complete:
                    self._respond()
            elif kind == Kind.RELEASE_RQ:
                self._wire.send(pdu.RELEASE_RP)
                return
            elif kind == Kind.ABORT:
                raise Closed
            else:
                raise _unexpected(kind)
        raise Stopped

    def _tell(self) -> None:
        """Until the peer says something, request of it what `Answer.later` has come to."""
        while self._later and self._pending is None and not self._command:
            if self._wire.ready(_NOTICE_SECONDS) or self._stopping:
                return
            for later in tuple(self._later):
                try:
                    notice = next(later)
                except StopIteration:
                    self._later.remove(later)
                    continue
                if notice is not None:
                    self._notify(notice)

    def _notify(self, notice: Notice) -> None:
        self._message_id = self._message_id % 0xFFFF + 1
        self._told[self._message_id] = notice
        sop_class = notice.elements[Element.AffectedSOPClassUID]
        found = (one for one in self.contexts.values() if one.abstract_syntax == sop_class)
        context_id = next(found).context_id
        sent = {**notice.elements, Element.MessageID: self._message_id}
        command_set = command.encode({**sent, Element.CommandDataSetType: command.DATA_SET})
        parts = pdu.messages(context_id, command_set, (notice.data_set,), self._max_pdu)
        self._wire.send(b"".join(parts))

    def _settle(self, response: Command) -> None:
        """Tell who had something requested what the peer answered."""
        notice = self._told.pop(response.number(Element.MessageIDBeingRespondedTo) or 0, None)
        if notice is None:
            raise Fault(Fault.UNEXPECTED_PARAMETER, "A response came without a request")
        notice.settle(response.number(Element.Status) or SUCCESS)

    def _take(self, context_id: int, flags: int, fragment: memoryview) -> None:
        context = self.contexts.get(context_id)
        if context is None:
            raise Fault(Fault.INVALID_PARAMETER, "The presentation context was not accepted")
        if flags & pdu.COMMAND:
            self._take_command(context, flags, fragment)
            return
        if self._pending is None or self._pending[0] is not context:
            raise Fault(Fault.UNEXPECTED_PARAMETER, "A data set came without its command")
        if self._complete:
            raise Fault(Fault.UNEXPECTED_PARAMETER, "A data set goes on after its end")
        self._pending[2].write(fragment)
        if flags & pdu.LAST:
            self._complete = True

    def _take_command(self, context: Agreed, flags: int, fragment: memoryview) -> None:
        if self._pending is not None and not self._complete:
            raise Fault(Fault.UNEXPECTED_PARAMETER, "A command came inside a data set")
        self._command += fragment
        if len(self._command) > MAX_COMMAND:
            raise Fault(Fault.INVALID_PARAMETER, "A command is too long")
        if flags & pdu.LAST:
            request = command.decode(self._command)
            self._command.clear()
            self._begin(context, request)

    def _begin(self, context: Agreed, request: Command) -> None:
        if request.field == Field.C_CANCEL_RQ:
            self._cancel(request)
            return
        if self._pending is not None:
            raise Fault(Fault.UNEXPECTED_PARAMETER, "A request came before the last was answered")
        if request.field & RESPONSE:
            self._settle(request)
            if request.has_data_set:
                self._pending = (context, request, Fixed(Answer(SUCCESS)))
            return
        self._cancelled = False
        self._pending = (context, request, self._intake(context, request))
        if request.has_data_set:
            self._wire.patience(self._patience.dimse)
        else:
            self._complete = True

    def _intake(self, context: Agreed, request: Command) -> Intake | Operation:
        service = self._desk.services.get(request.field)
        if service is None:
            return Fixed(Answer(UNRECOGNIZED_OPERATION))
        kind = service_of(context.abstract_syntax)
        allowed = self._peer.services
        if allowed is not None and kind not in allowed and kind != Kinds.ECHO:
            self._desk.note(self._peer, f"The peer may not use the service {kind}")
            return Fixed(Answer(NOT_AUTHORIZED, "The peer may not use this service"))
        return service(self._peer, context, request)

    def _cancel(self, request: Command) -> None:
        """Take note of a C-CANCEL; what else it would cancel has been answered."""
        if self._pending is not None:
            about = request.number(Element.MessageIDBeingRespondedTo)
            self._cancelled |= about == self._pending[1].message_id

    def _respond(self) -> None:
        if self._pending is None:
            return
        context, request, intake = self._pending
        if request.field & RESPONSE:
            self._pending, self._complete = None, False
            return
        if isinstance(intake, Operation):
            status = self._operate(context, request, intake)
        else:
            answer = intake.finish()
            self._send(context, request, answer)
            status = answer.status
            if answer.later is not None:
                self._later.append(answer.later)
        self._pending = None
        self._complete = False
        self._counts[f"{_name(request.field)} {status:04X}"] += 1
        self._wire.patience(self._patience.idle)

    def _operate(self, context: Agreed, request: Command, operation: Operation) -> int:
        """Send the responses of an operation and return the final status."""
        status = SUCCESS
        self._wire.patience(self._patience.dimse)
        with closing(_generator(operation.answers(self))) as answers:
            for answer in answers:
                self._send(context, request, answer)
                status = answer.status
        return status

    def _send(self, context: Agreed, request: Command, answer: Answer) -> None:
        """Send a response, its data set in the same call."""
        reply = command.response(request, answer)
        message = pdu.message(context.context_id, pdu.COMMAND, reply, self._max_pdu)
        if answer.data_set is not None:
            message += pdu.message(context.context_id, 0, answer.data_set, self._max_pdu)
        self._wire.send(message)

    def cancelled(self) -> bool:
        """Return whether the requester has sent a C-CANCEL for what is being answered."""
        if self._stopping:
            raise Stopped
        while not self._cancelled and self._wire.ready():
            self._listen()
        return self._cancelled

    def request(
        self, context: Agreed, elements: Mapping[int, int | str], data_set: Iterable[bytes]
    ) -> Command:
        """Send a request on this association, as its SCU, and return the response to it."""
        self._message_id = self._message_id % 0xFFFF + 1
        sent = {**elements, Element.MessageID: self._message_id}
        for part in pdu.messages(context.context_id, command.encode(sent), data_set, self._max_pdu):
            self._wire.send(part)
        while True:
            heard = self._listen()
            if heard is None:
                continue
            if heard.number(Element.MessageIDBeingRespondedTo) == self._message_id:
                return heard
            raise Fault(Fault.UNEXPECTED_PARAMETER, "A response has no request")

    def _listen(self) -> Command | None:
        """Read a PDU while an operation is under way; return the response that it ends."""
        kind, body = self._wire.read()
        if kind != Kind.P_DATA:
            raise Closed if kind in {Kind.ABORT, Kind.RELEASE_RQ} else _unexpected(kind)
        heard = None
        for _, flags, fragment in pdu.fragments(body):
            if not flags & pdu.COMMAND:
                raise Fault(Fault.UNEXPECTED_PARAMETER, "A data set came during an operation")
            self._command += fragment
            if len(self._command) > MAX_COMMAND:
                raise Fault(Fault.INVALID_PARAMETER, "A command is too long")
            if flags & pdu.LAST:
                received = command.decode(self._command)
                self._command.clear()
                if received.field == Field.C_CANCEL_RQ:
                    self._cancel(received)
                elif received.number(Element.MessageIDBeingRespondedTo) in self._told:
                    self._settle(received)
                elif received.field & RESPONSE:
                    heard = received
                else:
                    raise Fault(Fault.UNEXPECTED_PARAMETER, "A request came during an operation")
        return heard

    def _abort(self, reason: int) -> None:
        try:
            self._wire.send(pdu.abort(reason))
        except (Closed, TimedOut):
            return


def _generator(answers: Iterator[Answer]) -> Generator[Answer]:
    yield from answers


def _name(field: int) -> str:
    known = field in Field.__members__.values()
    return Field(field).name.removesuffix("_RQ") if known else f"{field:04X}"


def _unexpected(kind: int) -> Fault:
    known = kind in Kind.__members__.values()
    reason = Fault.UNEXPECTED_PDU if known else Fault.UNRECOGNIZED_PDU
    return Fault(reason, "A PDU of this type has no place here")
