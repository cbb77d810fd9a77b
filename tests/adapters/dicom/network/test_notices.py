"""Requests of ours on the association of a requester, while it is idle."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from adapters.dicom.network import command
from adapters.dicom.network.association import Association
from adapters.dicom.network.classes import COMMITMENT, VERIFICATION
from adapters.dicom.network.command import Answer, Command, Element, Field, Notice
from adapters.dicom.network.desk import Desk, Patience
from adapters.dicom.network.negotiate import Policy
from adapters.dicom.network.pdu import Fault, Kind
from adapters.dicom.network.scu import Refusal, Sender
from adapters.dicom.network.services import Fixed, Gathered, Intake, echo
from adapters.dicom.network.wire import Wire

IMPLICIT = "1.2.840.10008.1.2"
PAIRS = [(COMMITMENT, IMPLICIT), (VERIFICATION, IMPLICIT)]
REPORT: dict[int, int | str] = {
    Element.AffectedSOPClassUID: COMMITMENT,
    Element.CommandField: Field.N_EVENT_REPORT_RQ,
    Element.AffectedSOPInstanceUID: "1.2.3",
    Element.EventTypeID: 2,
}
ACTION: dict[int, int | str] = {
    Element.RequestedSOPClassUID: COMMITMENT,
    Element.RequestedSOPInstanceUID: "1.2.3",
    Element.CommandField: Field.N_ACTION_RQ,
    Element.ActionTypeID: 1,
}


@contextmanager
def asking(settled: list[int], after: int = 1) -> Iterator[Sender]:
    """Lend an association whose listener reports once, when it was asked `after` times."""

    def later() -> Iterator[Notice | None]:
        for _ in range(after):
            yield None
        yield Notice(REPORT, b"report", settled.append)

    def act(*_: object) -> Intake:
        return Fixed(Answer(0, later=later()))

    sock = socket.create_server(("127.0.0.1", 0))
    policy = Policy(
        frozenset(("OURS",)),
        None,
        16384,
        True,
        True,
        frozenset(),
        frozenset((COMMITMENT, VERIFICATION)),
    )

    def serve() -> None:
        connection, _ = sock.accept()
        Association(
            Wire(connection, limit=1 << 20),
            "127.0.0.1",
            desk=Desk(policy, {Field.N_ACTION_RQ: act, Field.C_ECHO_RQ: echo}),
            patience=Patience(5, 5, 5),
        ).run()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with Sender(sock.getsockname(), called="OURS", calling="US", contexts=PAIRS) as sender:
            yield sender
    finally:
        thread.join(10)
        sock.close()
    assert not thread.is_alive()


def act(sender: Sender) -> Command:
    sender.send(PAIRS[0], ACTION)
    response, _ = sender.receive(lambda *_: Fixed(Answer(0)))
    return response


def heard(sender: Sender) -> tuple[Command, list[bytes]]:
    data: list[bytes] = []

    def keep(found: bytes) -> Answer:
        data.append(found)
        return Answer(0)

    request, _ = sender.receive(lambda *_: Gathered(keep))
    return request, data


def test_a_response_names_what_was_requested() -> None:
    with asking([]) as sender:
        response = act(sender)
    assert response.uid(Element.AffectedSOPClassUID) == COMMITMENT
    assert response.uid(Element.AffectedSOPInstanceUID) == "1.2.3"
    assert response.number(Element.ActionTypeID) == 1


@pytest.mark.parametrize("with_data", [True, False])
def test_a_report_comes_when_it_is_there(*, with_data: bool) -> None:
    settled: list[int] = []
    with asking(settled, after=2) as sender:
        act(sender)
        request, data = heard(sender)
        assert (request.field, data) == (Field.N_EVENT_REPORT_RQ, [b"report"])
        reply = {
            Element.CommandField: Field.N_EVENT_REPORT_RQ | command.RESPONSE,
            Element.MessageIDBeingRespondedTo: request.message_id,
            Element.Status: 0x0110,
        }
        sender.send(PAIRS[0], reply, [b"reply!"] if with_data else None)
        assert sender.echo() == 0
    assert settled == [0x0110]


def test_the_requester_may_go_on_before_it_answers() -> None:
    settled: list[int] = []
    with asking(settled, after=0) as sender:
        act(sender)
        request, _ = heard(sender)
        sender.send(PAIRS[1], {Element.CommandField: Field.C_ECHO_RQ})
        response, _ = sender.receive(lambda *_: Fixed(Answer(0)))
        assert response.field == Field.C_ECHO_RQ | command.RESPONSE
        sender.reply(PAIRS[0], request, Answer(0))
        assert sender.echo() == 0
    assert settled == [0]


def test_the_requester_may_release_before_the_report() -> None:
    settled: list[int] = []
    with asking(settled, after=1000) as sender:
        act(sender)
    assert settled == []


def test_a_response_to_nothing_ends_the_association() -> None:
    def reply_to_nothing() -> None:
        with asking([], after=1000) as sender:
            act(sender)
            reply = {
                Element.CommandField: Field.N_EVENT_REPORT_RQ | command.RESPONSE,
                Element.MessageIDBeingRespondedTo: 77,
                Element.Status: 0,
            }
            sender.send(PAIRS[0], reply)
            sender.echo()

    with pytest.raises(Refusal) as refused:
        reply_to_nothing()
    assert (refused.value.kind, refused.value.body[3]) == (Kind.ABORT, Fault.UNEXPECTED_PARAMETER)
