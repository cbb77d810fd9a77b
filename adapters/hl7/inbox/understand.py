"""A stored message read as its sender means it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from adapters.hl7.inbox import asked
from adapters.hl7.mapping.context import Profile, Refusal
from adapters.hl7.mapping.sender_rules import QcRule
from adapters.hl7.message.charsets import Undecodable, UnsupportedCharset, decode
from adapters.hl7.message.tokenizer import BadHeader, Message, TooManyParts, parse
from adapters.hl7.profiles.agreements import Agreements
from adapters.hl7.profiles.attribution import Attribution, attribute, may_be
from adapters.hl7.profiles.compose import qc_rules
from adapters.hl7.profiles.model import Astm, Text
from adapters.hl7.profiles.origin import Origin
from adapters.hl7.profiles.read import Loaded, Profiles
from adapters.hl7.records import results
from adapters.hl7.records.answered import Known
from adapters.hl7.records.transmission import is_records
from fhir_server.config import Settings


@dataclass(frozen=True, slots=True)
class KeptOrigin:
    """What the inbox keeps of the connection that brought a message (profiles/origin).

    `sender` is whom the listener took it for: what it saw of a client certificate is not
    kept.
    """

    channel: str = ""
    peer: str = "-"
    sender: str = "-"


NOTHING_KEPT: Final = KeptOrigin()


async def understand(
    agreed: Agreements,
    settings: Settings,
    raw: bytes,
    kept: KeptOrigin,
    usual: Callable[[Message], Profile],
) -> tuple[Message, Profile]:
    """Return the message in stored bytes, and what is agreed with its sender.

    `usual` gives the profile of a message whose sender has none. Raises Refusal where
    the message cannot be read, and AMBIGUOUS_SENDER where several profiles match.
    """
    message, failed = _first(raw, settings, kept.channel)
    found = sender_now(agreed.profiles, message, kept, settings)
    if found.doubt == "AMBIGUOUS_SENDER":
        raise Refusal(found.doubt, found.text, "MSH-3")
    if found.profile is not None and _reads_otherwise(found.profile, message):
        message = opened(raw, settings, found.profile, channel=kept.channel)
    elif failed is not None:
        raise failed
    message = await _answering(agreed, settings, raw, found.profile, message)
    profile = usual(message)
    if found.profile is None and found.sender != profile.sender:
        profile = replace(profile, sender=found.sender)
    return message, await agreed.profile(profile, found.profile)


async def _answering(
    agreed: Agreements, settings: Settings, raw: bytes, loaded: Loaded | None, message: Message
) -> Message:
    """Return results of records as those of the orders that are stored for their specimens."""
    ignored = loaded and loaded.profile.astm and loaded.profile.astm.orders == "ignore"
    if message.source is None or ignored:
        return message
    numbers = results.specimens(message.source.text, *_places(loaded))
    known = await asked.orders(agreed.server, numbers, loaded.profile if loaded else None)
    return opened(raw, settings, loaded, known=known) if known else message


def _first(raw: bytes, settings: Settings, channel: str) -> tuple[Message, Refusal | None]:
    """Return the message as the settings read it; where they cannot, its header and why not.

    The sender's profile may name the character set that the settings do not know.
    """
    try:
        return opened(raw, settings, channel=channel), None
    except Refusal as refusal:
        if refusal.reason not in {"CHARSET_UNSUPPORTED", "UNDECODABLE"} or is_records(raw):
            raise
        return parse(raw.split(b"\r", 1)[0].decode("latin-1"), "latin-1"), refusal


def sender_now(
    profiles: Profiles, message: Message, kept: KeptOrigin, settings: Settings
) -> Attribution:
    """Return whose message it is today: the listener's finding where that can still be."""
    origin = Origin(kept.channel, kept.peer, settings.hl7.of(kept.channel).sender)
    known = profiles.by_sender.get(kept.sender)
    if known is not None and may_be(known, message, origin):
        return Attribution(known.sender, known)
    return attribute(profiles, message, origin)


def _reads_otherwise(loaded: Loaded, message: Message) -> bool:
    text = loaded.profile.text
    return bool(text.charset or text.fallback) or message.source is not None


def opened(
    raw: bytes,
    settings: Settings,
    loaded: Loaded | None = None,
    *,
    channel: str = "",
    known: Known | None = None,
) -> Message:
    """Return the message in bytes, by its profile's character set if it has one.

    Without one it is as the settings of the channel say. `known` are stored orders of the
    specimens of records. Raises Refusal where it cannot be read.
    """
    text = loaded.profile.text if loaded else Text()
    fallback, override = text.over(settings.hl7.of(channel))
    try:
        decoded = decode(raw, fallback=fallback, override=override)
        if is_records(raw):
            places = _places(loaded)
            return results.opened(decoded.text, decoded.codec, *places, known=known or {})
        return parse(decoded.text, decoded.codec)
    except UnsupportedCharset:
        raise Refusal("CHARSET_UNSUPPORTED", "The character set is not supported") from None
    except Undecodable:
        raise Refusal("UNDECODABLE", "The message is not in its character set") from None
    except TooManyParts as many:
        raise Refusal("MAPPING_ERROR", str(many)) from None
    except BadHeader as bad:
        raise Refusal("BAD_MSH", str(bad)) from None


def _places(loaded: Loaded | None) -> tuple[Astm | None, tuple[QcRule, ...]]:
    """Return where a sender of records puts what, and its signs of quality control."""
    if loaded is None:
        return None, ()
    return loaded.profile.astm, qc_rules(loaded.profile)
