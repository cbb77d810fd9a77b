"""The file of a profile: what is agreed with one sender.

Each class is a table of the TOML file, each field a key of it; docs/hl7-profiles.md
has all of them with an example.
"""

import codecs
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    model_validator,
)

from adapters.hl7.mapping.code_tables import SYSTEMS
from adapters.hl7.mapping.context import slug
from adapters.hl7.mapping.sender_rules import ExtensionType, Place, Trust
from adapters.hl7.mapping.units import is_ucum
from adapters.hl7.message.charsets import UnsupportedCharset, codec_of
from adapters.hl7.profiles.destination import Law, Outbound, OutboundTls
from adapters.hl7.profiles.patterns import compiled
from fhir_server.hl7_settings import Hl7Settings

_PLACE: Final = re.compile(
    r"([A-Z][A-Z0-9]{0,2})-([1-9]\d{0,2})(?:\.([1-9]\d?))?(?:\.([1-9]\d?))?\Z"
)
_TRIPLET: Final = 3
EXTENSIBLE: Final[Mapping[str, tuple[Place, ...]]] = {
    "0001": (Place("PID", 8, 1),),
    "0002": (Place("PID", 16, 1),),
    "0004": (Place("PV1", 2, 1),),
    "0006": (Place("PID", 17, 1),),
    "0038": (Place("ORC", 5, 1),),
    "0063": (Place("NK1", 3, 1),),
    "0074": (Place("OBR", 24, 1),),
    "0078": (Place("OBX", 8, 1),),
    "0085": (Place("OBX", 11, 1),),
    "0119": (Place("ORC", 1, 1),),
    "0123": (Place("OBR", 25, 1),),
    "0190": (Place("PID", 11, 7),),
    "0200": (Place("PID", 5, 7),),
    "0201": (Place("PID", 13, 2), Place("PID", 14, 2)),
    "0203": (Place("PID", 3, 5),),
    "0396": (Place("OBX", 3, 3), Place("OBR", 4, 3), Place("OBX", 5, 3), Place("SPM", 4, 3)),
    "0487": (Place("SPM", 4, 1),),
}
"""The tables in which a sender's own codes can be said to mean others, and their places."""


def place_of(text: str) -> Place:
    """Return a place such as `PID-3.1` or `ZPI-2`; ValueError for anything else."""
    found = _PLACE.match(text)
    if found is None:
        raise ValueError("write a place such as OBX-3, PID-3.1 or ZPI-2")
    segment, number, component, sub = found.groups()
    return Place(segment, int(number), int(component or 0), int(sub or 0))


def target_of(text: str) -> tuple[str, str, str]:
    """Return (system, code, display) of `2345-7^Glucose^LN`; ValueError for anything else.

    The third part is a code of table 0396 or the URL of a code system.
    """
    parts = [part.strip() for part in text.split("^")]
    named = len(parts) == _TRIPLET and bool(parts[0])
    system = SYSTEMS.get(parts[2], parts[2] if ":" in parts[2] else "") if named else ""
    if not system:
        raise ValueError(
            "write code^display^system, such as 2345-7^Glucose^LN; the system is LN, SCT or "
            "another code of table 0396, or the URL of a code system"
        )
    return system, parts[0], parts[1]


def _place(text: str) -> str:
    place_of(text)
    return text


def _target(text: str) -> str:
    target_of(text)
    return text


def _pattern(text: str) -> str:
    compiled(text)
    return text


def _codec(text: str) -> str:
    try:
        if text:
            codecs.lookup(text)
    except LookupError:
        raise ValueError("write a codec of Python such as cp1252, iso8859-15 or cp932") from None
    return text


def _charset(text: str) -> str:
    try:
        codec_of(text)
    except UnsupportedCharset:
        raise ValueError(
            "write a value of MSH-18 that is supported, such as 8859/1 or GB 18030-2000"
        ) from None
    return text


def _zone(text: str) -> str:
    if text and text != "UTC" and text not in available_timezones():
        raise ValueError("write an IANA zone such as Asia/Kolkata")
    return text


def _ucum(text: str) -> str:
    if not is_ucum(text):
        raise ValueError("this is no UCUM code; write one such as mg/dL, 10*3/uL or [IU]/L")
    return text


def _name(text: str) -> str:
    if text and slug(text) != text:
        raise ValueError("write letters, digits, and . _ ~ - only: it is part of URIs")
    return text


PlaceText = Annotated[str, AfterValidator(_place)]
"""A place in a message: segment, field, and where needed component and subcomponent."""
TargetText = Annotated[str, AfterValidator(_target)]
"""A coding as `code^display^system`."""
Pattern = Annotated[str, AfterValidator(_pattern)]
"""A regular expression of RE2, searched for in the text."""
Ucum = Annotated[str, AfterValidator(_ucum)]
Name = Annotated[str, AfterValidator(_name)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Match(_Table):
    """How messages of this sender are known. Every key that is given must hold.

    `channels` are names of ports, `tls` names (subject alternative, or common) or SHA-256
    fingerprints of client certificates, `addresses` networks, `applications` and
    `facilities` MSH-3 and MSH-4 (first or second component), of ASTM the components of
    H-5; `pattern` is searched for in the message's first segment or record.
    """

    channels: tuple[str, ...] = ()
    tls: tuple[str, ...] = ()
    addresses: tuple[IPvAnyNetwork, ...] = ()
    applications: tuple[str, ...] = ()
    facilities: tuple[str, ...] = ()
    pattern: Pattern = ""


class Authority(_Table):
    """An assigning authority: what its identifiers are here.

    `trust`: `national` identifiers decide first who the patient is, those of an
    `authority` next; `none` are kept, and never say who somebody is.
    """

    system: str = Field(min_length=1, pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:\S+$")
    assigner: str = ""
    trust: Trust = "authority"


class Quirk(_Table):
    """A correction of the message before it is mapped.

    `copy` and `move` take `from` to `to` where `to` is empty (`overwrite`: always);
    `drop` leaves `at` out, and its leaves are listed as profile_ignored; `default` puts
    `value` at `at` where that is empty; `extension` makes of the leaf `at` an extension
    `url` of `type` in each resource named `resource`. `when` limits a quirk to messages
    in which the place `when` matches `matches` (to segments, if it is the same segment).
    """

    do: Literal["copy", "move", "drop", "default", "extension"]
    at: PlaceText = ""
    source: PlaceText = Field("", alias="from")
    to: PlaceText = ""
    value: str = ""
    overwrite: bool = False
    resource: str = ""
    url: str = ""
    type: ExtensionType = "string"
    when: PlaceText = ""
    matches: Pattern = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needs = {
            "copy": ("from", "to"),
            "move": ("from", "to"),
            "drop": ("at",),
            "default": ("at", "value"),
            "extension": ("at", "resource", "url"),
        }[self.do]
        said = {**dict(self), "from": self.source}
        missing = [name for name in needs if not said[name]]
        if missing:
            raise ValueError(f"{self.do} also needs {' and '.join(missing)}")
        if bool(self.when) != bool(self.matches):
            raise ValueError("when and matches go together")
        return self


class Time(_Table):
    """Times that come without an offset; "" is the server's own zone."""

    zone: Annotated[str, AfterValidator(_zone)] = ""

    @property
    def tz(self) -> ZoneInfo | None:
        """The zone, None where the server's applies."""
        return ZoneInfo(self.zone) if self.zone else None


class Text(_Table):
    """Character sets; "" is as the server has it.

    `charset` is a value of MSH-18 that wins over what is sent, `fallback` the Python codec
    of messages that name none and are not UTF-8.
    """

    charset: Annotated[str, AfterValidator(_charset)] = ""
    fallback: Annotated[str, AfterValidator(_codec)] = ""

    def over(self, usual: Hl7Settings) -> tuple[str, str]:
        """Return fallback and charset of this sender, else those of its channel's settings."""
        return self.fallback or usual.fallback_charset, self.charset or usual.charset_override


class Choices(_Table):
    """Settings of `[hl7]` that are otherwise for this sender; None is as the server has it.

    `laboratory`: results without a category are a laboratory's.
    """

    orders_from_results: bool | None = None
    placer_scope: Literal["order", "group"] | None = None
    encounter_without_number: Literal["contained", "create", "skip"] | None = None
    obx_after_spm: Literal["auto", "result", "specimen"] | None = None
    cancel_request_revokes: bool | None = None
    visit_from_account: bool | None = None
    anonymous_patients: bool | None = None
    nk1_contact: Literal["auto", "contact", "related", "both"] | None = None
    allergy_severity: Literal["criticality", "reaction"] | None = None
    ssn_type: Literal["SB", "SS"] | None = None
    race_extension: str | None = None
    ethnicity_extension: str | None = None
    laboratory: bool | None = None
    subid_grouping: Literal["none", "prefix", "OG"] | None = None
    qc_policy: Literal["store", "inbox_only"] | None = None
    snapshot_results: bool | None = None
    ed_join: bool | None = None
    join_text_obx: bool | None = None
    infer_type: bool | None = None
    decimal_comma: bool | None = None


class Unmapped(_Table):
    """What becomes of a local code that nobody has translated; None is as the server has it.

    `fields` are those that are to be translated; OBX-6 is the unit.
    """

    policy: Literal["accept", "hold"] | None = None
    fields: tuple[Literal["OBX-3", "OBX-5", "OBX-6", "OBR-4", "SPM-4"], ...] | None = None


class Qc(_Table):
    """A sign of quality control: what to find at a place."""

    at: PlaceText
    matches: Pattern


class CriticalValue(_Table):
    """Critical limits of a test, of a sex and age (years) where named."""

    code: str = Field(min_length=1)
    system: str = ""
    unit: str = ""
    sex: Literal["", "female", "male", "other", "unknown"] = ""
    from_age: Decimal | None = None
    to_age: Decimal | None = None
    low: Decimal | None = None
    high: Decimal | None = None

    @model_validator(mode="after")
    def _limited(self) -> Self:
        if self.low is None and self.high is None:
            raise ValueError("a critical value needs low or high")
        return self


class Criticals(_Table):
    """Critical results; None is as the server has it, and 0 percent switches that part off."""

    codes: tuple[str, ...] | None = None
    above_percent: Decimal | None = None
    below_percent: Decimal | None = None
    recipient: str | None = Field(None, pattern=r"^[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}$")
    values: tuple[CriticalValue, ...] = ()


AstmRole = Literal[
    "patient_id",
    "name",
    "birth_date",
    "gender",
    "address",
    "phone",
    "patient_physician",
    "location",
    "specimen",
    "instrument_specimen",
    "order_test",
    "priority",
    "ordered",
    "collected",
    "action",
    "received",
    "specimen_type",
    "physician",
    "reported",
    "report_type",
    "test",
    "test_name",
    "value",
    "unit",
    "range",
    "flag",
    "status",
    "operator",
    "started",
    "completed",
    "instrument",
]


class AstmSelect(_Table):
    """Which R records count: those with one of `keep` at `at` (others are profile_ignored)."""

    at: PlaceText
    keep: tuple[str, ...] = Field(min_length=1)


class Astm(_Table):
    """ASTM E1381/E1394 (LIS01/LIS02): the line, and where what stands.

    Fields count from 1 with the record's letter, so `R-4` is the value and `R-3.4` the
    fourth component of the test. `positions` moves what a sender puts elsewhere;
    `patient_ids` are tried in order. `address` is host:port of an analyzer that listens
    (`role` client), `tls` how it is trusted, `plain` that one elsewhere is spoken to without;
    `dialect` gives the size of a frame.
    `test_parts` are the components that together are the code, joined by `^`, where one
    alone is ambiguous. `flags` and
    `statuses` turn the sender's codes into those of tables 0078 and 0085. `query` is how
    host queries are answered, `orders` whether results are those of the orders that are
    stored for their specimens. `numbers` says how long a specimen's number names the same
    specimen, where it is used again.
    """

    role: Literal["server", "client"] = "server"
    address: str = Field("", pattern=r"^$|^.+:\d{1,5}$")
    tls: OutboundTls | None = None
    plain: bool = False
    dialect: Literal["E1381-95", "LIS01-A2"] = "LIS01-A2"
    patient_ids: tuple[PlaceText, ...] = ("P-3", "P-4", "P-5")
    positions: dict[AstmRole, PlaceText] = {}
    test_parts: tuple[int, ...] = (4,)
    select: tuple[AstmSelect, ...] = ()
    date_formats: tuple[str, ...] = ()
    default_status: Literal["", "F", "P", "C", "X"] = ""
    statuses: dict[str, str] = {}
    flags: dict[str, str] = {}
    query: Literal["answer", "ignore"] = "answer"
    orders: Literal["match", "ignore"] = "match"
    numbers: Literal["", "year", "month", "day"] = ""

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.role == "client" and not self.address:
            raise ValueError("a client needs the address of the analyzer, such as 10.0.0.7:4000")
        if (self.tls is not None or self.plain) and self.role == "server":
            raise ValueError("tls and plain are of an analyzer that is connected to (role client)")
        if self.tls is not None and self.plain:
            raise ValueError("write the table tls, or plain = true: not both")
        return self


class SourceProfile(_Table):
    """A profile: all that is agreed with one sender.

    `sender` is its name in URIs and keys ("" is the file's name), and must stay what it
    was: under another name, what was written before is not found again. `version` is the
    integrator's own. `partition` are the places whose values keep messages in order.
    """

    version: str = Field(min_length=1)
    description: str = ""
    sender: Name = ""
    match: Match = Match()
    time: Time = Time()
    text: Text = Text()
    authorities: dict[str, Authority] = {}
    tables: dict[Annotated[str, Field(pattern=r"^\d{4}$")], dict[str, str]] = {}
    codes: dict[Literal["OBX-3", "OBX-5", "OBR-4", "SPM-4"], dict[str, TargetText]] = {}
    units: dict[str, Ucum] = {}
    unit_defaults: dict[str, str] = {}
    quirks: tuple[Quirk, ...] = ()
    qc: tuple[Qc, ...] = ()
    critical: Criticals = Criticals()
    partition: tuple[PlaceText, ...] = ()
    mapping: Choices = Choices()
    unmapped: Unmapped = Unmapped()
    law: Law = Law()
    outbound: Outbound | None = None
    astm: Astm | None = None

    def model_post_init(self, _: Any, /) -> None:  # noqa: ANN401  (pydantic's signature)
        """Refuse tables that the server does not read, and work that has nowhere to go."""
        if self.law.orders_via == "own" and not (self.outbound and self.outbound.address):
            raise ValueError("law.orders_via = own needs outbound.address")
        unread = sorted(set(self.tables) - set(EXTENSIBLE))
        if unread:
            raise ValueError(
                f"tables.{unread[0]} is not read; write one of {', '.join(sorted(EXTENSIBLE))}"
            )
