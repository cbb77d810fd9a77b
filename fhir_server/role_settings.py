"""Settings of roles, care relationships and emergency access (`[security]`)."""

from pydantic import BaseModel, ConfigDict, Field


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
