"""A-ASSOCIATE-RQ and A-ASSOCIATE-AC as values.

https://dicom.nema.org/medical/dicom/current/output/html/part08.html#sect_9.3.2
https://dicom.nema.org/medical/dicom/current/output/html/part07.html#sect_D.3
"""

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from adapters.dicom.network.pdu import Fault

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
PROTOCOL_VERSION = 1
MAX_CONTEXTS = 128

_FIXED = struct.Struct(">H2x16s16s32x")
_ITEM = struct.Struct(">BxH")
_UINT16 = struct.Struct(">H")
_UINT32 = struct.Struct(">I")

_APPLICATION = 0x10
_CONTEXT_RQ = 0x20
_CONTEXT_AC = 0x21
_ABSTRACT = 0x30
_TRANSFER = 0x40
_USER = 0x50
_MAX_LENGTH = 0x51
_CLASS = 0x52
_ROLE = 0x54
_VERSION = 0x55
_EXTENDED = 0x56


@dataclass(frozen=True, slots=True)
class Proposal:
    """A presentation context that the requester offers."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """The acceptor's answer to one proposal; result 0 is acceptance (PS3.8, Table 9-18)."""

    context_id: int
    result: int
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class Role:
    """Which roles of a SOP class the requester may take (PS3.7, D.3.3.4)."""

    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True)
class User:
    """User information; `max_pdu` is what its sender receives, 0 without limit."""

    max_pdu: int = 0
    implementation_class: str = ""
    implementation_version: str = ""
    roles: Mapping[str, Role] = field(default_factory=dict)
    extended: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """An A-ASSOCIATE-RQ; AE titles without their padding."""

    version: int
    called: str
    calling: str
    application_context: str
    proposals: tuple[Proposal, ...]
    user: User


@dataclass(frozen=True, slots=True)
class Acceptance:
    """An A-ASSOCIATE-AC."""

    called: str
    calling: str
    contexts: tuple[Context, ...]
    user: User


def decode_request(body: bytes) -> Request:
    """Return the body of an A-ASSOCIATE-RQ as a value; Fault when it is malformed."""
    version, called, calling = _fixed(body)
    application, user = "", User()
    proposals: list[Proposal] = []
    for kind, value in _items(body[_FIXED.size :]):
        if kind == _APPLICATION:
            application = _uid(value)
        elif kind == _CONTEXT_RQ:
            proposals.append(_proposal(value))
        elif kind == _USER:
            user = _decode_user(value)
    ids = {proposal.context_id for proposal in proposals}
    if not 0 < len(proposals) <= MAX_CONTEXTS or len(ids) < len(proposals):
        raise Fault(Fault.INVALID_PARAMETER, "The presentation contexts are not 1 to 128 of own id")
    return Request(version, called, calling, application, tuple(proposals), user)


def decode_acceptance(body: bytes) -> Acceptance:
    """Return the body of an A-ASSOCIATE-AC as a value; Fault when it is malformed."""
    _, called, calling = _fixed(body)
    user = User()
    contexts: list[Context] = []
    for kind, value in _items(body[_FIXED.size :]):
        if kind == _CONTEXT_AC:
            contexts.append(_context(value))
        elif kind == _USER:
            user = _decode_user(value)
    return Acceptance(called, calling, tuple(contexts), user)


def encode_request(request: Request) -> bytes:
    """Return the body of an A-ASSOCIATE-RQ."""
    return (
        _FIXED.pack(request.version, _title(request.called), _title(request.calling))
        + _item(_APPLICATION, request.application_context.encode())
        + b"".join(
            _item(
                _CONTEXT_RQ,
                bytes((proposal.context_id, 0, 0, 0))
                + _item(_ABSTRACT, proposal.abstract_syntax.encode())
                + b"".join(_item(_TRANSFER, uid.encode()) for uid in proposal.transfer_syntaxes),
            )
            for proposal in request.proposals
        )
        + _encode_user(request.user)
    )


def encode_acceptance(acceptance: Acceptance) -> bytes:
    """Return the body of an A-ASSOCIATE-AC."""
    return (
        _FIXED.pack(PROTOCOL_VERSION, _title(acceptance.called), _title(acceptance.calling))
        + _item(_APPLICATION, APPLICATION_CONTEXT.encode())
        + b"".join(
            _item(
                _CONTEXT_AC,
                bytes((context.context_id, 0, context.result, 0))
                + _item(_TRANSFER, context.transfer_syntax.encode()),
            )
            for context in acceptance.contexts
        )
        + _encode_user(acceptance.user)
    )


def _fixed(body: bytes) -> tuple[int, str, str]:
    if len(body) < _FIXED.size:
        raise Fault(Fault.INVALID_PARAMETER, "The A-ASSOCIATE PDU is cut off")
    version, called, calling = _FIXED.unpack_from(body)
    return version, _ae(called), _ae(calling)


def _items(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (type, value) of each item."""
    offset = 0
    while offset < len(body):
        if offset + _ITEM.size > len(body):
            raise Fault(Fault.INVALID_PARAMETER, "An item is cut off")
        kind, length = _ITEM.unpack_from(body, offset)
        offset += _ITEM.size
        if offset + length > len(body):
            raise Fault(Fault.INVALID_PARAMETER, "An item has a wrong length")
        yield kind, body[offset : offset + length]
        offset += length


def _proposal(value: bytes) -> Proposal:
    if len(value) < 4:  # noqa: PLR2004  (id and three reserved bytes)
        raise Fault(Fault.INVALID_PARAMETER, "A presentation context is cut off")
    abstract = ""
    transfer: list[str] = []
    for kind, item in _items(value[4:]):
        if kind == _ABSTRACT:
            abstract = _uid(item)
        elif kind == _TRANSFER:
            transfer.append(_uid(item))
    return Proposal(value[0], abstract, tuple(transfer))


def _context(value: bytes) -> Context:
    if len(value) < 4:  # noqa: PLR2004  (id, reserved, result, reserved)
        raise Fault(Fault.INVALID_PARAMETER, "A presentation context is cut off")
    syntaxes = [_uid(item) for kind, item in _items(value[4:]) if kind == _TRANSFER]
    return Context(value[0], value[2], syntaxes[0] if syntaxes else "")


def _decode_user(value: bytes) -> User:
    max_pdu, implementation, version = 0, "", ""
    roles: dict[str, Role] = {}
    extended: dict[str, bytes] = {}
    for kind, item in _items(value):
        if kind == _MAX_LENGTH and len(item) == _UINT32.size:
            max_pdu = _UINT32.unpack(item)[0]
        elif kind == _CLASS:
            implementation = _uid(item)
        elif kind == _VERSION:
            version = item.decode("ascii", "replace").strip()
        elif kind == _ROLE:
            uid, rest = _counted(item)
            roles[uid] = Role(rest[:1] == b"\1", rest[1:2] == b"\1")
        elif kind == _EXTENDED:
            uid, extended[uid] = _counted(item)
    return User(max_pdu, implementation, version, roles, extended)


def _counted(item: bytes) -> tuple[str, bytes]:
    """Split an item of UID length, UID and the rest."""
    if len(item) < _UINT16.size:
        raise Fault(Fault.INVALID_PARAMETER, "A sub-item is cut off")
    end = _UINT16.size + _UINT16.unpack_from(item)[0]
    return _uid(item[_UINT16.size : end]), item[end:]


def _encode_user(user: User) -> bytes:
    items = [
        _item(_MAX_LENGTH, _UINT32.pack(user.max_pdu)),
        _item(_CLASS, user.implementation_class.encode()),
    ]
    for uid, role in user.roles.items():
        items.append(_item(_ROLE, _count(uid) + bytes((role.scu, role.scp))))
    if user.implementation_version:
        items.append(_item(_VERSION, user.implementation_version.encode()))
    for uid, value in user.extended.items():
        items.append(_item(_EXTENDED, _count(uid) + value))
    return _item(_USER, b"".join(items))


def _count(uid: str) -> bytes:
    return _UINT16.pack(len(uid)) + uid.encode()


def _item(kind: int, value: bytes) -> bytes:
    return _ITEM.pack(kind, len(value)) + value


def _uid(value: bytes) -> str:
    return value.strip(b" \0").decode("ascii", "replace")


def _ae(value: bytes) -> str:
    return value.strip(b" \0").decode("ascii", "replace")


def _title(value: str) -> bytes:
    return value.encode("ascii", "replace").ljust(16)
