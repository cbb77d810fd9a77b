"""Settings of what is sealed on disk and in columns (`[security.at_rest]`)."""

from pydantic import BaseModel, ConfigDict, Field


class AtRestSettings(BaseModel):
    """Where the master key is that opens everything else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    master_key_file: str = Field(
        "",
        description="File with the master key (mode 0400); empty: `master.key` in `data_dir`, "
        "made at the first start.",
    )
