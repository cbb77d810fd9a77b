from dataclasses import replace

import pytest
from pynetdicom import AllStoragePresentationContexts, StoragePresentationContexts
from pynetdicom.presentation import PresentationContext

from adapters.dicom.dataset.syntaxes import is_storage
from adapters.dicom.network.associate import APPLICATION_CONTEXT, Proposal, Request, Role, User
from adapters.dicom.network.negotiate import Negotiated, Policy, Rejected, negotiate, policy
from fhir_server.config import Settings
from fhir_server.dicom_settings import DicomSettings

CT = "1.2.840.10008.5.1.4.1.1.2"
ECHO = "1.2.840.10008.1.1"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
GET = "1.2.840.10008.5.1.4.1.2.2.3"
PATIENT_STUDY_ONLY = "1.2.840.10008.5.1.4.1.2.3.1"
COMMITMENT = "1.2.840.10008.1.20.1"
DIRECTORY = "1.2.840.10008.1.3.10"
PRIVATE_CLASS = "1.3.6.1.4.1.99999.1.1"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG = "1.2.840.10008.1.2.2"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPIP = "1.2.840.10008.1.2.4.94"
PRIVATE_SYNTAX = "1.2.840.113619.5.2"

POLICY = Policy(
    ae_titles=frozenset(("SANGAM",)),
    calling=frozenset(("MODALITY",)),
    max_pdu=131072,
    prefer_explicit=True,
    accept_unknown=True,
    transfer_syntaxes=frozenset(),
)


def request(*proposals: Proposal, **changes: object) -> Request:
    good = Request(1, "SANGAM", "MODALITY", APPLICATION_CONTEXT, proposals, User())
    return replace(good, **changes)


def answered(abstract: str, *syntaxes: str, by: Policy = POLICY) -> tuple[int, str]:
    verdict = negotiate(request(Proposal(1, abstract, syntaxes)), by)
    assert isinstance(verdict, Negotiated)
    [context] = verdict.acceptance.contexts
    return context.result, context.transfer_syntax


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"version": 2}, Rejected(1, 2, 2)),
        ({"application_context": "1.2.3"}, Rejected(1, 1, 2)),
        ({"called": "OTHER"}, Rejected(1, 1, 7)),
        ({"called": "sangam"}, Rejected(1, 1, 7)),
        ({"calling": "STRANGER"}, Rejected(1, 1, 3)),
    ],
)
def test_who_may_not_connect_is_told_why(changes: dict[str, object], answer: Rejected) -> None:
    assert negotiate(request(Proposal(1, ECHO, (IMPLICIT,)), **changes), POLICY) == answer


def test_without_a_list_any_calling_title_is_accepted() -> None:
    verdict = negotiate(
        request(Proposal(1, ECHO, (IMPLICIT,)), calling="STRANGER"), replace(POLICY, calling=None)
    )
    assert isinstance(verdict, Negotiated)


@pytest.mark.parametrize(
    ("demo", "titles", "calling"),
    [
        (True, (), None),
        (True, ("A",), frozenset("A")),
        (False, (), frozenset()),
        (False, ("*",), None),
        (False, ("A",), frozenset("A")),
    ],
)
def test_only_demo_mode_lets_anyone_call_by_default(
    demo: bool,  # noqa: FBT001
    titles: tuple[str, ...],
    calling: frozenset[str] | None,
) -> None:
    settings = Settings(demo=demo, dicom=DicomSettings(calling_ae_titles=titles))
    assert policy(settings).calling == calling


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((JPEG_LOSSLESS, EXPLICIT), JPEG_LOSSLESS),
        ((EXPLICIT, JPEG_LOSSLESS), EXPLICIT),
        ((IMPLICIT, EXPLICIT), EXPLICIT),
        ((IMPLICIT, JPEG_LOSSLESS), IMPLICIT),
        ((IMPLICIT,), IMPLICIT),
        ((BIG, DEFLATED, IMPLICIT), IMPLICIT),
        ((BIG, DEFLATED), BIG),
        ((JPIP, EXPLICIT), EXPLICIT),
        (("1.2.840.10008.1.2.4.52",), "1.2.840.10008.1.2.4.52"),  # retired
    ],
)
def test_the_first_syntax_that_can_be_kept_is_chosen(offered: tuple[str, ...], chosen: str) -> None:
    assert answered(CT, *offered) == (0, chosen)


@pytest.mark.parametrize("syntax", [JPIP, PRIVATE_SYNTAX, "1.2.840.10008.1.2.6.1"])
def test_a_syntax_that_cannot_be_kept_is_refused(syntax: str) -> None:
    assert answered(CT, syntax)[0] == 4


def test_a_private_syntax_that_is_listed_is_kept() -> None:
    listed = replace(POLICY, transfer_syntaxes=frozenset((PRIVATE_SYNTAX,)))
    assert answered(CT, PRIVATE_SYNTAX, by=listed) == (0, PRIVATE_SYNTAX)


def test_explicit_vr_need_not_be_preferred() -> None:
    assert answered(CT, IMPLICIT, EXPLICIT, by=replace(POLICY, prefer_explicit=False)) == (
        0,
        IMPLICIT,
    )


@pytest.mark.parametrize("abstract", [FIND, COMMITMENT, DIRECTORY, ""])
def test_what_is_neither_storage_nor_a_service_is_not_supported(abstract: str) -> None:
    assert answered(abstract, IMPLICIT)[0] == 3


@pytest.mark.parametrize(
    "contexts",
    [StoragePresentationContexts, AllStoragePresentationContexts],
    ids=("usual", "all"),
)
def test_every_storage_class_that_others_know_is_storage(
    contexts: list[PresentationContext],
) -> None:
    known = [str(one.abstract_syntax) for one in contexts]
    assert [uid for uid in known if not is_storage(uid, accept_unknown=False)] == []


def test_unknown_classes_are_storage_unless_switched_off() -> None:
    assert answered(PRIVATE_CLASS, EXPLICIT) == (0, EXPLICIT)
    strict = replace(POLICY, accept_unknown=False)
    assert answered(PRIVATE_CLASS, EXPLICIT, by=strict)[0] == 3
    assert answered(CT, EXPLICIT, by=strict) == (0, EXPLICIT)


def test_each_of_128_contexts_is_answered() -> None:
    proposals = tuple(Proposal(2 * n + 1, CT, (EXPLICIT,)) for n in range(128))
    verdict = negotiate(request(*proposals), POLICY)
    assert isinstance(verdict, Negotiated)
    assert [c.context_id for c in verdict.acceptance.contexts] == list(range(1, 256, 2))
    assert set(verdict.contexts) == set(range(1, 256, 2))


def test_only_accepted_contexts_may_be_used() -> None:
    verdict = negotiate(
        request(Proposal(1, CT, (EXPLICIT,)), Proposal(3, FIND, (EXPLICIT,))), POLICY
    )
    assert isinstance(verdict, Negotiated)
    assert set(verdict.contexts) == {1}


def test_roles_and_levels_are_answered_for_accepted_classes() -> None:
    asked = User(
        roles={CT: Role(True, True), FIND: Role(True, False)}, extended={CT: b"\2", FIND: b"\1"}
    )
    verdict = negotiate(request(Proposal(1, CT, (EXPLICIT,)), user=asked), POLICY)
    assert isinstance(verdict, Negotiated)
    assert verdict.acceptance.user.roles == {CT: Role(True, True)}
    assert verdict.contexts[1].provides
    assert verdict.acceptance.user.extended == {CT: b"\2\0\3\0\0\0"}


def test_query_and_retrieve_agree_on_what_is_done() -> None:
    """Relational queries and combined ranges, no fuzzy names, no time zone adjustment."""
    known = policy(Settings(dicom=DicomSettings(calling_ae_titles=("MODALITY",))))
    asked = User(extended={FIND: b"\1\1\1\1", MOVE: b"\1", GET: b"\0\1"})
    proposals = [Proposal(n, uid, (EXPLICIT,)) for n, uid in ((1, FIND), (3, MOVE), (5, GET))]
    verdict = negotiate(request(*proposals, user=asked), known)
    assert isinstance(verdict, Negotiated)
    assert verdict.acceptance.user.extended == {FIND: b"\1\1\0\0", MOVE: b"\1", GET: b"\0\0"}


@pytest.mark.parametrize(("switched", "result"), [(False, 3), (True, 0)])
def test_the_retired_model_is_answered_only_by_setting(*, switched: bool, result: int) -> None:
    dicom = DicomSettings(calling_ae_titles=("MODALITY",), patient_study_only=switched)
    by = policy(Settings(dicom=dicom))
    assert answered(PATIENT_STUDY_ONLY, EXPLICIT, by=by)[0] == result
    assert answered(FIND, EXPLICIT, by=by)[0] == 0


def test_a_peer_comes_in_without_being_listed() -> None:
    asked = request(Proposal(1, ECHO, (IMPLICIT,)), calling="STRANGER")
    assert isinstance(negotiate(asked, POLICY, known=True), Negotiated)
