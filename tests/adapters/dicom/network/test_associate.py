import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
    SCP_SCU_RoleSelectionNegotiation,
)
from pynetdicom.presentation import build_context

from adapters.dicom.network import associate
from adapters.dicom.network.associate import (
    APPLICATION_CONTEXT,
    Acceptance,
    Context,
    Proposal,
    Request,
    Role,
    User,
)
from adapters.dicom.network.pdu import Fault, Kind, pdu

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
USER = User(16384, "1.2.3", "PEER_1", {CT: Role(True, False)}, {CT: b"\2\0\0\0\0\0"})
REQUEST = Request(
    1, "SANGAM", "MODALITY", APPLICATION_CONTEXT, (Proposal(1, CT, (EXPLICIT, IMPLICIT)),), USER
)


def of_pynetdicom() -> bytes:
    request = A_ASSOCIATE()
    request.application_context_name = APPLICATION_CONTEXT
    request.calling_ae_title, request.called_ae_title = "MODALITY", "SANGAM"
    context = build_context(CT, [EXPLICIT, IMPLICIT])
    context.context_id = 1
    request.presentation_context_definition_list = [context]
    length, implementation, version, role = (
        MaximumLengthNotification(),
        ImplementationClassUIDNotification(),
        ImplementationVersionNameNotification(),
        SCP_SCU_RoleSelectionNegotiation(),
    )
    length.maximum_length_received = 16384
    implementation.implementation_class_uid = "1.2.3"
    version.implementation_version_name = "PEER_1"
    role.sop_class_uid, role.scu_role, role.scp_role = CT, True, False
    request.user_information = [length, implementation, version, role]
    encoded = A_ASSOCIATE_RQ()
    encoded.from_primitive(request)
    return encoded.encode()


def test_a_request_of_another_implementation_is_read() -> None:
    found = associate.decode_request(of_pynetdicom()[6:])
    assert found == Request(
        1,
        "SANGAM",
        "MODALITY",
        APPLICATION_CONTEXT,
        (Proposal(1, CT, (EXPLICIT, IMPLICIT)),),
        User(16384, "1.2.3", "PEER_1", {CT: Role(True, False)}),
    )


def test_a_request_is_read_by_another_implementation() -> None:
    decoded = A_ASSOCIATE_RQ()
    decoded.decode(pdu(Kind.ASSOCIATE_RQ, associate.encode_request(REQUEST)))
    primitive = decoded.to_primitive()
    assert primitive.called_ae_title == "SANGAM"
    assert primitive.calling_ae_title == "MODALITY"
    [context] = primitive.presentation_context_definition_list
    assert (context.abstract_syntax, context.transfer_syntax) == (CT, [EXPLICIT, IMPLICIT])
    assert primitive.maximum_length_received == 16384


def test_an_acceptance_is_read_by_another_implementation() -> None:
    answer = Acceptance(
        "SANGAM", "MODALITY", (Context(1, 0, EXPLICIT), Context(3, 3, IMPLICIT)), USER
    )
    decoded = A_ASSOCIATE_AC()
    decoded.decode(pdu(Kind.ASSOCIATE_AC, associate.encode_acceptance(answer)))
    primitive = decoded.to_primitive()
    contexts = primitive.presentation_context_definition_results_list
    assert [(c.context_id, c.result) for c in contexts] == [(1, 0), (3, 3)]
    assert contexts[0].transfer_syntax == [EXPLICIT]
    assert associate.decode_acceptance(associate.encode_acceptance(answer)) == answer


def test_encode_and_decode_of_a_request_are_inverse() -> None:
    assert associate.decode_request(associate.encode_request(REQUEST)) == REQUEST


@pytest.mark.parametrize("cut", range(68, 180, 7))
def test_a_request_that_is_cut_off_is_a_fault_or_lacks_its_end(cut: int) -> None:
    raw = associate.encode_request(REQUEST)
    with pytest.raises(Fault):
        associate.decode_request(raw[:cut])


@given(st.binary(max_size=400))
def test_garbage_is_a_fault_and_nothing_else(garbage: bytes) -> None:
    with pytest.raises(Fault):
        associate.decode_request(associate.encode_request(REQUEST)[:68] + garbage)


def test_two_contexts_of_one_id_are_a_fault() -> None:
    twice = Request(1, "A", "B", APPLICATION_CONTEXT, REQUEST.proposals * 2, User())
    with pytest.raises(Fault):
        associate.decode_request(associate.encode_request(twice))


def test_more_than_128_contexts_are_a_fault() -> None:
    many = tuple(Proposal(n, CT, (EXPLICIT,)) for n in range(129))
    with pytest.raises(Fault):
        associate.decode_request(
            associate.encode_request(Request(1, "A", "B", APPLICATION_CONTEXT, many, User()))
        )
