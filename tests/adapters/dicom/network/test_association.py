import select
import socket
import threading
import time
from collections.abc import Callable

import psutil
import pytest
from pynetdicom import AE

from adapters.dicom.listener import THREAD
from adapters.dicom.network import command, pdu
from adapters.dicom.network.associate import (
    APPLICATION_CONTEXT,
    Proposal,
    Request,
    User,
    encode_request,
)
from adapters.dicom.network.command import Element, Field
from adapters.dicom.network.pdu import COMMAND, HEADER, LAST, Kind
from adapters.dicom.network.scu import Refusal, Sender
from adapters.dicom.simulation.computed_tomography import Study, instances
from tests.adapters.dicom.conftest import Archive

ECHO = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
ABORT = b"\7\0\0\0\0\4\0\0\2"


def request(**changes: object) -> bytes:
    values: dict[str, object] = {
        "version": 1,
        "called": "SANGAM",
        "calling": "MODALITY",
        "application_context": APPLICATION_CONTEXT,
        "proposals": (Proposal(1, ECHO, (EXPLICIT,)), Proposal(3, CT, (EXPLICIT,))),
        "user": User(16384),
    }
    return pdu.pdu(Kind.ASSOCIATE_RQ, encode_request(Request(**(values | changes))))


def received(connection: socket.socket) -> bytes:
    """Return all that comes until the peer closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def read_pdu(connection: socket.socket) -> tuple[int, bytes]:
    header = connection.recv(HEADER.size, socket.MSG_WAITALL)
    kind, length = HEADER.unpack(header)
    return kind, connection.recv(length, socket.MSG_WAITALL)


def opened(archive: Archive) -> socket.socket:
    connection = archive.connect()
    connection.sendall(request())
    assert read_pdu(connection)[0] == Kind.ASSOCIATE_AC
    return connection


def echo_request(context_id: int = 1) -> bytes:
    elements: dict[int, int | str] = {
        Element.AffectedSOPClassUID: ECHO,
        Element.CommandField: Field.C_ECHO_RQ,
        Element.MessageID: 1,
        Element.CommandDataSetType: 0x0101,
    }
    return pdu.message(context_id, COMMAND, command.encode(elements), 0)


def store_request(**changes: int | str) -> bytes:
    elements: dict[int, int | str] = {
        Element.AffectedSOPClassUID: CT,
        Element.CommandField: Field.C_STORE_RQ,
        Element.MessageID: 1,
        Element.CommandDataSetType: 1,
        Element.AffectedSOPInstanceUID: "1.2.3",
    }
    elements |= {Element[name]: value for name, value in changes.items()}
    return pdu.message(3, COMMAND, command.encode(elements), 0)


def status(raw: bytes) -> int | None:
    [(_, flags, fragment)] = pdu.fragments(memoryview(raw))
    assert flags == COMMAND | LAST
    return command.decode(bytes(fragment)).number(Element.Status)


def test_an_echo_is_answered(archive: Archive) -> None:
    with Sender(archive.address, called="SANGAM", calling="ANYONE") as sender:
        assert [sender.echo() for _ in range(3)] == [0, 0, 0]


def test_another_implementation_is_answered(archive: Archive) -> None:
    entity = AE("MODALITY")
    entity.add_requested_context(ECHO)
    association = entity.associate(*archive.address, ae_title="SANGAM")
    assert association.is_established
    assert association.send_c_echo().Status == 0
    association.release()
    assert association.is_released


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"called": "OTHER"}, (1, 1, 7)),
        ({"version": 2}, (1, 2, 2)),
        ({"application_context": "1.2.3"}, (1, 1, 2)),
    ],
)
def test_who_may_not_connect_is_rejected(
    archive: Archive, changes: dict[str, object], answer: tuple[int, int, int]
) -> None:
    with archive.connect() as connection:
        connection.sendall(request(**changes))
        assert received(connection) == pdu.rejection(*answer)


def test_an_unknown_calling_title_is_rejected(start: Callable[..., Archive]) -> None:
    archive = start(calling_ae_titles=("MODALITY",))
    with pytest.raises(Refusal) as caught:
        Sender(archive.address, called="SANGAM", calling="STRANGER")
    assert caught.value.body == bytes((0, 1, 1, 3))
    with Sender(archive.address, called="SANGAM", calling="MODALITY") as sender:
        assert sender.echo() == 0


def test_a_foreign_host_is_not_let_in(start: Callable[..., Archive]) -> None:
    archive = start(allow_hosts=("192.0.2.0/24",))
    with archive.connect() as connection:
        assert received(connection) == b""


def test_one_association_too_many_is_rejected(start: Callable[..., Archive]) -> None:
    archive = start(max_associations_per_host=2)
    with opened(archive), opened(archive), archive.connect() as third:
        third.sendall(request())
        assert received(third) == pdu.rejection(2, 3, 2)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 6),  # its "length" is over the limit
        (b"\x01\0\xff\xff\xff\xff", 6),
        (b"\x63\0\0\0\0\0", 1),
        (pdu.RELEASE_RQ, 2),
        (b"\x01\0\0\0\0\4abcd", 6),
        (echo_request(), 2),
    ],
)
def test_garbage_instead_of_a_request_is_aborted(
    archive: Archive, sent: bytes, reason: int
) -> None:
    with archive.connect() as connection:
        connection.sendall(sent)
        assert received(connection) == ABORT + bytes((reason,))


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (HEADER.pack(Kind.P_DATA, 131073) + bytes(100), 6),
        (echo_request(context_id=99), 6),
        (request(), 2),
        (b"\x63\0\0\0\0\0", 1),
        (pdu.p_data(3, LAST, b"data set without command"), 5),
        (store_request() + echo_request(), 5),
        (pdu.p_data(1, COMMAND | LAST, b"no command set at all"), 6),
        (pdu.p_data(1, COMMAND, bytes(20_000)), 6),
        (HEADER.pack(Kind.P_DATA, 6) + b"\0\0\0\xff\1\0", 6),
        (
            pdu.message(
                1,
                COMMAND,
                command.encode({Element.CommandField: 0x8030, Element.CommandDataSetType: 0x0101}),
                0,
            ),
            5,
        ),
    ],
)
def test_a_broken_protocol_is_aborted(archive: Archive, sent: bytes, reason: int) -> None:
    with opened(archive) as connection:
        connection.sendall(sent)
        assert received(connection) == ABORT + bytes((reason,))
    assert archive.files() == []


def test_others_are_undisturbed_by_a_fault(archive: Archive) -> None:
    with Sender(archive.address, called="SANGAM", calling="GOOD") as good:
        with archive.connect() as bad:
            bad.sendall(b"\x63" * 100)
            received(bad)
        assert good.echo() == 0


@pytest.mark.parametrize(
    "operation", [0x0777, Field.N_GET_RQ, Field.C_FIND_RQ], ids=("unknown", "get", "find")
)
def test_an_operation_that_a_class_does_not_have_is_answered(
    archive: Archive, operation: int
) -> None:
    elements: dict[int, int | str] = {
        Element.CommandField: operation,
        Element.MessageID: 1,
        Element.CommandDataSetType: 0x0101,
    }
    with opened(archive) as connection:
        connection.sendall(pdu.message(1, COMMAND, command.encode(elements), 0))
        assert status(read_pdu(connection)[1]) == 0x0211
        connection.sendall(echo_request())
        assert status(read_pdu(connection)[1]) == 0


def test_a_cancel_of_nothing_is_ignored(archive: Archive) -> None:
    cancel: dict[int, int | str] = {
        Element.CommandField: Field.C_CANCEL_RQ,
        Element.MessageIDBeingRespondedTo: 1,
        Element.CommandDataSetType: 0x0101,
    }
    with opened(archive) as connection:
        connection.sendall(pdu.message(1, COMMAND, command.encode(cancel), 0) + echo_request())
        assert status(read_pdu(connection)[1]) == 0


def test_a_message_in_the_smallest_pieces_is_understood(archive: Archive) -> None:
    [slice_] = instances(Study(1, 1, size=8))
    sent = store_request(AffectedSOPInstanceUID=slice_.sop_instance_uid) + pdu.message(
        3, 0, slice_.data_set, 100
    )
    with opened(archive) as connection:
        for start in range(0, len(sent), 7):
            connection.sendall(sent[start : start + 7])
        assert status(read_pdu(connection)[1]) == 0
    assert archive.stored(slice_.sop_instance_uid) == slice_.data_set


def test_a_peer_that_sends_no_request_is_aborted(start: Callable[..., Archive]) -> None:
    archive = start(artim_seconds=0.3)
    with archive.connect() as connection:
        connection.sendall(b"\x01\0\0\0\xff\0")
        for _ in range(200):
            if select.select([connection], [], [], 0.05)[0]:
                break
            connection.sendall(b"\0")
        else:
            pytest.fail("a byte now and then prolongs the time")
        assert received(connection) == ABORT + b"\0"


def test_a_peer_that_stalls_inside_a_message_is_aborted(start: Callable[..., Archive]) -> None:
    archive = start(dimse_seconds=0.2)
    with opened(archive) as connection:
        connection.sendall(store_request() + pdu.p_data(3, 0, bytes(1000)))
        assert received(connection) == ABORT + b"\0"
    assert archive.files() == []


def test_an_idle_peer_is_aborted(start: Callable[..., Archive]) -> None:
    archive = start(idle_seconds=0.2)
    with opened(archive) as connection:
        assert received(connection) == ABORT + b"\0"


def test_a_peer_that_vanishes_leaves_nothing(archive: Archive) -> None:
    connection = opened(archive)
    connection.sendall(store_request() + pdu.p_data(3, 0, bytes(100_000)))
    time.sleep(0.1)
    connection.close()
    deadline = time.monotonic() + 5
    while archive.files() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert archive.files() == []


def test_stopping_ends_idle_associations(start: Callable[..., Archive]) -> None:
    archive = start()
    with opened(archive) as connection:
        archive.stop.set()
        assert received(connection) == ABORT + b"\0"


def test_stopping_lets_a_message_finish(start: Callable[..., Archive]) -> None:
    archive = start()
    [slice_] = instances(Study(1, 1, size=8))
    with opened(archive) as connection:
        connection.sendall(store_request(AffectedSOPInstanceUID=slice_.sop_instance_uid))
        time.sleep(0.1)
        archive.stop.set()
        time.sleep(0.5)
        connection.sendall(pdu.message(3, 0, slice_.data_set, 0))
        assert status(read_pdu(connection)[1]) == 0
        assert received(connection) == ABORT + b"\0"
    assert archive.stored(slice_.sop_instance_uid) == slice_.data_set


def test_a_thousand_bare_connections_leave_nothing(archive: Archive) -> None:
    process = psutil.Process()
    for _ in range(200):
        archive.connect().close()
    time.sleep(0.5)
    before = process.memory_info().rss
    for _ in range(1000):
        archive.connect().close()
    deadline = time.monotonic() + 30
    while _associations() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _associations() == []
    assert process.memory_info().rss - before < 8 << 20
    with Sender(archive.address, called="SANGAM", calling="AFTER") as sender:
        assert sender.echo() == 0


def _associations() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD]
