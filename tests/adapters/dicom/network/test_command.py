from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode as pynetdicom_decode
from pynetdicom.dsutils import encode as pynetdicom_encode

from adapters.dicom.network import command
from adapters.dicom.network.command import NO_DATA_SET, Answer, Element, Field
from adapters.dicom.network.pdu import Fault

STORE = {
    Element.AffectedSOPClassUID: "1.2.840.10008.5.1.4.1.1.2",
    Element.CommandField: Field.C_STORE_RQ,
    Element.MessageID: 7,
    Element.Priority: 0,
    Element.CommandDataSetType: 1,
    Element.AffectedSOPInstanceUID: "1.2.3",
}


def test_a_command_of_another_implementation_is_read() -> None:
    data = Dataset()
    data.AffectedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    data.CommandField = 1
    data.MessageID = 7
    data.CommandDataSetType = 1
    data.AffectedSOPInstanceUID = "1.2.3"
    found = command.decode(pynetdicom_encode(data, True, True) or b"")
    assert (found.field, found.message_id, found.has_data_set) == (1, 7, True)
    assert found.uid(Element.AffectedSOPClassUID) == "1.2.840.10008.5.1.4.1.1.2"
    assert found.uid(Element.AffectedSOPInstanceUID) == "1.2.3"


def test_a_response_is_read_by_another_implementation() -> None:
    request = command.decode(command.encode(STORE))
    raw = command.response(request, Answer(0xA700, "The archive is full"))
    data = pynetdicom_decode(BytesIO(raw), True, True)
    assert data.CommandGroupLength == len(raw) - 12
    assert data.CommandField == 0x8001
    assert data.MessageIDBeingRespondedTo == 7
    assert data.CommandDataSetType == NO_DATA_SET
    assert data.Status == 0xA700
    assert data.ErrorComment == "The archive is full"
    assert data.AffectedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert data.AffectedSOPInstanceUID == "1.2.3"


def test_an_error_comment_has_at_most_64_characters() -> None:
    request = command.decode(command.encode(STORE))
    answer = command.decode(command.response(request, Answer(0xC000, "x" * 100)))
    assert answer.elements[Element.ErrorComment] == b"x" * 64


def test_encode_and_decode_are_inverse() -> None:
    found = command.decode(command.encode(STORE))
    assert found.number(Element.Priority) == 0
    assert found.uid(Element.AffectedSOPInstanceUID) == "1.2.3"
    assert found.number(Element.Status) is None
    assert found.uid(Element.ErrorComment) == ""


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0\0\0\1",
        command.encode(STORE)[:-1],
        command.encode({Element.MessageID: 1}),  # no field
        b"\x08\0\x18\0\2\0\0\x001\0" + command.encode(STORE),  # an element of group 0008
        b"\0\0\0\1\xff\xff\xff\xff",
    ],
)
def test_what_is_no_command_set_is_a_fault(raw: bytes) -> None:
    with pytest.raises(Fault):
        command.decode(raw)
