"""Settings of who may come in, and of what goes in and out (`[security]`)."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from fhir_server.at_rest_settings import AtRestSettings
from fhir_server.channel_settings import Network
from fhir_server.consent_settings import ConsentSettings, LabelSettings, ReleaseSettings
from fhir_server.identity_settings import IdentitySettings
from fhir_server.role_settings import CareSettings, GlassSettings, RoleSettings

Algorithm = Literal["RS256", "RS384", "PS256", "ES256", "ES384"]
"""Signatures by a key pair; `none` and those of a shared secret cannot be allowed."""


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Introspection(_Group):
    """Asking an issuer about tokens that are no JWT (RFC 7662)."""

    client_id: str = Field(min_length=1, description="As whom this server asks.")
    secret_file: str = Field(min_length=1, description="File with the secret of that client.")
    url: str = Field("", description="Where to ask; empty: as the issuer's metadata say.")
    seconds: int = Field(30, ge=0, le=60, description="How long an answer is believed.")


class Issuer(_Group):
    """An authorization server outside, whose access tokens count here."""

    url: str = Field(min_length=1, description="Its `iss`; its metadata are found below it.")
    audience: str = Field("", description="What `aud` has to hold; empty: the FHIR base URL.")
    jwks_url: str = Field("", description="Its keys; empty: as its metadata say.")
    algorithms: tuple[Algorithm, ...] = Field(
        ("RS256", "RS384", "PS256", "ES256", "ES384"), description="Signatures that count."
    )
    clients: tuple[str, ...] = Field(
        min_length=1, description="Apps whose tokens count (`client_id`, `azp`); `*`: all of it."
    )
    roles_claim: str = Field(
        "", description="Claim with the roles of the user; empty: those of the user here."
    )
    tenant_claim: str = Field("tenant", description="Claim with the name of the tenant.")
    introspection: Introspection | None = Field(
        None, description="Its tokens that are no JWT; without it these are refused."
    )


class HttpTls(_Group):
    """TLS of the HTTP port (1.2 or later)."""

    certificate: str = Field(min_length=1, description="PEM file with the certificate chain.")
    key: str = Field(min_length=1, description="PEM file with its key.")


class RateSettings(_Group):
    """Requests in a minute, in all processes together; more are answered 429; 0: any number."""

    client: int = Field(60_000, ge=0, description="Of one app.")
    user: int = Field(6_000, ge=0, description="Of one person.")
    address: int = Field(60_000, ge=0, description="Of one network address.")
    login: int = Field(
        600, ge=0, description="Of one address at the login and the authorization server."
    )
    failed: int = Field(
        60, ge=0, description="Without a good token (401), of one address, before it has to wait."
    )
    absent: int = Field(
        600,
        ge=0,
        description="For what is not there, not allowed or taken (403, 404, 409, 410), of one "
        "caller, before that is logged and counted as an alarm.",
    )


class OutboundSettings(_Group):
    """Requests of this server to others: https only, no redirects, nothing inside."""

    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = Field(
        (443,), description="Ports that may be asked."
    )
    inside: tuple[str, ...] = Field(
        (), description="Hosts that may be asked though their address is a private one."
    )
    ca_file: str = Field("", description="PEM file with further authorities of such hosts.")
    seconds: float = Field(5, gt=0, description="Time of a request.")
    answer_bytes: int = Field(1 << 20, ge=1, description="Largest answer.")


class SecuritySettings(_Group):
    """Login, tokens and the doors of the server."""

    issuers: tuple[Issuer, ...] = Field((), description="Authorization servers outside.")
    identity: IdentitySettings = Field(
        default_factory=IdentitySettings, description="The embedded login."
    )
    hidden_read: Literal[404, 403] = Field(
        404,
        description="What staff are answered who read a resource that is hidden from them: as an "
        "unknown id, or that they would have to break the glass.",
    )
    second_wall: Literal["where possible", "required"] = Field(
        "required",
        description="Whether a server refuses a database_url of which restricted callers would "
        "read without row policies; `--demo` does not by itself, the embedded PostgreSQL has them.",
    )
    restricted_update_create: bool = Field(
        False,
        description="Who is limited to some patients or some content of a type may make resources "
        "of it under ids of their choice, as those may whom labels and consents alone limit. It "
        "tells them which ids are taken by what they do not see.",
    )
    token_bytes: int = Field(16_384, ge=256, description="Largest access token.")
    leeway_seconds: int = Field(60, ge=0, le=300, description="How far clocks may be apart.")
    revocation_seconds: float = Field(
        2, gt=0, le=5, description="How soon a revoked token is refused by every process."
    )
    cached_tokens: int = Field(
        10_000, ge=1, description="Tokens that a process remembers as checked."
    )
    system_clearance: Literal["U", "L", "M", "N", "R", "V"] = Field(
        "N", description="Highest confidentiality that apps without a user are shown."
    )
    system_sensitivities: tuple[str, ...] = Field(
        (), description="Sensitivities (v3-ActCode) that they are shown."
    )
    system_purpose: str = Field(
        "HOPERAT", description="What they ask for records for (v3-PurposeOfUse)."
    )
    tls: HttpTls | None = Field(None, description="TLS of the HTTP port; without it it is plain.")
    trusted_proxies: tuple[Network, ...] = Field(
        (),
        description="Networks (CIDR) of proxies that end TLS before this server and say who asks "
        "(`X-Forwarded-For`); a plain port beyond loopback takes requests of them alone.",
    )
    hsts_seconds: int = Field(
        31_536_000, ge=0, description="`Strict-Transport-Security` where TLS is used; 0: none."
    )
    origins: tuple[str, ...] = Field(
        (), description="Origins whose scripts may call, besides those of registered apps."
    )
    metrics_from: tuple[Network, ...] = Field(
        (), description="Networks (CIDR) that may read `/metrics` without a token."
    )
    rates: RateSettings = Field(default_factory=RateSettings, description="Requests in a minute.")
    outbound: OutboundSettings = Field(
        default_factory=OutboundSettings, description="Requests to others."
    )
    roles: RoleSettings = Field(default_factory=RoleSettings, description="Roles.")
    care: CareSettings = Field(default_factory=CareSettings, description="Care relationships.")
    labels: LabelSettings = Field(default_factory=LabelSettings, description="Security labels.")
    release: ReleaseSettings = Field(
        default_factory=ReleaseSettings, description="What patients see of their records."
    )
    consent: ConsentSettings = Field(
        default_factory=ConsentSettings, description="Consents of patients."
    )
    glass: GlassSettings = Field(default_factory=GlassSettings, description="Emergency access.")
    at_rest: AtRestSettings = Field(
        default_factory=AtRestSettings, description="What is sealed on disk and in columns."
    )
