"""Settings of roles, care relationships and emergency access (`[security]`)."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Address = Annotated[str, Field(pattern=r"^[^@\s<>,;:\"]+@[^@\s<>,;:\"]+$", max_length=254)]
"""An e-mail address, without a name."""


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RoleSettings(_Group):
    """What roles may do beyond their table (`sangam role`)."""

    admin_clinical: bool = Field(
        True, description="Administrators read patients' records; off: by breaking the glass only."
    )


class CareSettings(_Group):
    """How long staff have a care relationship with a patient."""

    encounter_days: int = Field(
        30, ge=0, le=3_650, description="After an Encounter that they took part in has finished."
    )
    appointment_days: int = Field(
        7, ge=0, le=3_650, description="Before and after an Appointment with them."
    )
    order_days: int = Field(
        30, ge=0, le=3_650, description="After an order by or for them was completed."
    )
    wards: bool = Field(
        False, description="Where a role says so, also with who lies where they work."
    )


class MailSettings(_Group):
    """Mail to those who review emergency access; it says that something waits, and nothing more."""

    host: str = Field(min_length=1, description="The mail server (SMTP).")
    port: int = Field(587, ge=1, le=65535, description="Its port.")
    tls: Literal["starttls", "implicit"] = Field(
        "starttls", description="How it begins TLS, without which nothing is sent."
    )
    ca_file: str = Field("", description="PEM file with further authorities of its certificate.")
    user: str = Field("", description="As whom this server logs in there; empty: it does not.")
    password_file: str = Field("", description="File with the password for that.")
    sender: Address = Field(description="From whom the mail is.")
    to: tuple[Address, ...] = Field(min_length=1, description="To whom it goes.")
    seconds: float = Field(20, gt=0, description="Time of a mail.")

    @model_validator(mode="after")
    def _has_a_password(self) -> Self:
        if bool(self.user) != bool(self.password_file):
            raise ValueError("user and password_file are given together")
        return self


class GlassSettings(_Group):
    """Emergency access by breaking the glass."""

    minutes: int = Field(60, ge=1, le=1_440, description="How long a record stays open.")
    login_minutes: int = Field(
        5,
        ge=1,
        le=1_440,
        description="How fresh the login of who breaks the glass, or changes roles, has to be.",
    )
    reason_length: int = Field(
        10, ge=1, le=1_000, description="Characters that the reason in words has at least."
    )
    notify: str = Field(
        "",
        description="Whom each opening is reported to, as `Practitioner/1` or `Organization/1`; "
        "empty: the CommunicationRequest names nobody.",
    )
    mail: MailSettings | None = Field(
        None, description="Mail that an opening waits for its review; without it there is none."
    )
