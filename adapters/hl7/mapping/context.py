"""What the mapping of one message knows and gathers."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any, Final, Literal

from adapters.hl7.mapping.sender_rules import (
    NO_TRANSLATIONS,
    USUAL_CRITICAL,
    Critical,
    Dictionary,
    LocalExtension,
    QcRule,
    Quirk,
    Trust,
)
from adapters.hl7.mapping.tracing import Trace
from adapters.hl7.message.reasons import REASONS
from adapters.hl7.message.tokenizer import Message, Repetition

Json = dict[str, Any]

_NOT_IN_URI = re.compile(r"[^A-Za-z0-9._~-]+")
UNIT_SEPARATOR: Final = "\x1f"


class Refusal(Exception):
    """The message cannot be mapped: `reason` is from the closed list of the inbox.

    `place` is a segment and field, such as `PID-3`; `text` names the rule and holds
    no patient data.
    """

    def __init__(self, reason: str, text: str, place: str = "", code: str = "207") -> None:
        super().__init__(text)
        if reason not in REASONS:
            raise ValueError(f"{reason} is no reason of the inbox")
        self.reason = reason
        self.text = text
        self.place = place
        self.code = code


@dataclass(frozen=True, slots=True)
class Profile:
    """What is agreed with a sender.

    `base` begins the URIs made here, `sender` is its name in them; `authorities`
    gives the system of an assigning authority by its namespace or universal id.
    `assigners` names it by system, and `trust` tells by system how far identifiers say who
    somebody is (a system that is not there: as an authority's). `dictionary` has the
    translations of its codes, `quirks` what is put right before mapping, `extensions` the
    leaves that become extensions, `qc` the signs of quality control, `critical` the results
    that somebody must be told of. `label` is the profile with its version and fingerprint,
    as the inbox records it.
    """

    base: str
    sender: str
    zone: tzinfo
    authorities: Mapping[str, str] = field(default_factory=dict)
    orders_from_results: bool = True
    encounter_without_number: Literal["contained", "create", "skip"] = "contained"
    placer_scope: Literal["order", "group"] = "order"
    obx_after_spm: Literal["auto", "result", "specimen"] = "auto"
    cancel_request_revokes: bool = False
    laboratory: bool = True
    visit_from_account: bool = False
    anonymous_patients: bool = False
    nk1_contact: Literal["auto", "contact", "related", "both"] = "auto"
    allergy_severity: Literal["criticality", "reaction"] = "criticality"
    ssn_type: Literal["SB", "SS"] = "SB"
    race_extension: str = ""
    ethnicity_extension: str = ""
    assigners: Mapping[str, str] = field(default_factory=dict)
    trust: Mapping[str, Trust] = field(default_factory=dict)
    dictionary: Dictionary = NO_TRANSLATIONS
    quirks: tuple[Quirk, ...] = ()
    extensions: tuple[LocalExtension, ...] = ()
    qc: tuple[QcRule, ...] = ()
    critical: Critical = USUAL_CRITICAL
    label: str = ""
    subid_grouping: Literal["none", "prefix", "OG"] = "none"
    qc_policy: Literal["store", "inbox_only"] = "store"
    snapshot_results: bool = False
    ed_join: bool = False
    join_text_obx: bool = False
    infer_type: bool = False
    decimal_comma: bool = False

    def ids(self, name: str) -> str:
        """Return the system of identifiers that only this sender understands."""
        return f"{self.base}/hl7/{self.sender}/ids/{slug(name)}"

    def codes(self, name: str) -> str:
        """Return the system of codes that only this sender understands."""
        return f"{self.base}/hl7/{self.sender}/codes/{slug(name)}"

    @property
    def key_system(self) -> str:
        """The system of the keys under which a message finds what it wrote before."""
        return f"{self.base}/hl7/key"


@dataclass(frozen=True, slots=True)
class Write:
    """A resource to be written under an identity.

    `method` PUT updates what has `identity` or creates it, POST creates it where
    nothing has it. `identity` is one `system|value` or several alternatives. `within`
    is the identity of the report in which the key was made, "" where it stands alone:
    nothing of a report that was never written is there to be found. An update says
    nothing of elements that `resource` does not have; `cleared` names those that the
    message deletes (`""`). `event_time` is when the message says that this was so.

    A name in `cleared` is a path: members with dots, items of a list chosen by what
    they hold, as in `telecom(use=home)` or `extension(url=...)` (mapping/partial).
    `effect` is what the event does to what is stored: it is called where something is
    stored, with that and with what the update would make of it (references to what is
    stored being literal in both), and returns what is written. It is a function of a
    module or a partial of one, and pure.
    """

    method: Literal["PUT", "POST"]
    full_url: str
    identity: tuple[str, ...]
    resource: Json
    within: str = ""
    cleared: frozenset[str] = frozenset()
    event_time: datetime | None = None
    effect: Callable[[Json, Json], Json] | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A reference to a resource that another message brought, or will bring.

    `element` of the resource at `full_url` refers to the `type` with `identity`;
    `inverse`: an element of that one refers to this resource.
    """

    full_url: str
    element: str
    type: str
    identity: tuple[str, ...]
    inverse: bool = False


@dataclass(frozen=True, slots=True)
class Merge:
    """What one resource takes over from another, each by its identity.

    `event` is the trigger event (A40, ...), which tells what is taken over. `said` is
    what the message says of the retired one, from which it is made where nothing has its
    identity. `patient` is the identity of the Patient who has it afterwards, where the
    event moves it; `keys` and `old_keys` are the partitions (message/partition) of both.
    """

    event: str
    type: str
    survivor: tuple[str, ...]
    retired: tuple[str, ...]
    said: Json = field(default_factory=dict)
    patient: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    old_keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Untranslated:
    """A local code, or a unit, that has no translation: where it stood, and what it is."""

    field: str
    system: str
    code: str
    display: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """A Binary to be stored under its id, which depends on its bytes and whose it is.

    `owner` is the full URL of the resource whose readers may read it, "" without one.
    """

    resource: Json
    owner: str = ""


@dataclass(slots=True)
class Context:
    """The state of one mapping: the message, its profile, and what was built so far.

    `offset` is the UTC offset of MSH-7 as FHIR writes it, "" where it has none.
    `known` gives the literal reference of a resource that is stored already, by the
    full URL of its identity: what is created only where it is missing is then left out.
    `once` remembers what equal fields became. `event_time` is when the message says that
    what it tells was so. `trace` notes the order of things where somebody asks for it.
    """

    message: Message
    profile: Profile
    offset: str = ""
    known: Mapping[str, str] = field(default_factory=dict)
    writes: dict[str, Write] = field(default_factory=dict)
    once: dict[tuple[str, str], Any] = field(default_factory=dict)
    warnings: dict[str, int] = field(default_factory=dict)
    links: list[Link] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)
    untranslated: list[Untranslated] = field(default_factory=list)
    binaries: dict[str, Content] = field(default_factory=dict)
    event_time: datetime | None = None
    trace: Trace | None = None

    def warn(self, finding: str) -> None:
        """Count a finding that the operator should see."""
        self.warnings[finding] = self.warnings.get(finding, 0) + 1

    def key(self, *parts: str) -> str:
        """Return the key of these parts: 32 hexadecimal digits that show none of them."""
        text = UNIT_SEPARATOR.join((self.profile.sender, *parts))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def key_identifier(self, key: str) -> Json:
        """Return the key as an identifier."""
        return {"system": self.profile.key_system, "value": key}

    def write(
        self,
        method: Literal["PUT", "POST"],
        identity: tuple[str, ...],
        resource: Json,
        within: str = "",
        cleared: frozenset[str] = frozenset(),
        effect: Callable[[Json, Json], Json] | None = None,
        rather: tuple[str, ...] = (),
    ) -> str:
        """Add a resource, unless its identity is there already, and return its full URL.

        `rather` is the identity of what is meant instead, if that is stored.
        """
        full_url = urn(resource["resourceType"], *identity)
        if self.trace is not None:
            self.trace.add(resource["resourceType"], full_url)
        if method == "POST" and full_url in self.known:
            return self.known[full_url]
        if full_url not in self.writes:
            self.writes[full_url] = Write(
                method,
                full_url,
                (*rather, *identity),
                resource,
                within,
                cleared=cleared,
                event_time=self.event_time,
                effect=effect,
            )
        return full_url

    def put_keyed(
        self,
        key: str,
        resource: Json,
        report: str = "",
        effect: Callable[[Json, Json], Json] | None = None,
        rather: str = "",
    ) -> str:
        """Add a resource that a later message with the same key updates.

        `report` is the key of the report from which `key` was made; `rather` is another
        key under which the same may be stored (inbox/matching).
        """
        resource.setdefault("identifier", []).append(self.key_identifier(key))
        within = self.key_token(report) if report else ""
        others = (self.key_token(rather),) if rather else ()
        own = (self.key_token(key),)
        return self.write("PUT", own, resource, within, effect=effect, rather=others)

    def key_token(self, key: str) -> str:
        """Return the key as the value of a token search."""
        return f"{self.profile.key_system}|{key}"

    def remembered(self, repetition: Repetition, kind: str) -> tuple[bool, Any]:
        """Return whether an equal field was mapped before, and what it became.

        The leaves of this one count as mapped as those were.
        """
        known = self.once.get((kind, repetition.text))
        if known is None:
            return False, None
        value, marks = known
        repetition.mark_all(marks)
        return True, value

    def remember(self, repetition: Repetition, kind: str, value: Any) -> None:  # noqa: ANN401
        """Keep what the field became, with the leaves that it used."""
        self.once[(kind, repetition.text)] = (value, repetition.marks())


def urn(*parts: str) -> str:
    """Return the urn:uuid that stands for an identity inside a Bundle."""
    digest = hashlib.md5(UNIT_SEPARATOR.join(parts).encode(), usedforsecurity=False).hexdigest()
    return f"urn:uuid:{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:]}"


def coding(system: str, code: str) -> Json:
    """Return a Coding; FHIR allows a code single blanks inside and none around it."""
    return {"system": system, "code": " ".join(code.split())}


@lru_cache(4_096)
def slug(name: str) -> str:
    """Return a name as a path segment of a URI."""
    return _NOT_IN_URI.sub("-", name).strip("-") or "-"


def put(target: Json, name: str, value: Any) -> None:  # noqa: ANN401
    """Set a member that has a value."""
    if value:
        target[name] = value


def add(target: Json, name: str, value: Any) -> None:  # noqa: ANN401
    """Append to a list member what has a value."""
    if value:
        target.setdefault(name, []).append(value)


def extend(target: Json, *extensions: Json | None) -> None:
    """Append the extensions that are there."""
    for extension in extensions:
        add(target, "extension", extension)
