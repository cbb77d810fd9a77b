"""Protocol data units of the DICOM upper layer.

https://dicom.nema.org/medical/dicom/current/output/html/part08.html#sect_9.3
"""

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum

HEADER = struct.Struct(">BxI")
_PDV = struct.Struct(">IBB")

DEFAULT_MAX_PDU = 131072
COMMAND = 0b01
LAST = 0b10


class Kind(IntEnum):
    """PDU types (PS3.8, sections 9.3.2 to 9.3.8)."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    P_DATA = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


class Fault(Exception):
    """The peer broke the protocol; `reason` goes into our A-ABORT (PS3.8, Table 9-26)."""

    NOT_SPECIFIED = 0
    UNRECOGNIZED_PDU = 1
    UNEXPECTED_PDU = 2
    UNRECOGNIZED_PARAMETER = 4
    UNEXPECTED_PARAMETER = 5
    INVALID_PARAMETER = 6

    def __init__(self, reason: int, text: str) -> None:
        super().__init__(text)
        self.reason = reason


def pdu(kind: Kind, body: bytes) -> bytes:
    """Return a whole PDU."""
    return HEADER.pack(kind, len(body)) + body


def rejection(result: int, source: int, reason: int) -> bytes:
    """Return an A-ASSOCIATE-RJ (PS3.8, Table 9-21)."""
    return pdu(Kind.ASSOCIATE_RJ, bytes((0, result, source, reason)))


def abort(reason: int) -> bytes:
    """Return an A-ABORT of the service provider, source 2."""
    return pdu(Kind.ABORT, bytes((0, 0, 2, reason)))


RELEASE_RQ = pdu(Kind.RELEASE_RQ, bytes(4))
RELEASE_RP = pdu(Kind.RELEASE_RP, bytes(4))


def p_data(context_id: int, flags: int, payload: bytes) -> bytes:
    """Return a P-DATA-TF with one presentation data value."""
    return pdu(Kind.P_DATA, _PDV.pack(len(payload) + 2, context_id, flags) + payload)


def message(context_id: int, flags: int, payload: bytes, max_pdu: int) -> bytes:
    """Return the P-DATA-TFs of a whole command or data set, none over `max_pdu` (0: no limit).

    `flags` is COMMAND or 0; LAST is set on the last fragment.
    """
    size = max((max_pdu or DEFAULT_MAX_PDU) - _PDV.size, 64)
    starts = range(0, len(payload), size) or range(1)
    return b"".join(
        p_data(
            context_id,
            flags | (LAST if start + size >= len(payload) else 0),
            payload[start : start + size],
        )
        for start in starts
    )


def messages(
    context_id: int, command_set: bytes, data_set: Iterable[bytes], max_pdu: int
) -> Iterator[bytes]:
    """Yield the P-DATA-TFs of a command and a data set that comes in pieces.

    The command leaves together with the first piece; at most one piece is held back,
    since only the last fragment says that it is the last.
    """
    size = max((max_pdu or DEFAULT_MAX_PDU) - _PDV.size, 64)
    ready = message(context_id, COMMAND, command_set, max_pdu)
    held = bytearray()
    for piece in data_set:
        held += piece
        while len(held) > size:
            ready += p_data(context_id, 0, bytes(held[:size]))
            del held[:size]
            yield ready
            ready = b""
    yield ready + p_data(context_id, LAST, bytes(held))


def fragments(body: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Yield (context id, flags, fragment) of a P-DATA-TF's body; views, not copies."""
    offset = 0
    while offset < len(body):
        if offset + _PDV.size > len(body):
            raise Fault(Fault.INVALID_PARAMETER, "A presentation data value is cut off")
        length, context_id, flags = _PDV.unpack_from(body, offset)
        end = offset + 4 + length
        if length < 2 or end > len(body):  # noqa: PLR2004  (context id and flags are counted)
            raise Fault(Fault.INVALID_PARAMETER, "A presentation data value has a wrong length")
        yield context_id, flags, body[offset + _PDV.size : end]
        offset = end
