"""What operators send to the HTTP interface."""

from pydantic import BaseModel, ConfigDict, Field

_UID = r"^[0-9.]{1,64}$"


class Acting(BaseModel):
    """Who does something: the name that is recorded beside the address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str = Field("", max_length=64, description="Who does it, as it is recorded.")


class Link(Acting):
    """The patient that a study is given to."""

    patient: str = Field(pattern=r"^Patient/[A-Za-z0-9\-.]{1,64}$")


class Correct(Acting):
    """Attributes of a study by keyword; "" for no value."""

    values: dict[str, str] = Field(min_length=1, max_length=32)
    reason: str = Field("", max_length=500)


class Split(Acting):
    """The series that become a study of their own."""

    series: list[str] = Field(min_length=1, max_length=1_000)


class Which(Acting):
    """A study, or one series or instance of it."""

    series: str | None = Field(None, pattern=_UID)
    instance: str | None = Field(None, pattern=_UID)


class Reject(Which):
    """Why instances are rejected: a code of PS3.16, CID 7011."""

    code: str
    reason: str = Field("", max_length=500)
