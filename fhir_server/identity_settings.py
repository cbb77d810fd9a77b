"""Settings of the login and of the authorization server (`[security.identity]`)."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PasswordSettings(_Group):
    """How passwords are kept."""

    memory_kib: int = Field(65_536, ge=8, description="Memory of one Argon2id hash, in KiB.")
    passes: int = Field(3, ge=1, description="Passes over it.")
    parallelism: int = Field(4, ge=1, description="Lanes.")
    at_once: int = Field(
        2, ge=1, le=64, description="Hashes made at a time, in each process; others wait."
    )
    shortest: int = Field(12, ge=8, le=128, description="Characters of a password, at least.")

    @model_validator(mode="after")
    def _is_enough(self) -> Self:
        if self.memory_kib < 8 * self.parallelism:
            raise ValueError("Argon2 needs 8 KiB of memory for each lane (RFC 9106, 3.1)")
        return self


class IdentitySettings(_Group):
    """The embedded login and authorization server."""

    enabled: bool = Field(
        True, description="Users log in here and apps get tokens here; off: external issuers only."
    )
    password: PasswordSettings = Field(
        default_factory=PasswordSettings, description="How passwords are kept."
    )
    second_factor: Literal["staff", "all"] = Field(
        "staff", description="Who needs a second factor to log in: all but patients, or everyone."
    )
    attempts: int = Field(
        5, ge=1, description="Failed logins of an account or address before it has to wait."
    )
    longest_wait_seconds: int = Field(
        900, ge=1, description="Longest wait; it doubles with each failed login from 1 s on."
    )
    session_idle_seconds: int = Field(
        900, ge=30, description="A session ends when it was not used for so long."
    )
    session_seconds: int = Field(43_200, ge=60, description="A session lasts at most so long.")
    fresh_seconds: int = Field(
        300, ge=10, description="How long ago a login may be for changes of the own account."
    )
    code_seconds: int = Field(60, ge=1, le=600, description="Life of an authorization code.")
    launch_seconds: int = Field(300, ge=1, le=3600, description="Life of an EHR's launch handle.")
    access_token_seconds: int = Field(3600, ge=30, le=86_400, description="Life of access tokens.")
    system_token_seconds: int = Field(
        300, ge=30, le=300, description="Life of access tokens of backend services."
    )
    refresh_token_seconds: int = Field(
        7_776_000, ge=60, description="Life of a refresh token that is not used (offline access)."
    )
    key_lead_seconds: int = Field(
        600, ge=0, description="How long a new signing key is published before it signs."
    )
