"""One association on its thread: accepted or rejected, then message after message.

https://dicom.nema.org/medical/dicom/current/output/html/part08.html#sect_9.2
https://dicom.nema.org/medical/dicom/current/output/html/part07.html#sect_9.3
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from adapters.dicom.network import command, pdu
from adapters.dicom.network.associate import decode_request, encode_acceptance
from adapters.dicom.network.command import RESPONSE, Answer, Command, Field
from adapters.dicom.network.negotiate import Agreed, Policy, Rejected, negotiate
from adapters.dicom.network.pdu import Fault, Kind
from adapters.dicom.network.wire import Closed, TimedOut, Wire

log = logging.getLogger(__name__)

MAX_REQUEST = 1 << 20
MAX_COMMAND = 16 << 10
_LINGER = 2.0


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of an association."""

    address: str
    calling: str
    called: str


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to wait for a request, inside a message, and between messages (PS3.8, ARTIM)."""

    artim: float
    dimse: float
    idle: float


class Intake(Protocol):
    """Takes the data set of one message, fragment by fragment, and answers it."""

    def write(self, fragment: memoryview) -> None:
        """Take the next fragment; the view is not valid afterwards. Never raises."""

    def finish(self) -> Answer:
        """Return the status once all has come. Never raises."""

    def discard(self) -> None:
        """Forget a message that will not be completed, or that was answered."""


Service = Callable[[Peer, Agreed, Command], Intake]


@dataclass(frozen=True, slots=True)
class Fixed:
    """An intake that ignores the data set and answers what was known before."""

    answer: Answer

    def write(self, fragment: memoryview) -> None:
        """Ignore it."""

    def finish(self) -> Answer:
        """Return the answer."""
        return self.answer

    def discard(self) -> None:
        """Nothing was kept."""


SUCCESS = 0x0000
UNRECOGNIZED_OPERATION = 0x0211


def echo(_peer: Peer, _context: Agreed, _command: Command) -> Intake:
    """Answer a C-ECHO."""
    return Fixed(Answer(SUCCESS))


class _Stopped(Exception):
    """The listener is shutting down."""


class Association:
    """The acceptor's side of one association; `run` returns when it is over."""

    def __init__(
        self,
        wire: Wire,
        address: str,
        *,
        policy: Policy,
        patience: Patience,
        services: Mapping[int, Service],
        refusal: Rejected | None = None,
    ) -> None:
        self._wire = wire
        self._peer = Peer(address, "", "")
        self._policy = policy
        self._patience = patience
        self._services = services
        self._refusal = refusal
        self._contexts: Mapping[int, Agreed] = {}
        self._max_pdu = 0
        self._command = bytearray()
        self._pending: tuple[Agreed, Command, Intake] | None = None
        self._stopping = False
        self._counts: Counter[str] = Counter()

    def run(self) -> None:
        """Serve the peer until release, abort, fault, silence or `stop`."""
        linger = _LINGER
        try:
            if self._open():
                self._exchange()
        except Fault as fault:
            log.warning("association with %s aborted: %s", self._peer.address, fault)
            self._abort(fault.reason)
        except (TimedOut, _Stopped):
            self._abort(Fault.NOT_SPECIFIED)
        except Closed:
            linger = 0
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
        verdict = self._refusal or negotiate(request, self._policy)
        if isinstance(verdict, Rejected):
            log.warning("association with %s rejected: %s", self._peer.address, verdict)
            self._wire.send(pdu.rejection(verdict.result, verdict.source, verdict.reason))
            return False
        self._peer = Peer(self._peer.address, request.calling, request.called)
        self._contexts = verdict.contexts
        self._max_pdu = request.user.max_pdu
        self._wire.deadline = None
        self._wire.patience(self._patience.idle)
        self._wire.widen(self._policy.max_pdu)
        self._wire.send(pdu.pdu(Kind.ASSOCIATE_AC, encode_acceptance(verdict.acceptance)))
        return True

    def _exchange(self) -> None:
        while not (self._stopping and self._pending is None):
            kind, body = self._wire.read()
            if kind == Kind.P_DATA:
                for context_id, flags, fragment in pdu.fragments(body):
                    self._take(context_id, flags, fragment)
            elif kind == Kind.RELEASE_RQ:
                self._wire.send(pdu.RELEASE_RP)
                return
            elif kind == Kind.ABORT:
                raise Closed
            else:
                raise _unexpected(kind)
        raise _Stopped

    def _take(self, context_id: int, flags: int, fragment: memoryview) -> None:
        context = self._contexts.get(context_id)
        if context is None:
            raise Fault(Fault.INVALID_PARAMETER, "The presentation context was not accepted")
        if flags & pdu.COMMAND:
            self._take_command(context, flags, fragment)
            return
        if self._pending is None or self._pending[0] is not context:
            raise Fault(Fault.UNEXPECTED_PARAMETER, "A data set came without its command")
        self._pending[2].write(fragment)
        if flags & pdu.LAST:
            self._respond()

    def _take_command(self, context: Agreed, flags: int, fragment: memoryview) -> None:
        if self._pending is not None:
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
            return  # What it would cancel has been answered.
        if request.field & RESPONSE:
            raise Fault(Fault.UNEXPECTED_PARAMETER, "A response came without a request")
        service = self._services.get(request.field)
        if service is None:
            intake: Intake = Fixed(Answer(UNRECOGNIZED_OPERATION))
        else:
            intake = service(self._peer, context, request)
        self._pending = (context, request, intake)
        if request.has_data_set:
            self._wire.patience(self._patience.dimse)
        else:
            self._respond()

    def _respond(self) -> None:
        if self._pending is None:
            return
        context, request, intake = self._pending
        answer = intake.finish()
        reply = command.response(request, answer)
        self._wire.send(pdu.message(context.context_id, pdu.COMMAND, reply, self._max_pdu))
        self._pending = None
        self._counts[f"{_name(request.field)} {answer.status:04X}"] += 1
        self._wire.patience(self._patience.idle)

    def _abort(self, reason: int) -> None:
        try:
            self._wire.send(pdu.abort(reason))
        except (Closed, TimedOut):
            return


def _name(field: int) -> str:
    known = field in Field.__members__.values()
    return Field(field).name.removesuffix("_RQ") if known else f"{field:04X}"


def _unexpected(kind: int) -> Fault:
    known = kind in Kind.__members__.values()
    reason = Fault.UNEXPECTED_PDU if known else Fault.UNRECOGNIZED_PDU
    return Fault(reason, "A PDU of this type has no place here")
