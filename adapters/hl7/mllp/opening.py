"""A frame's bytes as a message, as far as they can be read, and the sender it is of."""

from dataclasses import dataclass, replace

from adapters.hl7.acknowledgement.ack import Header, Problem, header_of
from adapters.hl7.message.charsets import Undecodable, UnsupportedCharset, decode
from adapters.hl7.message.tokenizer import BadHeader, Message, TooManyParts, parse
from adapters.hl7.profiles.attribution import Attribution, attribute
from adapters.hl7.profiles.model import SourceProfile, Text
from adapters.hl7.profiles.origin import Origin
from adapters.hl7.profiles.read import Profiles
from fhir_server.hl7_settings import Hl7Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a message is not taken: its codes in original and enhanced mode, and the reason.

    Without codes it is not answered. `expected` is the sequence number that is awaited.
    """

    original: str
    accept: str
    reason: str
    problem: Problem
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A message as far as it could be read; `header` serves even where that failed."""

    header: Header
    message: Message | None = None
    finding: Finding | None = None
    guessed: bool = False
    attribution: Attribution | None = None
    partition: str = ""

    @property
    def sender(self) -> str:
        """The sender's name, `-` where nothing could be read."""
        return self.attribution.sender if self.attribution else "-"


def open_message(
    content: bytes, settings: Hl7Settings, origin: Origin, profiles: Profiles
) -> Opened:
    """Return what could be read; a sender's profile may say how its text is to be decoded."""
    framed = origin.framed
    opened = _read(content, *Text().over(settings), framed=framed)
    if opened.message is None:
        return opened
    attribution = attribute(profiles, opened.message, origin)
    said = attribution.profile.profile if attribution.profile else None
    if said and (said.text.charset or said.text.fallback):
        again = _read(content, *said.text.over(settings), framed=framed)
        opened = again if again.message else opened
    partition = _partition(said) or settings.partition
    return replace(opened, attribution=attribution, partition=partition)


def _partition(profile: SourceProfile | None) -> str:
    return ",".join(profile.partition) if profile else ""


def _read(content: bytes, fallback: str, override: str, *, framed: bool) -> Opened:
    try:
        decoded = decode(content, fallback=fallback, override=override, framed=framed)
    except UnsupportedCharset:
        problem = Problem("The character set is not supported", "102", "MSH", 1, 18)
        return _unread(content, Finding("AE", "CE", "CHARSET_UNSUPPORTED", problem))
    except Undecodable:
        problem = Problem("The message is not in its character set", "102", "MSH", 1, 18)
        return _unread(content, Finding("AE", "CE", "UNDECODABLE", problem))
    try:
        message = parse(decoded.text, decoded.codec)
    except TooManyParts as many:
        problem = Problem(str(many), "207")
        return _unread(content, Finding("AR", "CR", "MAPPING_ERROR", problem))
    except BadHeader as bad:
        problem = Problem(str(bad), "100", "MSH")
        return Opened(Header(), finding=Finding("AR", "CR", "BAD_MSH", problem))
    return Opened(header_of(message), message, guessed=decoded.guessed)


def _unread(content: bytes, finding: Finding) -> Opened:
    """Read the header in bytes, so that the refusal names the right message."""
    try:
        message = parse(content.decode("latin-1").split("\r", 1)[0], "latin-1")
    except BadHeader:
        return Opened(Header(codec="latin-1"), finding=finding)
    return Opened(header_of(message), message, finding)
