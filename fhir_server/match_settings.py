"""Settings of finding the patient who is meant (`[match]`, `Patient/$match`)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Weights = tuple[float, float, float]
"""Bits where a feature agrees, is alike, differs: the logarithm of how much likelier it is so
of one person than of two."""


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WeightSettings(_Group):
    """Bits of evidence where a feature agrees, is alike, or differs."""

    identifier: Weights = Field(
        (24, 10, -6),
        description="Identifiers of one system; alike: the value without a system.",
    )
    family: Weights = Field((8, 4, -6), description="Family names; alike: by letters or sound.")
    given: Weights = Field((7, 3, -5), description="Given names; alike: by letters or sound.")
    birth_date: Weights = Field(
        (15, 6, -8),
        description="Birth dates; alike: one part differs, day and month are exchanged, or one "
        "is less precise.",
    )
    gender: Weights = Field((1, 0, -4), description="Administrative genders.")
    telecom: Weights = Field((12, 0, -1), description="Telephone numbers and e-mail addresses.")
    address: Weights = Field(
        (4, 2, 0), description="Postal code and line; alike: one of the two, or the city."
    )


class MatchSettings(_Group):
    """Finding the patient who is meant (`Patient/$match`)."""

    prior: float = Field(
        -20, le=0, description="Bits before any evidence: as one of so many is meant (-20: 2^20)."
    )
    certain: float = Field(
        0.999, gt=0, le=1, description="Probability from which a match may be certain."
    )
    probable: float = Field(0.9, gt=0, le=1, description="From which it is probable.")
    possible: float = Field(0.01, gt=0, le=1, description="From which it is shown as possible.")
    candidates: int = Field(
        200, ge=1, le=2_000, description="Patients that are compared, for each way of finding them."
    )
    country_codes: tuple[Annotated[str, Field(pattern=r"^[0-9]{1,3}$")], ...] = Field(
        ("91",),
        max_length=5,
        description="Codes of countries with which telephone numbers of ten digits are looked for "
        "besides.",
    )
    count: int = Field(
        20, ge=1, le=100, description="Matches that are returned, where the request says none."
    )
    weights: WeightSettings = Field(default_factory=WeightSettings, description="Bits of evidence.")
