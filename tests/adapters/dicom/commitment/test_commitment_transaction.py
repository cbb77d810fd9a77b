import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.dicom.commitment.deliver import intact
from adapters.dicom.commitment.transaction import (
    Refused,
    Request,
    Stored,
    check,
    delay,
    duplicated,
    event,
    failures,
    information,
    may_come,
    understood,
)
from adapters.dicom.dataset.syntaxes import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from adapters.dicom.network.command import Command, Element, Field
from fhir_server.blobs import Blobs

MODEL = "1.2.840.10008.1.20.1"
WELL_KNOWN = "1.2.840.10008.1.20.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
ASKED = Request("1.2.3", ((CT, "1.2.4"), (CT, "1.2.5")))
STORAGE = {CT: True, MR: True, "1.2.840.10008.1.1": False}


def action(
    sop_class: str = MODEL, instance: str = WELL_KNOWN, kind: int = 1, *, data_set: bool = True
) -> Command:
    elements = {
        Element.RequestedSOPClassUID: sop_class.encode(),
        Element.RequestedSOPInstanceUID: instance.encode(),
        Element.ActionTypeID: struct.pack("<H", kind),
    }
    return Command(Field.N_ACTION_RQ, 1, data_set, elements)


@pytest.mark.parametrize(
    ("command", "status"),
    [
        pytest.param(action(kind=2), 0x0123, id="no such action"),
        pytest.param(action(instance="1.2.3"), 0x0112, id="no such instance"),
        pytest.param(action(instance="1.2.x"), 0x0117, id="invalid instance"),
        pytest.param(action(sop_class=CT), 0x0119, id="class of another instance"),
        pytest.param(action(sop_class="CT"), 0x0118, id="no such class"),
        pytest.param(action(data_set=False), 0x0212, id="no action information"),
    ],
)
def test_another_request_is_refused(command: Command, status: int) -> None:
    with pytest.raises(Refused) as refused:
        check(command)
    assert refused.value.status == status


def test_the_request_of_the_service_is_taken() -> None:
    check(action())


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
def test_references_are_read_as_they_were_written(syntax: str) -> None:
    assert understood(information(ASKED, (), "SANGAM", syntax), syntax) == ASKED


def test_a_reference_that_is_repeated_counts_once() -> None:
    twice = Request("1.2.3", (*ASKED.references, *ASKED.references))
    assert understood(information(twice, (), "", EXPLICIT_LITTLE), EXPLICIT_LITTLE) == ASKED


def test_without_transaction_or_references_there_is_no_argument() -> None:
    with pytest.raises(Refused) as refused:
        understood(information(Request("1.2.3", ()), (), "", IMPLICIT_LITTLE), IMPLICIT_LITTLE)
    assert refused.value.status == 0x0114


@given(st.binary(max_size=200), st.sampled_from([EXPLICIT_LITTLE, IMPLICIT_LITTLE]))
def test_any_bytes_are_a_request_or_refused(data: bytes, syntax: str) -> None:
    assert outcome(data, syntax) in {0, 0x0110, 0x0114, 0x0115}


def outcome(data: bytes, syntax: str) -> int:
    """Return the status of a refusal, 0 without one."""
    try:
        return 0 if understood(data, syntax).references else -1
    except Refused as refused:
        return refused.status


@pytest.mark.parametrize(
    ("reference", "stored", "reason"),
    [
        pytest.param((CT, "1.2.4"), None, 0x0112, id="not stored"),
        pytest.param((CT, "1.2.4"), Stored(MR, intact=True), 0x0119, id="of another class"),
        pytest.param((CT, "1.2.4"), Stored(CT, intact=False), 0x0110, id="damaged"),
        pytest.param(("1.2.840.10008.1.1", "1.2.4"), None, 0x0122, id="no storage"),
    ],
)
def test_what_cannot_be_committed_has_a_reason(
    reference: tuple[str, str], stored: Stored | None, reason: int
) -> None:
    known = {"1.2.4": stored} if stored else {}
    assert failures([reference], known, STORAGE) == [(*reference, reason)]


def test_what_is_stored_and_whole_is_committed() -> None:
    assert failures([(CT, "1.2.4")], {"1.2.4": Stored(CT, intact=True)}, STORAGE) == []


def test_only_what_is_unknown_is_waited_for() -> None:
    assert may_come([(CT, "1.2.4", 0x0110), (CT, "1.2.5", 0x0112)])
    assert not may_come([(CT, "1.2.4", 0x0110), (CT, "1.2.5", 0x0119)])


def test_a_duplicate_fails_whole() -> None:
    assert duplicated(ASKED.references) == [(CT, "1.2.4", 0x0131), (CT, "1.2.5", 0x0131)]


def test_the_event_tells_whether_all_was_committed() -> None:
    assert event(())[Element.EventTypeID] == 1
    assert event([(CT, "1.2.4", 0x0112)])[Element.EventTypeID] == 2


def test_reports_are_repeated_ever_more_slowly() -> None:
    assert [delay(n) / 60 for n in (1, 2, 3, 4)] == [1, 5, 15, 60]
    assert delay(1000) == 24 * 3600


def test_a_file_is_whole_by_its_size_or_by_its_content(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)
    digest = blobs.put(b"content")
    assert intact(blobs, digest, 7, by_hash=True)
    assert not intact(blobs, digest, 8, by_hash=False)
    blobs.path(digest).write_bytes(b"CONTENT")
    assert intact(blobs, digest, 7, by_hash=False)
    assert not intact(blobs, digest, 7, by_hash=True)
    blobs.path(digest).unlink()
    assert not intact(blobs, digest, 7, by_hash=False)
