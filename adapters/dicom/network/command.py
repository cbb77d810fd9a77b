"""Command sets of DIMSE messages, always in Implicit VR Little Endian.

https://dicom.nema.org/medical/dicom/current/output/html/part07.html#sect_6.3
https://dicom.nema.org/medical/dicom/current/output/html/part07.html#chapter_E
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from adapters.dicom.network.pdu import Fault

_ELEMENT = struct.Struct("<HHI")
_US = struct.Struct("<H")
_UL = struct.Struct("<I")
_AT = struct.Struct("<HH")

RESPONSE = 0x8000
NO_DATA_SET = 0x0101
DATA_SET = 0x0001
MAX_COMMENT = 64


class Field(IntEnum):
    """Values of (0000,0100) Command Field."""

    C_STORE_RQ = 0x0001
    C_GET_RQ = 0x0010
    C_FIND_RQ = 0x0020
    C_MOVE_RQ = 0x0021
    C_ECHO_RQ = 0x0030
    N_EVENT_REPORT_RQ = 0x0100
    N_GET_RQ = 0x0110
    N_SET_RQ = 0x0120
    N_ACTION_RQ = 0x0130
    N_CREATE_RQ = 0x0140
    N_DELETE_RQ = 0x0150
    C_CANCEL_RQ = 0x0FFF


class Element(IntEnum):
    """Element numbers of group 0000."""

    CommandGroupLength = 0x0000
    AffectedSOPClassUID = 0x0002
    RequestedSOPClassUID = 0x0003
    CommandField = 0x0100
    MessageID = 0x0110
    MessageIDBeingRespondedTo = 0x0120
    MoveDestination = 0x0600
    Priority = 0x0700
    CommandDataSetType = 0x0800
    Status = 0x0900
    ErrorComment = 0x0902
    ErrorID = 0x0903
    AffectedSOPInstanceUID = 0x1000
    RequestedSOPInstanceUID = 0x1001
    EventTypeID = 0x1002
    AttributeIdentifierList = 0x1005
    ActionTypeID = 0x1008
    NumberOfRemainingSuboperations = 0x1020
    NumberOfCompletedSuboperations = 0x1021
    NumberOfFailedSuboperations = 0x1022
    NumberOfWarningSuboperations = 0x1023
    MoveOriginatorApplicationEntityTitle = 0x1030
    MoveOriginatorMessageID = 0x1031


# What a response repeats of the request: the type of its event or action (PS3.7, 10.1).
_ECHOED: Mapping[int, Element] = {
    Field.N_EVENT_REPORT_RQ: Element.EventTypeID,
    Field.N_ACTION_RQ: Element.ActionTypeID,
}
_TEXTS = frozenset(
    (
        Element.ErrorComment,
        Element.MoveDestination,
        Element.MoveOriginatorApplicationEntityTitle,
    )
)


@dataclass(frozen=True, slots=True)
class Command:
    """A command set; `elements` holds every value as sent, by element number."""

    field: int
    message_id: int
    has_data_set: bool
    elements: Mapping[int, bytes]

    def uid(self, element: int) -> str:
        """Return a UID without its padding, "" when it is absent."""
        return self.elements.get(element, b"").strip(b" \0").decode("ascii", "replace")

    def text(self, element: int) -> str:
        """Return a text without its padding, "" when it is absent."""
        return self.uid(element)

    def number(self, element: int) -> int | None:
        """Return an unsigned short, None when it is absent."""
        value = self.elements.get(element)
        return _US.unpack(value)[0] if value is not None and len(value) == _US.size else None

    def tags(self, element: int) -> tuple[int, ...]:
        """Return the attribute tags of an element, none when it is absent."""
        value = self.elements.get(element, b"")
        whole = value[: len(value) // _AT.size * _AT.size]
        return tuple(group << 16 | number for group, number in _AT.iter_unpack(whole))


@dataclass(frozen=True, slots=True)
class Notice:
    """A request of ours on the association of a requester; `settle` is told its status."""

    elements: Mapping[int, int | str]
    data_set: bytes
    settle: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and its comment, which never holds patient data (PS3.7, Annex C).

    `data_set` goes with the response, in the context's transfer syntax; `elements` are
    further ones of its command set. `later` is asked, while the association is idle
    afterwards, for what to request of the peer: None is not yet.
    """

    status: int
    comment: str = ""
    data_set: bytes | None = None
    elements: Mapping[int, int | str | bytes] = field(default_factory=dict)
    later: Iterator[Notice | None] | None = None


def attribute_tags(tags: tuple[int, ...]) -> bytes:
    """Return tags as the value of (0000,1005) Attribute Identifier List."""
    return b"".join(_AT.pack(tag >> 16, tag & 0xFFFF) for tag in tags)


def decode(raw: bytes | bytearray) -> Command:
    """Return the command set; Fault when it is none."""
    elements: dict[int, bytes] = {}
    offset = 0
    while offset < len(raw):
        if offset + _ELEMENT.size > len(raw):
            raise Fault(Fault.INVALID_PARAMETER, "A command element is cut off")
        group, element, length = _ELEMENT.unpack_from(raw, offset)
        offset += _ELEMENT.size
        if group != 0 or offset + length > len(raw):
            raise Fault(Fault.INVALID_PARAMETER, "A command element is wrong")
        elements[element] = bytes(raw[offset : offset + length])
        offset += length
    command = Command(0, 0, False, elements)
    field = command.number(Element.CommandField)
    data_set = command.number(Element.CommandDataSetType)
    if field is None or data_set is None:
        raise Fault(Fault.INVALID_PARAMETER, "A command has no field or no data set type")
    return Command(field, command.number(Element.MessageID) or 0, data_set != NO_DATA_SET, elements)


def encode(elements: Mapping[int, int | str | bytes]) -> bytes:
    """Return a command set with its group length; numbers become US, text is padded.

    Only UIDs are padded with NUL (PS3.5, section 9).
    """
    encoded = [
        _ELEMENT.pack(0, element, len(value)) + value
        for element, value in ((e, _value(e, elements[e])) for e in sorted(elements))
    ]
    body = b"".join(encoded)
    return _ELEMENT.pack(0, 0, _UL.size) + _UL.pack(len(body)) + body


def _value(element: int, value: int | str | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, int):
        return _US.pack(value)
    text = value.encode("ascii", "replace")
    padding = b" " if element in _TEXTS else b"\0"
    return text + padding * (len(text) % 2)


def response(request: Command, answer: Answer) -> bytes:
    """Return the command set that answers `request`."""
    requested = Element.RequestedSOPClassUID, Element.RequestedSOPInstanceUID
    elements: dict[int, int | str | bytes] = {
        Element.AffectedSOPClassUID: request.uid(Element.AffectedSOPClassUID)
        or request.uid(requested[0]),
        Element.CommandField: request.field | RESPONSE,
        Element.MessageIDBeingRespondedTo: request.message_id,
        Element.CommandDataSetType: NO_DATA_SET if answer.data_set is None else DATA_SET,
        Element.Status: answer.status,
    }
    if answer.comment:
        elements[Element.ErrorComment] = answer.comment[:MAX_COMMENT]
    for element in (Element.AffectedSOPInstanceUID, requested[1]):
        if uid := request.uid(element):
            elements.setdefault(Element.AffectedSOPInstanceUID, uid)
    if type_id := request.number(_ECHOED.get(request.field, 0)):
        elements[_ECHOED[request.field]] = type_id
    return encode({**elements, **answer.elements})
