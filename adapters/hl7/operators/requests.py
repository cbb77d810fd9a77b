"""What operators send to the HTTP interface."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from adapters.hl7.inbox.replay import Chosen
from adapters.hl7.message.reasons import REASONS


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Replay(_Request):
    """Which messages are processed again: those of `ids`, else all that the rest says."""

    ids: list[int] | None = Field(None, min_length=1, max_length=10_000)
    state: str = "dead"
    reason: str | None = None
    sender: str | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    all: bool = Field(False, description="Without ids and narrowing: really all of the state.")
    confirm: bool = Field(False, description="Carry out a merge however much it moves.")
    preview: bool = Field(False, description="Show what would change, and change nothing.")

    @model_validator(mode="after")
    def _is_meant(self) -> Self:
        narrowed = (self.reason, self.sender, self.type, self.since, self.until)
        if not self.ids and not self.all and all(one is None for one in narrowed):
            raise ValueError("Give ids, narrow the choice, or say all")
        if self.reason is not None and self.reason not in REASONS:
            raise ValueError("There is no such reason")
        return self

    @property
    def chosen(self) -> Chosen:
        """What is chosen."""
        if self.ids:
            return Chosen(ids=self.ids)
        return Chosen(
            state=self.state,
            reason=self.reason,
            sender=self.sender,
            type=self.type,
            since=self.since,
            until=self.until,
        )


class Dismiss(_Request):
    """Dead letters to be put aside, and why; the comment holds no patient data."""

    ids: list[int] = Field(min_length=1, max_length=10_000)
    comment: str = Field(min_length=1, max_length=500)


class Release(_Request):
    """Dead letters behind which nothing is to wait any more."""

    ids: list[int] = Field(min_length=1, max_length=10_000)


class ChannelState(_Request):
    """Whether a channel is to stand still."""

    stopped: bool
