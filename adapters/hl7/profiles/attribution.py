"""Which sender a message is of.

What a sender says of itself is the weakest evidence: a client certificate or an address
comes before a name, a name before a pattern.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Literal

from adapters.hl7.mapping.context import slug
from adapters.hl7.message.tokenizer import Message
from adapters.hl7.profiles.model import Match
from adapters.hl7.profiles.origin import Origin
from adapters.hl7.profiles.patterns import compiled
from adapters.hl7.profiles.read import Loaded, Profiles

Doubt = Literal["", "UNKNOWN_SENDER", "AMBIGUOUS_SENDER"]

STRANGERS = frozenset(("UNKNOWN_SENDER", "AMBIGUOUS_SENDER"))
"""Reasons for which a message is refused because of its sender."""

_COMPONENTS: Final = (1, 2)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a message says of its sender: names, places, and its first segment or record."""

    applications: frozenset[str]
    facilities: frozenset[str]
    header: str
    name: str


@dataclass(frozen=True, slots=True)
class Attribution:
    """The sender's name, its profile if it has one, and the doubt about it.

    `among` are the profiles between which nothing decides.
    """

    sender: str
    profile: Loaded | None = None
    doubt: Doubt = ""
    among: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The doubt as a line for sender and operator."""
        if self.doubt == "AMBIGUOUS_SENDER":
            return f"Several profiles match: {', '.join(self.among)}"
        return "No profile matches the sender" if self.doubt else ""


def sender_of(message: Message) -> str:
    """Return the name that a message gives its sender: MSH-3 and MSH-4 as a path segment."""
    msh = message.header
    return slug("-".join(part for part in (msh.peek(3), msh.peek(4)) if part)) or "-"


def claim_of(message: Message) -> Claim:
    """Return what MSH says of the sender."""
    msh = message.header
    applications, facilities = (
        frozenset(
            text
            for rep in msh.repetitions(number)
            for component in _COMPONENTS
            if (text := rep.peek(component))
        )
        for number in (3, 4)
    )
    source = msh.message.source
    header = msh.message.delimiters.field.join(["MSH", *msh.fields[2:]])
    if source is not None:
        header = source.text.lstrip().partition("\r")[0]
    return Claim(applications, facilities, header, sender_of(message))


def attribute(known: Profiles, message: Message, origin: Origin) -> Attribution:
    """Return the sender of an HL7 v2 message."""
    if not known.by_sender:
        return Attribution(sender_of(message), doubt="UNKNOWN_SENDER")
    return attributed(known, claim_of(message), origin)


def attributed(known: Profiles, claim: Claim, origin: Origin) -> Attribution:
    """Return the sender whose profile matches.

    All that a profile asks must hold. Of several that match, those with evidence of a
    stronger kind are left: certificate or address, then name, then pattern, then channel.
    """
    if origin.sender:
        named = known.named(origin.sender)
        found = [named] if named and _holds(named.profile.match, claim, origin) else []
    else:
        found = [
            one
            for one in known.by_sender.values()
            if not _only_receives(one) and _holds(one.profile.match, claim, origin)
        ]
    for evidence in _EVIDENCE:
        found = [one for one in found if evidence(one.profile.match)] or found
    if len(found) == 1:
        return Attribution(found[0].sender, found[0])
    # Nobody gets the keys and systems of a configured sender by taking its name.
    name = f"~{claim.name}" if claim.name in known.by_sender else claim.name
    if found:
        among = tuple(sorted(one.name for one in found))
        return Attribution(name, None, "AMBIGUOUS_SENDER", among)
    return Attribution(name, None, "UNKNOWN_SENDER")


def _only_receives(loaded: Loaded) -> bool:
    """Whether a profile speaks of a destination alone: it would match all that comes in."""
    return loaded.profile.outbound is not None and loaded.profile.match == Match()


def may_be(loaded: Loaded, message: Message, origin: Origin) -> bool:
    """Whether all but the certificate, which is not kept, still speaks for a profile."""
    match = loaded.profile.match
    return _holds(match.model_copy(update={"tls": ()}), claim_of(message), origin)


_EVIDENCE: Final[Sequence[Callable[[Match], bool]]] = (
    lambda match: bool(match.tls or match.addresses),
    lambda match: bool(match.applications or match.facilities),
    lambda match: bool(match.pattern),
    lambda match: bool(match.channels),
)


def _holds(match: Match, claim: Claim, origin: Origin) -> bool:
    return (
        (not match.channels or origin.channel in match.channels)
        and (not match.tls or _certified(match, origin))
        and (not match.addresses or _within(match, origin.host))
        and (not match.applications or not claim.applications.isdisjoint(match.applications))
        and (not match.facilities or not claim.facilities.isdisjoint(match.facilities))
        and (not match.pattern or compiled(match.pattern).search(claim.header) is not None)
    )


def _certified(match: Match, origin: Origin) -> bool:
    """Whether the client certificate has one of the names, or the fingerprint."""
    print_ = {origin.fingerprint, f"sha256:{origin.fingerprint}"} if origin.fingerprint else set()
    shown = print_ | {name.casefold() for name in origin.names}
    return any(one.replace(" ", "").casefold() in shown for one in match.tls)


def _within(match: Match, address: str) -> bool:
    host = _host(address)
    return host is not None and any(host in network for network in match.addresses)


@lru_cache(1024)
def _host(address: str) -> IPv4Address | IPv6Address | None:
    """Return an address, that of IPv4 where it came in the form of IPv6."""
    try:
        found = ip_address(address.strip("[]"))
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
