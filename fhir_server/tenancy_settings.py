"""Settings of tenants (`[tenants]`)."""

from pydantic import BaseModel, ConfigDict, Field


class TenantSettings(BaseModel):
    """Tenants (`sangam tenant`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    login_url: str = Field(
        "",
        description="PostgreSQL URL by which tenants are served, of a role NOINHERIT that owns "
        "nothing; empty: `database_url`, or a role of the embedded PostgreSQL made for it.",
    )
    connections: int = Field(
        4, ge=2, description="Connections of a tenant for reading, and as many for writing."
    )
    idle_seconds: float = Field(
        60, gt=0, description="How long a connection of a tenant is kept unused."
    )
    look_seconds: float = Field(
        1, gt=0, description="How long it takes until a tenant that was suspended is refused."
    )
    usage_seconds: float = Field(
        30, gt=0, description="How often what a tenant uses is held against its quotas."
    )
