"""Settings of MLLP ports beside the plain one (`[[hl7.channels]]`)."""

from ipaddress import ip_network
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _network(text: str) -> str:
    ip_network(text)
    return text


Network = Annotated[str, AfterValidator(_network)]


class Hl7Tls(_Group):
    """TLS of a port for MLLP or ASTM; changed files are taken up within seconds."""

    certificate: str = Field(
        min_length=1, description="PEM file with our certificate and those between it and the root."
    )
    key: str = Field(min_length=1, description="PEM file with its private key.")
    client_cert: Literal["none", "optional", "required"] = Field(
        "none", description="Whether a client shows a certificate."
    )
    client_ca: str = Field("", description="PEM file with the authorities of clients.")
    client_names: tuple[str, ...] = Field(
        (), description="Names (subject alternative, or common) of clients that may come in."
    )
    client_fingerprints: tuple[str, ...] = Field(
        (), description="SHA-256 of client certificates that may come in."
    )
    minimum: Literal["1.2", "1.3"] = Field("1.2", description="Oldest version of TLS.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        allowed = self.client_names or self.client_fingerprints
        if self.client_cert != "none" and not self.client_ca:
            raise ValueError("client_cert needs client_ca")
        if self.client_cert == "none" and (allowed or self.client_ca):
            raise ValueError("clients show no certificate while client_cert is none")
        return self


class Hl7Channel(_Group):
    """A MLLP port of its own: what it does not say is as in `[hl7]`."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,40}$", description="Its name in the inbox.")
    port: int = Field(ge=0, le=65535, description="Its port; 0 picks a free one.")
    host: str = Field("", description="Address that it binds; empty: `host` of the server.")
    tls: Hl7Tls | None = Field(None, description="TLS; without it the port is plain.")
    sender: str = Field("", description="Profile of all that comes in here.")
    allow_hosts: tuple[Network, ...] | None = Field(None, description="As in `[hl7]`.")
    plain_from: tuple[Network, ...] | None = Field(None, description="As in `[hl7]`.")
    ack_when: Literal["stored", "committed"] | None = Field(None, description="As in `[hl7]`.")
    mllp_release: Literal[1, 2] | None = Field(None, description="As in `[hl7]`.")
    accepted_types: tuple[str, ...] | None = Field(None, description="As in `[hl7]`.")
    accept_unknown: bool | None = Field(None, description="As in `[hl7]`.")
    accepted_processing_ids: tuple[str, ...] | None = Field(None, description="As in `[hl7]`.")
    strict_version: bool | None = Field(None, description="As in `[hl7]`.")
    strict_sender: bool | None = Field(None, description="As in `[hl7]`.")
    sequence: bool | None = Field(None, description="As in `[hl7]`.")
    order_response: Literal["ack", "orl"] | None = Field(None, description="As in `[hl7]`.")
    batch_ack: Literal["batch", "each", "errors"] | None = Field(None, description="As in `[hl7]`.")
    fallback_charset: str | None = Field(None, description="As in `[hl7]`.")
    charset_override: str | None = Field(None, description="As in `[hl7]`.")
    missing_vt: Literal["reject", "accept"] | None = Field(None, description="As in `[hl7]`.")
    on_store_failure: Literal["close", "reject"] | None = Field(None, description="As in `[hl7]`.")
    message_seconds: float | None = Field(None, gt=0, description="As in `[hl7]`.")
    idle_seconds: float | None = Field(None, ge=0, description="As in `[hl7]`.")
    max_message_bytes: int | None = Field(None, ge=1, description="As in `[hl7]`.")
    max_connections: int | None = Field(None, ge=1, description="As in `[hl7]`.")
    max_connections_per_peer: int | None = Field(None, ge=1, description="As in `[hl7]`.")
