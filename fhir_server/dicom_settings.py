"""Settings of DICOM (`[dicom]`)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fhir_server.channel_settings import Network


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DicomWebSettings(_Group):
    """DICOMweb."""

    url: str = Field(
        "", description="Public URL of DICOMweb; empty: `/dicom-web` beside the FHIR base URL."
    )
    limit: int = Field(100, ge=1, description="Results of a search that names no limit.")
    max_limit: int = Field(5_000, ge=1, description="Results of one search.")
    unsupported_key: Literal["error", "ignore"] = Field(
        "error",
        description="A search by an attribute that is not matched is refused, or its answer warns.",
    )
    empty_status: Literal[200, 204] = Field(
        200, description="Status of a search without results: 200 with `[]`, or 204."
    )
    bulk_threshold: int = Field(
        1024, ge=0, description="Bytes of a binary value from which on metadata links to it."
    )
    serve_stored_if_undecodable: bool = Field(
        True, description="Instances that cannot be decoded go out as they are stored."
    )
    zero_preamble: bool = Field(True, description="Files go out with a preamble of zeros.")
    store_requests: int = Field(
        16, ge=1, description="Requests that store at a time, in each process; more: 503."
    )
    max_request_bytes: int = Field(50 << 30, ge=1, description="Largest request that stores.")
    stall_seconds: float = Field(60, gt=0, description="Silence inside such a request; then 408.")


class DicomRenderSettings(_Group):
    """Pictures of stored frames."""

    workers: int = Field(
        2, ge=1, description="Processes that make pictures, for each process that serves HTTP."
    )
    memory_bytes: int = Field(
        2 << 30, ge=256 << 20, description="Addresses that such a process may use."
    )
    seconds: float = Field(30, gt=0, description="Time for a picture.")
    max_pixels: int = Field(4096 * 4096, ge=1, description="Largest viewport, in pixels.")
    overlays: bool = Field(False, description="Overlay planes (60xx) are drawn.")
    font: str = Field(
        "",
        description="TrueType file for annotations, for scripts other than Latin; empty: built in.",
    )
    thumbnail_bytes: int = Field(
        32 << 20, ge=0, description="Bytes of thumbnails that a process keeps."
    )


class S3Settings(_Group):
    """An object store (S3, or what speaks like it) for the files of images."""

    bucket: str = Field("", description="Bucket of the files; empty: they are on disk alone.")
    endpoint: str = Field("", description="URL of the service; empty: that of AWS.")
    region: str = Field("", description="Region; empty: as the environment says.")
    prefix: str = Field("", description="What the names of objects begin with.")
    encryption: Literal["", "AES256", "aws:kms"] = Field(
        "", description="Encryption that the service is asked for; empty: the bucket's."
    )
    ack: Literal["remote", "spool"] = Field(
        "remote",
        description="An instance is acknowledged when the object store has it, or when the disk "
        "has it and it is brought there soon.",
    )
    cache_bytes: int = Field(
        0,
        ge=0,
        description="Bytes of files that the disk holds besides; the oldest go; 0: all stay.",
    )


class DicomSettings(_Group):
    """DICOM services."""

    ae_titles: tuple[str, ...] = Field(
        ("SANGAM",), min_length=1, description="AE titles that we answer to; others are rejected."
    )
    calling_ae_titles: tuple[str, ...] = Field(
        (), description="AE titles that may call, `*` for any; empty: none, or any in demo mode."
    )
    allow_hosts: tuple[str, ...] = Field(
        (), description="Networks (CIDR) that may connect; empty: loopback and private ones."
    )
    processes: int = Field(
        2, ge=1, le=32, description="Processes that take associations, for each port."
    )
    max_associations: int = Field(
        64, ge=1, description="Associations at a time, of all processes together."
    )
    max_associations_per_host: int = Field(8, ge=1, description="Associations from one address.")
    max_pdu: int = Field(
        131072, ge=4096, le=1 << 20, description="Longest P-DATA PDU that peers may send."
    )
    artim_seconds: float = Field(30, gt=0, description="Time to send an association request.")
    dimse_seconds: float = Field(60, gt=0, description="Silence inside a message until abort.")
    idle_seconds: float = Field(300, gt=0, description="Silence between messages until abort.")
    stop_seconds: float = Field(10, gt=0, description="Time to finish a message at shutdown.")
    prefer_explicit: bool = Field(
        True, description="Choose no Implicit VR where Explicit VR is offered beside it."
    )
    accept_unknown_sop_classes: bool = Field(
        True, description="Store classes that are not known as something else."
    )
    denied_sop_classes: tuple[str, ...] = Field(
        (), description="UIDs of SOP classes whose instances are refused (0122)."
    )
    transfer_syntaxes: tuple[str, ...] = Field(
        (), description="UIDs of private transfer syntaxes to store besides the standard ones."
    )
    max_object_bytes: int = Field(8 << 30, ge=1, description="Largest instance.")
    reserve_bytes: int | None = Field(
        None,
        ge=0,
        description="Free disk space below which instances are refused; empty: 20 GiB, or 5 % of "
        "a smaller disk.",
    )
    quota_bytes: int = Field(
        0,
        ge=0,
        description="Bytes of all instances above which more are refused, unless `sangam dicom "
        "quota` says another; 0: none.",
    )
    verify_days: float = Field(
        90, ge=0, description="Days in which every stored file is read and compared; 0: never."
    )
    recompress: Literal["", "jpeg-ls", "jpeg-2000"] = Field(
        "",
        description="Uncompressed images are packed without loss when they are older; empty: no.",
    )
    recompress_days: float = Field(7, ge=0, description="How old they are then, in days.")
    connections: int = Field(8, ge=1, description="Database connections of a DICOM process.")
    on_conflict: Literal["keep-first", "replace", "reject"] = Field(
        "keep-first",
        description="Another content under a known SOP Instance UID is kept aside, takes the "
        "place of the first, or is refused (0111).",
    )
    conflict_days: float = Field(30, ge=0, description="How long contents kept aside stay.")
    rejected: Literal["refuse", "hide"] = Field(
        "refuse",
        description="What was rejected for patient safety or a wrong worklist entry, when it "
        "comes again: refused (A900), or taken and hidden.",
    )
    expunge_days: float = Field(
        30, ge=0, description="How long rejected instances stay before they may be removed."
    )
    unknown_patient: Literal["", "hold", "create"] = Field(
        "",
        description="A study of an unknown patient is held, or creates one; empty: hold, "
        "or create in demo mode.",
    )
    issuers: dict[str, str] = Field(
        {}, description="Issuer of Patient ID as sent, to the identifier system that it means."
    )
    patient_id_system: str = Field(
        "urn:sangam:patient-id",
        description="Identifier system of a Patient ID without issuer; empty: it matches nobody.",
    )
    anonymous_ids: tuple[str, ...] = Field(
        ("0", "UNKNOWN", "NONE", "NA", "N/A", "ANON*"),
        description="Patient IDs that never match; a trailing `*` stands for anything.",
    )
    coding_schemes: dict[str, str] = Field(
        {}, description="Coding scheme designator as sent (99..., L), to the code system it means."
    )
    laterality_codes: Literal["cid244", "r4"] = Field(
        "cid244", description="Codes of left and right: of DICOM, or of FHIR's example value set."
    )
    dose_report_code: str = Field(
        "73569-6", description="LOINC code of a dose report's summary besides its own; empty: none."
    )
    dose_event_code: str = Field(
        "113852", description="DCM code of an irradiation event; empty: that of its container."
    )
    timezone: str = Field("Asia/Kolkata", description="IANA zone of times sent without an offset.")
    keep_study_id: bool = Field(True, description="Study ID becomes an identifier.")
    quiet_seconds: float = Field(
        2, ge=0, description="A study is shown as an ImagingStudy when quiet for this long."
    )
    patience_seconds: float = Field(
        15, ge=0, description="It is shown at latest after this long, which doubles each time."
    )
    max_shown_instances: int = Field(
        10_000, ge=0, description="Instances listed in an ImagingStudy; above, only counted."
    )
    default_services: tuple[str, ...] = Field(
        ("echo", "store"),
        description="Services of callers that are no peers (`sangam dicom peers`); all in demo "
        "mode.",
    )
    procedures_file: str = Field(
        "",
        description="TOML file of the catalogue of procedures, read at the start; empty: only "
        "`sangam dicom procedures`.",
    )
    accession_system: str = Field(
        "urn:sangam:accession-number",
        description="Identifier system of accession numbers that are made for imaging orders, "
        "and of those that come without issuer.",
    )
    accession_prefix: str = Field(
        "A", max_length=6, pattern=r"^[A-Z0-9]*$", description="What these numbers begin with."
    )
    ae_title_system: str = Field(
        "urn:sangam:ae-title", description="Identifier system of a Device's DICOM AE title."
    )
    unscheduled_days: float = Field(
        7,
        ge=0,
        description="An order without an appointment is on the worklist until so long after its "
        "occurrence.",
    )
    imaging_categories: tuple[str, ...] = Field(
        ("http://snomed.info/sct|363679005",),
        description="Categories (`system|code`) of orders for imaging; those of the catalogue are "
        "for it too.",
    )
    worklist_poll_seconds: float = Field(
        0.3, gt=0, description="How often changes are looked for that the worklist shows."
    )
    patient_study_only: bool = Field(
        False, description="Answer the retired Patient/Study Only model of query and retrieve."
    )
    mpps_strict: bool = Field(
        False, description="Refuse performed procedure steps without what the standard requires."
    )
    complete_order_on_mpps: bool = Field(
        True, description="An order is completed when all of its procedure steps are."
    )
    commit_reply: Literal["new", "same"] = Field(
        "new",
        description="A storage commitment is reported on an association of ours, or first on the "
        "requester's while that is open.",
    )
    commit_wait_seconds: float = Field(
        60, ge=0, description="How long a commitment waits for instances that are not here yet."
    )
    commit_keep_days: int = Field(
        90, ge=1, description="How long a storage commitment is listed after it was reported."
    )
    commit_verify: Literal["size", "hash"] = Field(
        "size", description="What of a stored file is compared before it is committed."
    )
    find_limit: int = Field(10_000, ge=1, description="Answers to one C-FIND.")
    find_seconds: float = Field(30, gt=0, description="Time of a query in the database.")
    query_connections: int = Field(
        4, ge=1, description="Database connections for queries of a DICOM process."
    )
    connect_seconds: float = Field(10, gt=0, description="Time to connect to a peer.")
    plain_port: bool = Field(True, description="Listen on `dicom_port` without TLS.")
    plain_from: tuple[Network, ...] = Field(
        (), description="Networks (CIDR) beyond this machine whose peers may do without TLS."
    )
    tls_port: int | None = Field(
        None, ge=0, le=65535, description="Port of DICOM with TLS (2762); empty: none."
    )
    tls_certificate: str = Field("", description="PEM file of our certificate chain.")
    tls_key: str = Field("", description="PEM file of its key.")
    tls_ca: str = Field(
        "", description="PEM file of the authorities that peers have their certificates of."
    )
    tls_client_cert: Literal["required", "optional"] = Field(
        "required", description="Whether who calls with TLS must show a certificate."
    )
    render: DicomRenderSettings = Field(
        default_factory=DicomRenderSettings, description="Pictures of stored frames."
    )
    web: DicomWebSettings = Field(default_factory=DicomWebSettings, description="DICOMweb.")
    s3: S3Settings = Field(default_factory=S3Settings, description="Object store.")
