"""The answer to an A-ASSOCIATE-RQ.

https://dicom.nema.org/medical/dicom/current/output/html/part08.html#sect_7.1.1
https://dicom.nema.org/medical/dicom/current/output/html/part07.html#sect_D.3
"""

from collections.abc import Mapping
from dataclasses import dataclass

from adapters.dicom.dataset.implementation import CLASS_UID, VERSION_NAME
from adapters.dicom.dataset.syntaxes import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    QUERIED,
    VERIFICATION,
    is_kept,
    is_storage,
)
from adapters.dicom.network import classes
from adapters.dicom.network.associate import (
    APPLICATION_CONTEXT,
    PROTOCOL_VERSION,
    Acceptance,
    Context,
    Proposal,
    Request,
    Role,
    User,
)
from fhir_server.config import Settings

ACCEPTED = 0
NO_REASON = 2
ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
TRANSFER_SYNTAXES_NOT_SUPPORTED = 4

_LAST_CHOICE = frozenset((DEFLATED, EXPLICIT_BIG))
# Level 2 (full storage), bit-preserving for digital signatures, no coercion (PS3.4, B.3.1).
_STORAGE_EXTENDED = bytes((2, 0, 3, 0, 0, 0))
# Relational queries and combined date-time matching; fuzzy matching of names and time zone
# adjustment are not done (PS3.4, C.5.1.1).
_FIND_EXTENDED = bytes((1, 1, 0, 0, 0))
# Relational retrieval; the enhanced conversion of multi-frame images is not done.
_RETRIEVE_EXTENDED = bytes((1, 0))


@dataclass(frozen=True, slots=True)
class Policy:
    """What is ours and who may call.

    `calling` None lets any AE title in; `transfer_syntaxes` are private ones to keep;
    `services` are the SOP classes besides storage that are accepted.
    """

    ae_titles: frozenset[str]
    calling: frozenset[str] | None
    max_pdu: int
    prefer_explicit: bool
    accept_unknown: bool
    transfer_syntaxes: frozenset[str]
    services: frozenset[str] = frozenset((VERIFICATION,))


@dataclass(frozen=True, slots=True)
class Rejected:
    """A-ASSOCIATE-RJ: result, source and reason (PS3.8, Table 9-21)."""

    result: int
    source: int
    reason: int

    @property
    def is_permanent(self) -> bool:
        """Return whether who comes back would be rejected again."""
        return self.result == 1


PROTOCOL_VERSION_NOT_SUPPORTED = Rejected(1, 2, 2)
APPLICATION_CONTEXT_NOT_SUPPORTED = Rejected(1, 1, 2)
CALLING_AE_TITLE_NOT_RECOGNIZED = Rejected(1, 1, 3)
CALLED_AE_TITLE_NOT_RECOGNIZED = Rejected(1, 1, 7)
TEMPORARY_CONGESTION = Rejected(2, 3, 1)
LOCAL_LIMIT_EXCEEDED = Rejected(2, 3, 2)


@dataclass(frozen=True, slots=True)
class Agreed:
    """An accepted presentation context.

    `provides` tells that the requester takes the SCP role of it (PS3.7, D.3.3.4), so
    that we may send to it; `extended` is what was agreed for its class (D.3.3.5).
    """

    context_id: int
    abstract_syntax: str
    transfer_syntax: str
    storage: bool
    provides: bool = False
    extended: bytes = b""


@dataclass(frozen=True, slots=True)
class Negotiated:
    """The acceptance to send, and the contexts that messages may use."""

    acceptance: Acceptance
    contexts: Mapping[int, Agreed]


def policy(settings: Settings) -> Policy:
    """Return the policy of these settings; in demo mode any AE title may call."""
    dicom = settings.dicom
    anyone = "*" in dicom.calling_ae_titles or (settings.demo and not dicom.calling_ae_titles)
    return Policy(
        ae_titles=frozenset(dicom.ae_titles),
        calling=None if anyone else frozenset(dicom.calling_ae_titles),
        max_pdu=dicom.max_pdu,
        prefer_explicit=dicom.prefer_explicit,
        accept_unknown=dicom.accept_unknown_sop_classes,
        transfer_syntaxes=frozenset(dicom.transfer_syntaxes),
        services=services(settings),
    )


def services(settings: Settings) -> frozenset[str]:
    """Return the SOP classes besides storage that we provide."""
    retrieval = classes.FIND | classes.MOVE | classes.GET
    if not settings.dicom.patient_study_only:
        retrieval -= classes.RETIRED
    steps = (classes.WORKLIST_FIND, classes.MPPS, classes.MPPS_RETRIEVE, classes.COMMITMENT)
    return frozenset((VERIFICATION, *steps)) | retrieval


def negotiate(request: Request, policy: Policy, *, known: bool = False) -> Negotiated | Rejected:
    """Return what is accepted of `request`, or why it is rejected.

    `known` tells that the calling AE title is one of our peers.
    """
    if not request.version & PROTOCOL_VERSION:
        return PROTOCOL_VERSION_NOT_SUPPORTED
    if request.application_context != APPLICATION_CONTEXT:
        return APPLICATION_CONTEXT_NOT_SUPPORTED
    if request.called not in policy.ae_titles:
        return CALLED_AE_TITLE_NOT_RECOGNIZED
    if not known and policy.calling is not None and request.calling not in policy.calling:
        return CALLING_AE_TITLE_NOT_RECOGNIZED
    answers = [(proposal, _answer(proposal, policy)) for proposal in request.proposals]
    agreed = {
        context.context_id: _agreed(proposal, context, policy, request.user)
        for proposal, context in answers
        if context.result == ACCEPTED
    }
    acceptance = Acceptance(
        request.called,
        request.calling,
        tuple(context for _, context in answers),
        _user(request.user, policy, agreed),
    )
    return Negotiated(acceptance, agreed)


def _agreed(proposal: Proposal, context: Context, policy: Policy, asked: User) -> Agreed:
    abstract = proposal.abstract_syntax
    storage = is_storage(abstract, accept_unknown=policy.accept_unknown)
    role = asked.roles.get(abstract)
    wanted = asked.extended.get(abstract)
    return Agreed(
        context.context_id,
        abstract,
        context.transfer_syntax,
        storage,
        provides=role is not None and role.scp and abstract != VERIFICATION,
        extended=b"" if wanted is None else _extended(abstract, wanted, storage=storage),
    )


def _extended(abstract_syntax: str, wanted: bytes, *, storage: bool) -> bytes:
    """Return the application information of a class that we answer; empty: no answer."""
    if storage:
        return _STORAGE_EXTENDED
    if abstract_syntax in classes.FIND | {classes.WORKLIST_FIND}:
        able = _FIND_EXTENDED
    elif abstract_syntax in classes.MOVE | classes.GET:
        able = _RETRIEVE_EXTENDED
    else:
        return b""
    return bytes(ours & theirs for ours, theirs in zip(able, wanted, strict=False))


def _answer(proposal: Proposal, policy: Policy) -> Context:
    offered = proposal.transfer_syntaxes
    if is_storage(proposal.abstract_syntax, accept_unknown=policy.accept_unknown):
        chosen = _storage_syntax(offered, policy)
    elif proposal.abstract_syntax in policy.services:
        chosen = next((uid for uid in QUERIED if uid in offered), None)
    else:
        return Context(proposal.context_id, ABSTRACT_SYNTAX_NOT_SUPPORTED, IMPLICIT_LITTLE)
    if chosen is None:
        return Context(proposal.context_id, TRANSFER_SYNTAXES_NOT_SUPPORTED, IMPLICIT_LITTLE)
    return Context(proposal.context_id, ACCEPTED, chosen)


def _storage_syntax(offered: tuple[str, ...], policy: Policy) -> str | None:
    """Return the first that we can keep; Implicit VR loses the private elements' VRs.

    So it is not chosen beside Explicit VR; Deflated and Big Endian come last.
    """
    kept = [uid for uid in offered if is_kept(uid) or uid in policy.transfer_syntaxes]
    if policy.prefer_explicit and EXPLICIT_LITTLE in kept:
        kept = [uid for uid in kept if uid != IMPLICIT_LITTLE]
    return next(iter(sorted(kept, key=_LAST_CHOICE.__contains__)), None)


def _user(asked: User, policy: Policy, agreed: Mapping[int, Agreed]) -> User:
    """Answer role selection and extended negotiation of the accepted classes."""
    contexts = {context.abstract_syntax: context for context in agreed.values()}
    return User(
        max_pdu=policy.max_pdu,
        implementation_class=CLASS_UID,
        implementation_version=VERSION_NAME,
        roles={
            uid: Role(role.scu, contexts[uid].provides)
            for uid, role in asked.roles.items()
            if uid in contexts
        },
        extended={
            uid: contexts[uid].extended
            for uid in asked.extended
            if uid in contexts and contexts[uid].extended
        },
    )
