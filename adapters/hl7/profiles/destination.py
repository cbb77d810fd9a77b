"""What a profile says of messages that its system is sent, and of an analyzer's work.

docs/hl7-outbound.md and docs/law.md have the keys with examples.
"""

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from adapters.hl7.message.charsets import UnsupportedCharset, codec_of

Trigger = Literal[
    "ORU^R01",
    "OUL^R22",
    "ADT",
    "ADT^A01",
    "ADT^A02",
    "ADT^A03",
    "ADT^A08",
    "ADT^A11",
    "ADT^A13",
    "ADT^A23",
    "ADT^A29",
    "ADT^A31",
    "ADT^A40",
    "ADT^A60",
    "OML^O21",
    "OML^O33",
]
"""What is sent; `ADT` is all of its events."""

_MARKS: Final = (5, 6)
_KNOWN: Final = "2.3 2.3.1 2.4 2.5 2.5.1 2.6 2.7 2.7.1 2.8 2.8.1 2.8.2 2.9"
_VERSIONS: Final = frozenset(_KNOWN.split())
_WIDE: Final = ("utf-16", "utf-32")
_TWICE: Final = (frozenset(("ORU^R01", "OUL^R22")), frozenset(("OML^O21", "OML^O33")))


def _delimiters(text: str) -> str:
    usable = len(text) in _MARKS and len(set(text)) == len(text)
    if not usable or any(one.isalnum() or one.isspace() for one in text):
        raise ValueError(r"write MSH-1 and MSH-2, such as |^~\& : five or six different marks")
    if any(ord(one) > 0x7E for one in text):  # noqa: PLR2004  (the last of ASCII)
        raise ValueError("the delimiters are characters of ASCII")
    return text


def _charset(text: str) -> str:
    try:
        codec = codec_of(text)
    except UnsupportedCharset:
        codec = "utf-16"
    if codec in _WIDE:
        raise ValueError(
            "write a value of MSH-18 that MLLP can carry, such as 8859/1 or UNICODE UTF-8"
        )
    return text


def _version(text: str) -> str:
    if text not in _VERSIONS:
        raise ValueError("write a version of HL7 from 2.3 to 2.9, such as 2.5.1")
    return text


def _coding(text: str) -> str:
    system, _, code = text.rpartition("|")
    if not code or ":" not in system:
        raise ValueError("write system|code, such as http://loinc.org|2345-7")
    return text


def _element(text: str) -> str:
    if not text.partition("^")[0]:
        raise ValueError("write code^text^coding system, such as GLU^Glucose^L")
    return text


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OutboundTls(_Table):
    """TLS to whom we connect: by whom he is trusted, and what we show."""

    ca: str = ""
    certificate: str = ""
    key: str = ""
    check_name: bool = True


class Outbound(_Table):
    """A destination: where messages go, which, and how they are written.

    `mode`: in `enhanced` mode the destination is asked for both acknowledgements.
    `codes` gives for system|code what the destination calls it (code^text^coding system);
    the profile's own `codes`, `units` and `authorities` are read backwards too. `not_from`
    are channels whose changes are not sent here, beside those of the profile itself. Without
    `tls` nothing goes to another machine unless `plain` says that it may.
    `discloses_to` is the organisation of the destination where that is another: it is told
    only what consents permit to disclose.
    """

    address: str = Field("", pattern=r"^$|^.+:\d{1,5}$")
    tls: OutboundTls | None = None
    plain: bool = False
    triggers: tuple[Trigger, ...] = ()
    version: Annotated[str, AfterValidator(_version)] = "2.5.1"
    delimiters: Annotated[str, AfterValidator(_delimiters)] = "|^~\\&"
    charset: Annotated[str, AfterValidator(_charset)] = "UNICODE UTF-8"
    mode: Literal["original", "enhanced"] = "original"
    sending_application: str = "SANGAM"
    sending_facility: str = ""
    receiving_application: str = ""
    receiving_facility: str = ""
    processing_id: Literal["P", "D", "T"] = "P"
    codes: dict[
        Annotated[str, AfterValidator(_coding)], Annotated[str, AfterValidator(_element)]
    ] = {}
    not_from: tuple[str, ...] = ()
    discloses_to: str = Field("", pattern=r"^$|^Organization/[A-Za-z0-9.-]{1,64}$")
    timeout_seconds: float = Field(30, gt=0)
    attempts: int = Field(10, ge=1)
    enabled: bool = True

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.triggers and not self.address:
            raise ValueError("triggers need the address of the destination, such as lis:2575")
        if self.tls is not None and self.plain:
            raise ValueError("write the table tls, or plain = true: not both")
        for pair in _TWICE:
            if pair <= set(self.triggers):
                raise ValueError(f"write one of {' and '.join(sorted(pair))}: they say the same")
        return self

    @property
    def codec(self) -> str:
        """The Python codec of the character set."""
        return codec_of(self.charset) or "ascii"

    def wants(self, kind: str) -> bool:
        """Whether messages such as `ADT^A08` are sent."""
        return kind in self.triggers or kind.partition("^")[0] in self.triggers


class SupportedTest(_Table):
    """A test that the analyzer does: its own code, and the codes that orders have for it.

    `orders` are codings as code^display^system, or bare codes of the order itself.
    """

    code: str = Field(min_length=1)
    display: str = ""
    system: str = ""
    orders: tuple[str, ...] = ()


class Law(_Table):
    """What an analyzer can be asked to do, and how.

    `orders_via`: work goes out on the connection of the query, or on one of our `own` to
    the address of `[outbound]`. `download`: new orders go there without a query.
    `isolate_field` is the field of QPD that names an isolate; `accept` and `application`
    are MSH-15 and MSH-16 of what is sent.
    """

    tests: tuple[SupportedTest, ...] = ()
    orders_via: Literal["connection", "own"] = "connection"
    download: bool = False
    isolate_field: int = Field(9, ge=3, le=99)
    accept: Literal["AL", "NE", "ER", "SU"] = "ER"
    application: Literal["AL", "NE", "ER", "SU"] = "AL"
