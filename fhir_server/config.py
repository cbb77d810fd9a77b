"""Settings: one typed, documented field each.

A value comes from a flag of `sangam serve`, else from the environment
(`SANGAM_HTTP_PORT`, nested `SANGAM_SEARCH__DEFAULT_COUNT`), else from the TOML
file that `SANGAM_CONFIG` names (default `sangam.toml`), else from here.
docs/settings.md lists them all; a test holds it to this module.
"""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from fhir_server.audit_settings import AuditSettings, RetentionSettings
from fhir_server.channel_settings import Hl7Tls, Network
from fhir_server.dicom_settings import DicomSettings
from fhir_server.hl7_settings import Hl7Settings
from fhir_server.match_settings import MatchSettings
from fhir_server.security_settings import SecuritySettings
from fhir_server.tenancy_settings import TenantSettings


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WriteSettings(_Group):
    """How resources are written."""

    update_create: bool = Field(True, description="PUT of an unknown id creates it; off: 405.")
    no_op: bool = Field(True, description="An update with equal content stores no new version.")
    referential_integrity: bool = Field(
        True, description="Literal local references must exist; a referenced resource is kept."
    )
    require_if_match: tuple[str, ...] = Field(
        (), description="Types whose stored resources change by If-Match only, `*` for all."
    )
    equal_conditional_creates: Literal["merge", "refuse"] = Field(
        "merge",
        description="Creates of one Bundle under the same criteria make one resource, or are 412.",
    )
    business_keys: dict[str, tuple[str, ...]] = Field(
        {},
        description="Resource type to the identifier systems whose values one resource has alone.",
    )
    conditional_delete: Literal["single", "multiple"] = Field(
        "single", description="DELETE by criteria: only one match, or all of them at once."
    )
    meta_on_update: Literal["keep_security", "replace"] = Field(
        "keep_security", description="Security labels that an update omits are kept, or go."
    )


Mode = Literal["off", "structure", "full"]


class ValidationSettings(_Group):
    """How far resources are judged before they are stored."""

    mode: Mode = Field(
        "full",
        description="`off`: only that it can be read; `structure`: elements, types, formats; "
        "`full`: invariants, references, codes and profiles too.",
    )
    types: dict[str, Mode] = Field({}, description="Resource type to its mode, before all others.")
    doors: dict[str, Mode] = Field(
        {}, description="How it came in (`rest`, `hl7`, `dicom`, `cli`) to the mode there."
    )
    profiles: dict[str, tuple[str, ...]] = Field(
        {}, description="Resource type to the profiles that all of the type must conform to."
    )
    unknown_profiles: Literal["warning", "error"] = Field(
        "warning", description="What a profile is that a resource claims and nobody knows here."
    )
    unknown_extensions: Literal["information", "error"] = Field(
        "information", description="What an extension is that nobody defines here."
    )
    taken_extensions: tuple[str, ...] = Field(
        (), description="How the URLs of extensions begin that nobody needs to define."
    )
    vital_signs: bool = Field(
        False,
        description="An Observation with the LOINC code of a vital sign must conform to R4's "
        "profile of it.",
    )
    example_urls: bool = Field(
        True, description="URLs of example.org are no reason for advice (`$validate`)."
    )
    markup: bool = Field(
        True, description="Texts with what looks like HTML are no reason for advice."
    )
    warnings: bool = Field(
        False,
        description="Invariants that are advice, such as a missing narrative, are told by "
        "`$validate` and `Prefer: return=OperationOutcome`.",
    )


TextLanguage = Literal[
    "simple",
    "arabic",
    "armenian",
    "basque",
    "catalan",
    "danish",
    "dutch",
    "english",
    "finnish",
    "french",
    "german",
    "greek",
    "hindi",
    "hungarian",
    "indonesian",
    "irish",
    "italian",
    "lithuanian",
    "nepali",
    "norwegian",
    "portuguese",
    "romanian",
    "russian",
    "serbian",
    "spanish",
    "swedish",
    "tamil",
    "turkish",
    "yiddish",
]


class SearchSettings(_Group):
    """How searches are read and answered."""

    default_count: int = Field(50, ge=1, description="Matches on a page without `_count`.")
    max_count: int = Field(1000, ge=1, description="Largest page; a larger `_count` is reduced.")
    timezone: str = Field("UTC", description="IANA zone of dates written without an offset.")
    exponent_precision: Literal["specification", "digits"] = Field(
        "specification", description="Range of `1e2`: [95,105) as R4 prints, or by its digits."
    )
    total_cap: int = Field(
        10_000, ge=1, description="Matches gathered and counted at once, for a default total."
    )
    total_cost: int = Field(
        4_000,
        ge=0,
        description="Cost, as PostgreSQL plans it, above which matches are not gathered:"
        " the page is found by walking an index, and a default total is left out.",
    )
    full_text: bool = Field(
        True, description="Words are indexed for `_text` and `_content`; a change needs $reindex."
    )
    text_language: TextLanguage = Field(
        "simple",
        description="Language whose endings they lose; simple: none. A change needs $reindex.",
    )
    chains_into_contained: bool = Field(
        True, description="Chains look into contained resources; a change needs $reindex."
    )
    near_km: float = Field(
        50, gt=0, allow_inf_nan=False, description="Kilometers of `near` without a distance."
    )
    max_includes: int = Field(1000, ge=1, description="Included resources on one page.")
    explain: Literal["demo", "on", "off"] = Field(
        "demo", description="Who may ask for `_explain`: everybody, in demo mode only, or nobody."
    )
    reindex_workers: int = Field(
        2, ge=1, le=8, description="Jobs that share the walk of a reindex over old resources."
    )
    reindex_batch: int = Field(
        200, ge=1, le=5_000, description="Resources of one transaction of a reindex."
    )


class Limits(_Group):
    """Caps; what is over one is refused."""

    body_bytes: int = Field(16 << 20, ge=1, description="Body of a resource, unpacked.")
    bundle_bytes: int = Field(64 << 20, ge=1, description="Body of a batch or transaction.")
    json_depth: int = Field(64, ge=1, description="Nesting of a JSON document.")
    object_members: int = Field(50_000, ge=1, description="Members of one JSON object.")
    string_bytes: int = Field(10 << 20, ge=1, description="Length of one JSON string.")
    bundle_entries: int = Field(5_000, ge=1, description="Entries of a batch or transaction.")
    conditional_deletes: int = Field(
        1_000, ge=1, description="Matches that one DELETE by criteria deletes; more are refused."
    )
    page_bytes: int = Field(
        64 << 20,
        ge=1,
        description="Matches, included resources, or versions, on a page; it ends early.",
    )
    page_data_bytes: int = Field(
        16 << 20, ge=0, description="Large Binary data shown on a page; the rest is left out."
    )
    index_rows: int = Field(5_000, ge=1, description="Index rows of one resource.")
    terminology_index_rows: int = Field(
        200_000,
        ge=1,
        description="Of a CodeSystem, ValueSet or ConceptMap; a code may be one.",
    )
    bundle_index_rows: int = Field(
        200_000, ge=1, description="Index rows of all resources of one transaction."
    )
    search_parameters: int = Field(100, ge=1, description="Parameters of one search.")
    or_values: int = Field(1_000, ge=1, description="Alternatives of one search parameter.")
    chain_depth: int = Field(4, ge=1, description="References that a chain or `_has` follows.")
    filter_nodes: int = Field(
        100,
        ge=1,
        description="Comparisons, nots and brackets in the `_filter`s of a search; words and "
        "signs of a `_text` or `_content`.",
    )
    filter_depth: int = Field(
        10, ge=1, le=50, description="Nesting of brackets in a `_filter`, `_text` or `_content`."
    )
    include_rules: int = Field(20, ge=1, description="`_include`s and `_revinclude`s of a search.")
    include_rounds: int = Field(3, ge=1, le=10, description="How far `:iterate` goes on.")
    url_bytes: int = Field(16 << 10, ge=1, description="Length of a URL; more is 414.")
    client_requests: int = Field(
        20, ge=1, description="Requests of one address at a time, in each process; more: 429."
    )
    requests: int = Field(200, ge=1, description="Requests at a time, in each process; more: 429.")
    writes: int = Field(64, ge=1, description="Of these, such as may write; more: 503.")
    search_seconds: int = Field(10, ge=1, description="Time of a search statement.")
    write_seconds: int = Field(60, ge=1, description="Time of a write statement.")
    count_seconds: int = Field(5, ge=1, description="Time of a count for `_total`.")


class PackageSettings(_Group):
    """Packages of conformance resources (`sangam package`)."""

    folder: str = Field(
        "", description="Directory in which the packages that others depend on lie; empty: none."
    )
    archive_bytes: int = Field(64 << 20, ge=1, description="Size of a package's archive.")
    unpacked_bytes: int = Field(1 << 30, ge=1, description="Size of its unpacked content.")
    ratio: int = Field(100, ge=1, description="How many times the archive that may be.")
    files: int = Field(50_000, ge=1, description="Files in a package.")
    file_bytes: int = Field(64 << 20, ge=1, description="Size of one of them.")
    index_rows: int = Field(
        200_000, ge=1, description="Index rows of one of its resources; a code is one."
    )


class AsynchronousSettings(_Group):
    """Requests with `Prefer: respond-async`."""

    lanes: int = Field(2, ge=1, le=6, description="Requests that a worker carries out at a time.")
    max_waiting: int = Field(16, ge=1, description="Unanswered requests of one caller; more: 429.")
    keep_seconds: int = Field(
        86_400, ge=1, description="How long an answer is kept, and a request at most waits."
    )
    poll_seconds: float = Field(
        1, ge=0, description="Pause between two polls; a poll in half of it is 429; 0: none."
    )
    answer_form: Literal["bundle", "plain"] = Field(
        "bundle", description="The answer in a batch-response of one entry (R5), or as it is."
    )


AstmDialect = Literal["E1381-95", "LIS01-A2"]


class AstmSettings(_Group):
    """Laboratory analyzers that speak ASTM (CLSI LIS01, LIS02); what is agreed is in `[hl7]`."""

    connect: bool = Field(
        True, description="Connect to the analyzers of profiles whose `astm.role` is client."
    )
    channel: str = Field("astm", description="Name of the lines to analyzers in the inbox.")
    dialect: AstmDialect = Field(
        "E1381-95",
        description="Size of the frames that are sent, 240 or 63,993; a profile may say another.",
    )
    allow_hosts: tuple[str, ...] = Field(
        (), description="Networks (CIDR) that may connect; empty: all that reach the port."
    )
    plain_from: tuple[Network, ...] = Field(
        (), description="Networks (CIDR) beyond this machine whose analyzers may do without TLS."
    )
    tls: Hl7Tls | None = Field(None, description="TLS of the port; without it the port is plain.")
    max_connections: int = Field(64, ge=1, description="Analyzers at a time.")
    max_session_bytes: int = Field(16 << 20, ge=1, description="Largest session.")
    stop_seconds: float = Field(5, gt=0, description="Time for open sessions at shutdown.")
    download: tuple[str, ...] = Field(
        (), description="Senders that are sent new orders without asking (names of profiles)."
    )
    poll_seconds: float = Field(
        1, gt=0, description="Time between looks for new orders and for changed profiles."
    )


class TerminologySettings(_Group):
    """Terminology operations."""

    seconds: float = Field(
        5, gt=0, description="Time of an operation; one that takes longer is refused as too costly."
    )
    expansion_codes: int = Field(
        1000, ge=1, description="Codes of an expansion for which no `count` is given."
    )
    combined_codes: int = Field(
        100_000, ge=1, description="Codes held in memory to combine the parts of a value set."
    )
    closure_concepts: int = Field(
        10_000, ge=1, description="Concepts of one closure table (`$closure`)."
    )
    kept_bytes: int = Field(
        20 << 20,
        ge=1,
        description="Stored terminology kept in memory by a process, in bytes of its JSON, which "
        "takes four times that; as much again of what is built in.",
    )
    cache_seconds: int = Field(
        3600, ge=1, description="How long resources sent to `$cache-control` are kept unused."
    )
    cache_count: int = Field(
        100, ge=1, description="How many such caches there are; the one unused longest goes first."
    )
    cost_header: bool = Field(
        False,
        description="The header X-TOO-COSTLY-THRESHOLD takes the place of `expansion_codes`: "
        "for test suites.",
    )


class Settings(BaseSettings):
    """All settings of a Sangam process."""

    model_config = SettingsConfigDict(
        env_prefix="SANGAM_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    demo: bool = Field(False, description="Open the server without login, on loopback only.")
    data_dir: Path = Field(Path("sangam-data"), description="Database, blobs and keys.")
    host: str = Field("127.0.0.1", description="Address that the listeners bind.")
    http_port: int = Field(8080, ge=0, le=65535, description="REST port; 0 picks a free one.")
    mllp_port: int = Field(2575, ge=0, le=65535, description="MLLP port; 0 picks a free one.")
    astm_port: int | None = Field(
        None, ge=0, le=65535, description="Port for ASTM analyzers; 0 picks a free one."
    )
    dicom_port: int = Field(11112, ge=0, le=65535, description="DICOM port; 0 picks a free one.")
    secret_file: str = Field(
        "",
        description="File with the secret of the database, 32 bytes or more, from its first start "
        "on; empty: the database keeps a random one.",
    )
    database_url: str = Field(
        "", description="PostgreSQL URL; empty: an embedded PostgreSQL under `data_dir`."
    )
    serving_url: str = Field(
        "",
        description="PostgreSQL URL of the same database by which it is served, of a role that "
        "owns nothing (NOINHERIT); empty: `database_url`, which then serves and owns.",
    )
    broker_url: str = Field(
        "memory://", description="Celery broker: memory://, redis://... or amqp://..."
    )
    processes: int = Field(1, ge=1, le=32, description="HTTP processes.")
    base_url: str = Field(
        "", description="Public FHIR base URL; empty: http://HOST:PORT/fhir as bound."
    )
    gzip_from_bytes: int = Field(
        2048, ge=0, description="Answers from this size go as gzip to who takes it; 0: never."
    )
    base_aliases: tuple[str, ...] = Field(
        (), description="Other base URLs whose absolute references count as local."
    )
    write: WriteSettings = Field(default_factory=WriteSettings, description="Writing.")
    validation: ValidationSettings = Field(
        default_factory=ValidationSettings, description="Validation."
    )
    search: SearchSettings = Field(default_factory=SearchSettings, description="Searching.")
    limits: Limits = Field(default_factory=Limits, description="Limits.")
    packages: PackageSettings = Field(
        default_factory=PackageSettings, description="Packages of conformance resources."
    )
    asynchronous: AsynchronousSettings = Field(
        default_factory=AsynchronousSettings, description="Asynchronous requests."
    )
    audit: AuditSettings = Field(default_factory=AuditSettings, description="Audit.")
    retention: RetentionSettings = Field(
        default_factory=RetentionSettings, description="How long resources are kept."
    )
    hl7: Hl7Settings = Field(default_factory=Hl7Settings, description="HL7 v2.")
    astm: AstmSettings = Field(
        default_factory=AstmSettings, description="Analyzers that speak ASTM."
    )
    dicom: DicomSettings = Field(default_factory=DicomSettings, description="DICOM.")
    terminology: TerminologySettings = Field(
        default_factory=TerminologySettings, description="Terminology."
    )
    match: MatchSettings = Field(
        default_factory=MatchSettings, description="Finding the patient who is meant."
    )
    tenants: TenantSettings = Field(default_factory=TenantSettings, description="Tenants.")
    security: SecuritySettings = Field(default_factory=SecuritySettings, description="Security.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  (the library's signature)
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, strongest first: flags, environment, TOML file."""
        toml_file = Path(os.environ.get("SANGAM_CONFIG", "sangam.toml"))
        return (
            init_settings,
            env_settings,
            TomlConfigSettingsSource(settings_cls, toml_file=toml_file),
        )
