import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.dicom.network import pdu
from adapters.dicom.network.pdu import COMMAND, HEADER, LAST, Fault, Kind


def bodies(raw: bytes) -> list[bytes]:
    found = []
    while raw:
        kind, length = HEADER.unpack_from(raw)
        assert kind == Kind.P_DATA
        found.append(raw[HEADER.size : HEADER.size + length])
        raw = raw[HEADER.size + length :]
    return found


@given(payload=st.binary(max_size=1000), max_pdu=st.integers(70, 300))
def test_fragments_of_a_message_join_to_it_and_fit_the_peer(payload: bytes, max_pdu: int) -> None:
    sent = bodies(pdu.message(3, COMMAND, payload, max_pdu))
    parts = [part for body in sent for part in pdu.fragments(memoryview(body))]
    assert b"".join(fragment for _, _, fragment in parts) == payload
    assert all(len(body) <= max_pdu for body in sent)
    assert {context for context, _, _ in parts} == {3}
    assert [flags for _, flags, _ in parts] == [COMMAND] * (len(parts) - 1) + [COMMAND | LAST]


def test_a_message_without_bytes_is_one_last_fragment() -> None:
    [body] = bodies(pdu.message(1, 0, b"", 0))
    assert [(c, f, bytes(v)) for c, f, v in pdu.fragments(memoryview(body))] == [(1, LAST, b"")]


def test_several_values_in_one_pdu() -> None:
    body = pdu.p_data(1, 0, b"ab")[6:] + pdu.p_data(5, LAST, b"c")[6:]
    found = [(c, f, bytes(v)) for c, f, v in pdu.fragments(memoryview(body))]
    assert found == [(1, 0, b"ab"), (5, LAST, b"c")]


@pytest.mark.parametrize(
    "body",
    [
        b"\0\0\0",
        b"\0\0\0\1\1\0",  # shorter than context id and flags
        b"\0\0\0\xff\1\0abc",  # longer than the PDU
        b"\xff\xff\xff\xff\1\0",
    ],
)
def test_a_presentation_data_value_with_a_wrong_length_is_a_fault(body: bytes) -> None:
    with pytest.raises(Fault) as caught:
        list(pdu.fragments(memoryview(body)))
    assert caught.value.reason == Fault.INVALID_PARAMETER


def test_rejection_abort_and_release_are_as_in_the_standard() -> None:
    assert pdu.rejection(1, 1, 7).hex() == "03000000000400010107"
    assert pdu.abort(6).hex() == "07000000000400000206"
    assert pdu.RELEASE_RQ.hex() == "05000000000400000000"
    assert pdu.RELEASE_RP.hex() == "06000000000400000000"


@pytest.mark.parametrize("pieces", [[], [b"abc"], [b"x" * 300, b"y"], [b"z" * 122], [b"z" * 123]])
def test_a_data_set_in_pieces_is_one_message(pieces: list[bytes]) -> None:
    """Only the last fragment says so, and no PDU is longer than the peer takes."""
    sent = b"".join(pdu.messages(5, b"command", pieces, 128))
    found = []
    offset = 0
    while offset < len(sent):
        kind, length = pdu.HEADER.unpack_from(sent, offset)
        assert (kind, length <= 128) == (pdu.Kind.P_DATA, True)
        body = memoryview(sent)[offset + pdu.HEADER.size : offset + pdu.HEADER.size + length]
        found += [(context, flags, bytes(part)) for context, flags, part in pdu.fragments(body)]
        offset += pdu.HEADER.size + length
    assert found[0] == (5, pdu.COMMAND | pdu.LAST, b"command")
    data = found[1:]
    assert b"".join(part for _, _, part in data) == b"".join(pieces)
    assert [flags for _, flags, _ in data] == [0] * (len(data) - 1) + [pdu.LAST]
