"""What becomes of a message of records when its session has ended.

CLSI LIS02-A2 (ASTM E1394): https://clsi.org/shop/standards/lis02/
"""

import hashlib
from dataclasses import dataclass, replace

from adapters.hl7.inbox.received import Received, kept_control_id
from adapters.hl7.inbox.understand import KeptOrigin, opened, sender_now
from adapters.hl7.mapping.context import Refusal
from adapters.hl7.message.partition import partition_keys
from adapters.hl7.profiles.read import Loaded, Profiles
from adapters.hl7.records import results
from adapters.hl7.records.query import Request, asked
from adapters.hl7.records.transmission import Transmission, is_records, parse
from fhir_server.config import Settings

TYPE = "ASTM"
_INCOMPLETE = "INCOMPLETE_TRANSMISSION"
# What O-26 says of an order that has no result: cancelled, received, in process.
_TOLD = frozenset("XIYZ")


@dataclass(frozen=True, slots=True)
class Examined:
    """A message as it goes into the inbox, its sender's profile, and what it asks for."""

    received: Received
    sender: str = ""
    loaded: Loaded | None = None
    requests: tuple[Request, ...] = ()


def incomplete(raw: bytes, reason: str) -> Received:
    """Return what is kept of a session that did not end as it should: all its frames' text.

    It has no control id, and is never replayed into results.
    """
    return Received(
        raw=raw,
        sha256=hashlib.sha256(raw).digest(),
        state="dead",
        sender="-",
        partition_keys=(),
        type=TYPE,
        reason=_INCOMPLETE,
        detail=reason,
    )


def examine(raw: bytes, settings: Settings, profiles: Profiles, kept: KeptOrigin) -> Examined:
    """Return what becomes of a message; never raises for what an analyzer may send."""
    base = Received(
        raw=raw,
        sha256=hashlib.sha256(raw).digest(),
        state="dead",
        sender="-",
        partition_keys=("sender -",),
        control_id=hashlib.sha256(raw).hexdigest()[:20],
        type=TYPE,
    )
    if not is_records(raw):
        return Examined(_refused(base, "BAD_MSH", "The message does not begin with a H record"))
    try:
        message = opened(raw, settings, None)
        found = sender_now(profiles, message, kept, settings)
        if found.profile is not None:
            message = opened(raw, settings, found.profile)
    except Refusal as refusal:
        if refusal.reason == _INCOMPLETE:
            return Examined(incomplete(raw, f"{refusal.place}: {refusal.text}"))
        return Examined(_refused(base, refusal.reason, refusal.text))
    assert message.source is not None
    transmission = parse(message.source.text)
    partition = ",".join(found.profile.profile.partition) if found.profile else ""
    received = replace(
        base,
        sender=found.sender,
        partition_keys=partition_keys(message, found.sender, partition or settings.hl7.partition),
        content_sha256=hashlib.sha256(raw.partition(b"\r")[2]).digest(),
        control_id=kept_control_id(_field(transmission, 3)) or base.control_id,
        version=_field(transmission, 13),
        charset=message.codec,
        processing_id=_field(transmission, 12),
    )
    if found.doubt == "AMBIGUOUS_SENDER" or (
        found.doubt and settings.hl7.of(kept.channel).strict_sender
    ):
        return Examined(_refused(received, found.doubt, found.text))
    return _judged(received, transmission, found.sender, found.profile, settings)


def _judged(
    received: Received,
    transmission: Transmission,
    sender: str,
    loaded: Loaded | None,
    settings: Settings,
) -> Examined:
    finding = results.finding(transmission)
    if finding is not None:
        return Examined(
            replace(incomplete(received.raw, finding[1]), sender=sender), sender, loaded
        )
    mode = _field(transmission, 12).upper()
    # Q is quality control, whose results go where those go.
    if mode in {"T", "D"} and mode not in settings.hl7.accepted_processing_ids:
        refused = _refused(received, "WRONG_PROCESSING_ID", "H-12: The mode is not accepted")
        return Examined(refused, sender, loaded)
    requests = tuple(asked(transmission))
    if results.has_results(transmission) or _tells_orders(transmission):
        return Examined(replace(received, state="stored", event="R"), sender, loaded, requests)
    if requests:
        return Examined(replace(received, state="done", event="Q"), sender, loaded, requests)
    return Examined(_refused(received, "NO_RESULTS", "There is no result and no query"), sender)


def _refused(received: Received, reason: str, text: str) -> Received:
    return replace(received, state="dead", reason=reason, detail=text)


def _tells_orders(transmission: Transmission) -> bool:
    leaves = (record.leaf(26) for record in transmission.named("O"))
    return any(leaf and leaf.text.upper() in _TOLD for leaf in leaves)


def _field(transmission: Transmission, number: int) -> str:
    leaf = transmission.header.leaf(number)
    return leaf.text if leaf else ""
