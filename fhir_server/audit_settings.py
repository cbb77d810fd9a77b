"""Settings of audit, retention and erasure (`[audit]`, `[retention]`)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

SIX_YEARS = 2_192
"""Days that AuditEvents are kept at least."""

Days = Annotated[int, Field(ge=1, le=100_000)]

NOT_PERSONAL = (
    "CapabilityStatement",
    "CodeSystem",
    "CompartmentDefinition",
    "ConceptMap",
    "GraphDefinition",
    "ImplementationGuide",
    "MessageDefinition",
    "NamingSystem",
    "OperationDefinition",
    "SearchParameter",
    "StructureDefinition",
    "StructureMap",
    "TerminologyCapabilities",
    "ValueSet",
)


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AuditSettings(_Group):
    """What becomes an AuditEvent, and how."""

    leave_out: tuple[str, ...] = Field(
        NOT_PERSONAL,
        description="Types of which reading leaves no AuditEvent, as they say nothing of a "
        "person. Writing always does, and what is refused.",
    )
    leave_out_operations: tuple[str, ...] = Field(
        ("closure", "cache-control", "reindex", "subset", "versions"),
        description="Operations of the whole server that leave none, without their `$`.",
    )
    patients: int = Field(
        50, ge=1, le=200, description="Patients of one access above which they share AuditEvents."
    )
    entities: int = Field(
        100, ge=1, le=200, description="Resources that one AuditEvent names; more make several."
    )
    fold_seconds: float = Field(
        1.0, gt=0, le=3600, description="How often AuditEvents are made of what was recorded."
    )
    burst: int = Field(
        100,
        ge=0,
        description="Commits of records within a second from which on the making of AuditEvents "
        "rests seven eighths of its time, so that answers come first; 0 for never.",
    )


class RetentionSettings(_Group):
    """How long resources are kept, and when they must be."""

    days: dict[str, Days] = Field(
        default_factory=dict,
        description="Days after its last change that a resource of a type is kept; then it goes, "
        "with its history, unless something refers to it. A type that is not named is kept for "
        "ever; an AuditEvent six years at least.",
    )
    duty_days: dict[str, Days] = Field(
        default_factory=dict,
        description="Days during which the law wants resources of a type kept: so long their "
        "patient is not erased.",
    )
    every_hours: float = Field(24.0, gt=0, description="How often is looked for what may go.")
