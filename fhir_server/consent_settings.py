"""Settings of labels, consents and of what patients see (`[security]`)."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Hours = Annotated[float, Field(ge=0, le=8_760)]
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_SERVICE = "http://terminology.hl7.org/CodeSystem/v2-0074"
_LOINC = "http://loinc.org"


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LabelRule(_Group):
    """A label that resources get whose codes are in a value set."""

    value_set: str = Field(min_length=1, description="Canonical of the value set.")
    labels: tuple[Annotated[str, Field(pattern=r"^[^|\s]+\|[^|\s]+$")], ...] = Field(
        min_length=1, description="Labels as `system|code`."
    )
    types: tuple[str, ...] = Field((), description="Types that it is for; none: all.")


class LabelSettings(_Group):
    """Security labels."""

    sensitivities: tuple[str, ...] = Field(
        (),
        description="Labels as `system|code` that need a grant of their own, besides the "
        "sensitivities of v3-ActCode.",
    )
    rules: tuple[LabelRule, ...] = Field((), description="Labels that are given on write.")


class ReleaseSettings(_Group):
    """What patients see of their own records."""

    hold_hours: dict[str, Hours] = Field(
        {"laboratory": 0, "imaging": 72, "pathology": 72, "genetics": 72},
        description="Hours that results of a kind wait since their last change. Of several kinds "
        "the longest counts, as for an Observation or DiagnosticReport without a category.",
    )
    kinds: dict[str, tuple[str, ...]] = Field(
        {
            "laboratory": (f"{_CATEGORY}|laboratory", f"{_SERVICE}|LAB"),
            "imaging": (
                "ImagingStudy",
                f"{_CATEGORY}|imaging",
                *(
                    f"{_SERVICE}|{code}"
                    for code in ("RAD", "RX", "CT", "CUS", "NMR", "NMS", "OUS", "RUS", "VUS")
                ),
                f"{_LOINC}|LP29684-5",
                f"{_LOINC}|18748-4",
            ),
            "pathology": (
                *(f"{_SERVICE}|{code}" for code in ("PAT", "SP", "CP", "AU")),
                f"{_LOINC}|LP7839-6",
                f"{_LOINC}|11526-1",
            ),
            "genetics": (
                *(f"{_SERVICE}|{code}" for code in ("GE", "CG")),
                f"{_LOINC}|51969-4",
            ),
        },
        description="Of each kind the categories, as `system|code`, and types as a whole.",
    )

    @model_validator(mode="after")
    def _has_kinds(self) -> Self:
        """Refuse a time for a kind that is nowhere said: it would hold nothing."""
        if unknown := sorted(self.hold_hours.keys() - self.kinds.keys()):
            raise ValueError(f"security.release.kinds does not say what {unknown[0]} is")
        return self


class ConsentSettings(_Group):
    """Consents of patients."""

    base: Literal["permit", "deny"] = Field(
        "permit", description="What holds where no consent decides."
    )
    purposes: tuple[str, ...] = Field(
        ("TREAT", "HPAYMT", "HOPERAT", "PATRQT", "PUBHLTH"),
        description="Purposes (v3-ActReason, and what is below them) that `permit` is for; "
        "others need a consent.",
    )
    disclosed_to: tuple[str, ...] = Field(
        (),
        description="Apps (client ids) of other organisations: they are shown, and may change, "
        "only what a consent permits to disclose.",
    )
