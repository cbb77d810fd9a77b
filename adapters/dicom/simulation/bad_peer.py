"""Peers that break the protocol, to see what a listener does about them.

https://dicom.nema.org/medical/dicom/current/output/html/part08.html#sect_9.2
"""

import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from adapters.dicom.dataset.implementation import CLASS_UID, VERSION_NAME
from adapters.dicom.network import command, pdu
from adapters.dicom.network.associate import (
    APPLICATION_CONTEXT,
    PROTOCOL_VERSION,
    Proposal,
    Request,
    User,
    decode_acceptance,
    encode_request,
)
from adapters.dicom.network.command import DATA_SET, Element, Field
from adapters.dicom.network.pdu import DEFAULT_MAX_PDU, HEADER, Kind
from adapters.dicom.network.scu import Instance
from adapters.dicom.network.wire import Closed, TimedOut, Wire

_CONTEXT = 1
_MAX_BODY = 1 << 20
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Reaction:
    """What the listener did: accepted, rejected, aborted (with a reason), answered, closed, waits.

    `reason` is that of an A-ABORT (PS3.8, Table 9-26), or the status of an answer.
    """

    what: str
    reason: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """Where the listener is, and what it and we are called."""

    address: tuple[str, int]
    called: str
    calling: str
    seconds: float = 10.0


class _Line:
    """An association that goes wrong."""

    def __init__(self, target: Target, instance: Instance) -> None:
        self.socket = socket.create_connection(target.address, target.seconds)
        self.wire = Wire(self.socket, limit=_MAX_BODY)
        self.wire.patience(target.seconds)
        self.instance = instance
        proposal = Proposal(_CONTEXT, instance.sop_class_uid, (instance.transfer_syntax_uid,))
        user = User(DEFAULT_MAX_PDU, CLASS_UID, VERSION_NAME)
        request = Request(
            PROTOCOL_VERSION, target.called, target.calling, APPLICATION_CONTEXT, (proposal,), user
        )
        self.wire.send(pdu.pdu(Kind.ASSOCIATE_RQ, encode_request(request)))
        self.max_pdu = DEFAULT_MAX_PDU
        self.opened = self._opened()

    def _opened(self) -> Reaction:
        kind, body = self.wire.read()
        if kind != Kind.ASSOCIATE_AC:
            return Reaction("rejected", body[3] if len(body) > 3 else 0)  # noqa: PLR2004
        self.max_pdu = decode_acceptance(bytes(body)).user.max_pdu or DEFAULT_MAX_PDU
        return Reaction("accepted")

    def command(self) -> bytes:
        """Return the PDU of the C-STORE command."""
        elements: dict[int, int | str] = {
            Element.AffectedSOPClassUID: self.instance.sop_class_uid,
            Element.CommandField: Field.C_STORE_RQ,
            Element.MessageID: 1,
            Element.Priority: 0,
            Element.CommandDataSetType: DATA_SET,
            Element.AffectedSOPInstanceUID: self.instance.sop_instance_uid,
        }
        return pdu.message(_CONTEXT, pdu.COMMAND, command.encode(elements), self.max_pdu)

    def reaction(self) -> Reaction:
        """Wait for what the listener does."""
        try:
            kind, body = self.wire.read()
        except Closed:
            return Reaction("closed")
        except TimedOut:
            return Reaction("waits")
        if kind == Kind.ABORT:
            return Reaction("aborted", body[3])
        if kind != Kind.P_DATA:
            return Reaction("answered")
        [(_, _, fragment)] = pdu.fragments(body)
        answer = command.decode(bytes(fragment))
        return Reaction("answered", answer.number(Element.Status) or 0)


def _slow(line: _Line) -> Reaction:
    """Send a byte now and then, and never the whole instance."""
    line.wire.send(line.command())
    whole = pdu.p_data(_CONTEXT, pdu.LAST, line.instance.data_set)
    for byte in whole:
        try:
            line.wire.send(bytes((byte,)))
        except (Closed, TimedOut):
            break
        if line.wire.ready(_PAUSE_SECONDS):
            break
    return line.reaction()


def _silent(line: _Line) -> Reaction:
    """Begin an instance, and say nothing more."""
    line.wire.send(line.command() + _half(line))
    return line.reaction()


def _abort(line: _Line) -> Reaction:
    """Abort in the middle of an instance."""
    line.wire.send(line.command() + _half(line) + pdu.abort(0))
    return line.reaction()


def _vanish(line: _Line) -> Reaction:
    """Close the connection in the middle of an instance."""
    line.wire.send(line.command() + _half(line))
    line.socket.shutdown(socket.SHUT_WR)
    return line.reaction()


def _wrong_length(line: _Line) -> Reaction:
    """Send a presentation data value that is longer than its PDU."""
    whole = bytearray(line.command())
    whole[HEADER.size : HEADER.size + 4] = (len(whole) * 2).to_bytes(4, "big")
    line.wire.send(bytes(whole))
    return line.reaction()


def _huge_pdu(line: _Line) -> Reaction:
    """Announce a PDU that is longer than the listener takes."""
    line.wire.send(line.command() + HEADER.pack(Kind.P_DATA, line.max_pdu + HEADER.size + 1))
    return line.reaction()


def _no_release(line: _Line) -> Reaction:
    """Store an instance, and close the connection without a release."""
    line.wire.send(line.command() + pdu.message(_CONTEXT, 0, line.instance.data_set, line.max_pdu))
    return line.reaction()


def _half(line: _Line) -> bytes:
    """Return a first fragment of the instance."""
    size = min(len(line.instance.data_set) // 2, line.max_pdu - 6)
    return pdu.p_data(_CONTEXT, 0, line.instance.data_set[:size])


MODES: Final[Mapping[str, Callable[[_Line], Reaction]]] = {
    "slow": _slow,
    "silent": _silent,
    "abort": _abort,
    "vanish": _vanish,
    "wrong-length": _wrong_length,
    "huge-pdu": _huge_pdu,
    "no-release": _no_release,
}
"""How a peer may misbehave, by name."""


def misbehave(mode: str, target: Target, instance: Instance) -> tuple[Reaction, float]:
    """Misbehave with an instance; return what the listener did, and after how many seconds."""
    line = _Line(target, instance)
    began = time.monotonic()
    try:
        reaction = MODES[mode](line) if line.opened.what == "accepted" else line.opened
        return reaction, time.monotonic() - began
    finally:
        line.wire.close()
