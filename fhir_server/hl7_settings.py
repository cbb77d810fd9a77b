"""Settings of HL7 v2 (`[hl7]`)."""

from decimal import Decimal
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fhir_server.channel_settings import Hl7Channel, Network


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


_CHANNELS_OWN = frozenset(("name", "port", "host", "tls"))


class Hl7Settings(_Group):
    """HL7 v2 over MLLP."""

    channel: str = Field("mllp", description="Name of the MLLP port in the inbox.")
    plain_port: bool = Field(
        True, description="Listen on `mllp_port`, without TLS; off: only on the `channels`."
    )
    channels: tuple[Hl7Channel, ...] = Field((), description="More MLLP ports (below).")
    sender: str = Field("", description="Profile of all that comes in, unless a channel has one.")
    allow_hosts: tuple[Network, ...] = Field(
        (), description="Networks (CIDR) that may connect; empty: all that reach the port."
    )
    plain_from: tuple[Network, ...] = Field(
        (), description="Networks (CIDR) beyond this machine whose senders may do without TLS."
    )
    mllp_release: Literal[1, 2] = Field(
        1, description="2: a block with ACK or NAK tells that a message is stored, or not."
    )
    accepted_types: tuple[str, ...] = Field(
        (), description="Messages that are taken (`ORU^R01`, `ADT`); empty: all that are mapped."
    )
    accept_unknown: bool = Field(
        False, description="Accept and keep messages of other types, as dead letters."
    )
    strict_sender: bool = Field(False, description="Reject messages of senders without profile.")
    profiles_dir: str = Field(
        "", description="Directory of the senders' profiles (`*.toml`); empty: there are none."
    )
    unmapped_policy: Literal["accept", "hold"] = Field(
        "accept",
        description="A message with a local code that has no translation is applied, or waits.",
    )
    unmapped_poll_seconds: float = Field(
        1, gt=0, description="Time between looks for Tasks of local codes that were completed."
    )
    sequence: bool = Field(False, description="Check the sequence numbers of MSH-13.")
    order_response: Literal["ack", "orl"] = Field(
        "ack", description="Orders are answered by ACK, or by ORR and ORL messages."
    )
    batch_ack: Literal["batch", "each", "errors"] = Field(
        "batch",
        description="A batch is answered by a batch, one by one, or by a batch of its errors.",
    )
    uri_base: str = Field(
        "",
        description="Start of the systems and keys made here; empty: the base URL "
        "that the server had when it processed its first message.",
    )
    timezone: str = Field("UTC", description="IANA zone of times sent without an offset.")
    fallback_charset: str = Field(
        "cp1252", description="Python codec of messages without MSH-18 that are not UTF-8."
    )
    charset_override: str = Field("", description="MSH-18 value that wins over what is sent.")
    authorities: dict[str, str] = Field(
        {}, description="Assigning authority, by namespace or universal id, to identifier system."
    )
    ack_when: Literal["stored", "committed"] = Field(
        "stored", description="Original mode answers AA when durable, or when committed to FHIR."
    )
    accepted_processing_ids: tuple[str, ...] = Field(
        ("P",), description="MSH-11 values that are taken; an empty one always is."
    )
    strict_version: bool = Field(False, description="Reject a MSH-12 other than 2.1 to 2.9.")
    missing_vt: Literal["reject", "accept"] = Field(
        "reject", description="What becomes of a message that begins without VT."
    )
    on_store_failure: Literal["close", "reject"] = Field(
        "close", description="When the inbox cannot be written: silence and close, or AR."
    )
    fs_grace_seconds: float = Field(
        0.25, gt=0, description="Silence after FS that ends a frame without CR."
    )
    message_seconds: float = Field(60, gt=0, description="Time from VT to FS of a message.")
    idle_seconds: float = Field(
        0, ge=0, description="Silence between messages that closes a connection; 0: never."
    )
    stop_seconds: float = Field(10, gt=0, description="Time to answer whole frames at shutdown.")
    max_message_bytes: int = Field(64 << 20, ge=1, description="Largest message.")
    max_unstored_bytes: int = Field(
        256 << 20, ge=1, description="Bytes waiting to be stored above which reading stops."
    )
    max_partial_bytes: int = Field(
        256 << 20,
        ge=1,
        description="Bytes of unfinished messages of all connections; the largest is refused.",
    )
    max_connections: int = Field(256, ge=1, description="MLLP connections at a time.")
    max_connections_per_peer: int = Field(32, ge=1, description="Of these, from one address.")
    orders_from_results: bool = Field(
        True, description="A result creates the ServiceRequest that it answers."
    )
    placer_scope: Literal["order", "group"] = Field(
        "order", description="A placer number names one order, or one for each OBR-4."
    )
    encounter_without_number: Literal["contained", "create", "skip"] = Field(
        "contained", description="What becomes of a visit without a number in a result."
    )
    visit_from_account: bool = Field(
        False, description="PID-18 is the visit number where PV1-19 and PV1-50 are empty."
    )
    nk1_contact: Literal["auto", "contact", "related", "both"] = Field(
        "auto",
        description="NK1 as Patient.contact or as RelatedPerson; auto: by the relationship.",
    )
    allergy_severity: Literal["criticality", "reaction"] = Field(
        "criticality", description="What the severity of AL1-4 and IAM-4 is of."
    )
    ssn_type: Literal["SB", "SS"] = Field(
        "SB", description="Type (table 0203) of the number in PID-19; SS in the US."
    )
    race_extension: str = Field(
        "", description="URL of the extension that holds PID-10; empty: not mapped."
    )
    ethnicity_extension: str = Field(
        "", description="URL of the extension that holds PID-22; empty: not mapped."
    )
    obx_after_spm: Literal["auto", "result", "specimen"] = Field(
        "auto", description="OBX after SPM: by what came before, a result, or of the specimen."
    )
    cancel_request_revokes: bool = Field(
        default=False, description="A request to cancel (ORC-1 CA) ends the order; off: a Task."
    )
    batch_messages: int = Field(
        16, ge=1, le=200, description="Messages of different patients in one FHIR transaction."
    )
    workers: int = Field(
        2,
        ge=1,
        le=16,
        description="FHIR transactions at a time in each process, each of other patients.",
    )
    processes: int = Field(2, ge=1, le=8, description="Processes that map messages and write FHIR.")
    burst_messages: int = Field(
        200,
        ge=0,
        description=(
            "Messages taken in within a second from which on mapping rests three quarters of its"
            " time, so that answers come first; 0 for never."
        ),
    )
    attempts: int = Field(10, ge=1, description="Tries of a message after transient errors.")
    subid_grouping: Literal["none", "prefix", "OG"] = Field(
        "none", description="How OBX-4 tells which results of one order are parts of another."
    )
    qc_policy: Literal["store", "inbox_only"] = Field(
        "store", description="Quality control becomes Observations of the analyzer, or stays here."
    )
    snapshot_results: bool = Field(
        False, description="A report that comes again has all its results: others are cancelled."
    )
    ed_join: bool = Field(
        False, description="Base64 that is spread over several OBX of one name is one document."
    )
    join_text_obx: bool = Field(
        False, description="Lines of text in several OBX of one name are one result."
    )
    infer_type: bool = Field(
        False, description="An OBX-5 without a type (OBX-2) is a number where it is one."
    )
    decimal_comma: bool = Field(False, description="A comma in a NM is the decimal mark.")
    critical_alerts: bool = Field(
        True, description="A critical result raises a Flag and a CommunicationRequest."
    )
    critical_codes: tuple[str, ...] = Field(
        ("HH", "LL", "AA"), description="Interpretations (OBX-8) that are critical."
    )
    critical_above_percent: Decimal = Field(
        Decimal(200), ge=0, description="Critical above so much of the upper limit; 0: never."
    )
    critical_below_percent: Decimal = Field(
        Decimal(50), ge=0, description="Critical below so much of the lower limit; 0: never."
    )
    critical_recipient: str = Field(
        "", description="Who is told where nobody ordered, such as `Organization/laboratory`."
    )
    critical_result_task: bool = Field(
        False, description="A critical result is also a Task of who ordered, at once."
    )
    critical_escalation_seconds: float = Field(
        1800, ge=0, description="Time without acknowledgement after which a Task is made; 0: never."
    )
    critical_poll_seconds: float = Field(
        10, gt=0, description="Time between looks for acknowledgements while one is awaited."
    )
    partition: str = Field(
        "",
        pattern=r"^(\s*[A-Z][A-Z0-9]{2}-[1-9][0-9]?(\.[1-9][0-9]?){0,2}\s*(,|$))*$",
        description="Fields whose values say what is applied in order (`PID-3.1,PID-3.4`, "
        "`MSH-4`); empty: all identifiers of the patients, with their authorities.",
    )
    ordering_scope: Literal["channel", "all"] = Field(
        "all", description="Messages wait for earlier ones of their channel, or of all channels."
    )
    on_dead: Literal["continue", "hold"] = Field(
        "continue", description="A dead letter holds later messages of its partition, or not."
    )
    merge_limit: int = Field(
        5_000, ge=1, description="References that a merge moves without being confirmed."
    )
    patient_match: tuple[Literal["national", "MR", "PI", "other"], ...] = Field(
        ("national", "MR", "PI", "other"),
        description="Kinds of identifiers by which patients are found, the most trusted first.",
    )
    patient_update: Literal["adt", "all", "none"] = Field(
        "adt", description="Messages that change what is stored of a patient."
    )
    anonymous_patients: bool = Field(
        False, description="Results without identifier of a patient make one for their order."
    )
    strict_demographics: bool = Field(
        False, description="Refuse results whose patient has another name, birth date or sex."
    )
    allow_regression: bool = Field(
        False, description="A newer preliminary result takes the place of a final one."
    )
    full_validation_every: int = Field(
        20, ge=1, description="Of so many groups of messages under load one is judged in full."
    )
    raw_as_document: bool = Field(
        False, description="Store each message as a DocumentReference too."
    )
    outbound_poll_seconds: float = Field(
        0.5, gt=0, description="Time between looks for changes that other systems are told of."
    )
    keep_done_days: int = Field(30, ge=1, description="How long messages that were done are kept.")
    keep_days: int = Field(
        365, ge=1, description="How long others are kept; dead letters until dismissed."
    )

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        names = [self.channel, *(one.name for one in self.channels)]
        if len(set(names)) < len(names):
            raise ValueError("Each of the channels has a name of its own")
        return self

    def of(self, channel: str) -> "Hl7Settings":
        """Return what holds on a channel; on one that is not there, what holds on all."""
        for one in self.channels:
            if one.name == channel:
                said = {
                    name: getattr(one, name)
                    for name in one.model_fields_set - _CHANNELS_OWN
                    if getattr(one, name) is not None
                }
                return self.model_copy(update={"channel": channel, **said})
        return self
