"""Settings of what is sealed on disk and in columns (`[security.at_rest]`)."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class AtRestSettings(BaseModel):
    """Where the master key is that opens everything else."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    master_key_file: str = Field(
        "",
        description="File with the master key (mode 0400); empty: `master.key` in `data_dir`, "
        "made at the first start.",
    )
    master_key_command: tuple[str, ...] = Field(
        (),
        description="Command, word by word, that prints the master key, as a key service's does; "
        "no file is read then.",
    )
    master_key_seconds: float = Field(
        10.0, gt=0, le=300, description="Time within which the command has to end."
    )
    sealing_share: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Share of its time in which a job seals stored files anew: 1 does not pause.",
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.master_key_file and self.master_key_command:
            raise ValueError("master_key_file and master_key_command exclude each other")
        return self
