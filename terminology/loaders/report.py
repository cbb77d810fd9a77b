"""What a load says of itself: where it is, and what it did not take."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

# Of each kind of problem so many are kept with their place; all are counted.
KEPT = 50
# A file in which so many rows are bad is not the file that it was taken for.
MAX_BAD_ROWS = 10_000


class LoadRefused(Exception):
    """The release cannot be loaded; what served before goes on serving."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that was not taken: `bad row`, `unknown code`, `missing file`, `not read`."""

    kind: str
    file: str
    line: int
    """From 1; 0 where the whole file is meant."""
    reason: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Step:
    """How far a stage is: `done` of `total` units (bytes or rows), and rows so far."""

    stage: str
    done: int
    total: int
    rows: int


Progress = Callable[[Step], None]


def silent(_: Step) -> None:
    """Show nothing."""


@dataclass(slots=True)
class Report:
    """Problems by kind: all counted, the first of each kind kept."""

    problems: list[Problem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    """Rows taken, by table."""

    def add(self, kind: str, file: str, line: int, reason: str) -> None:
        """Count a problem; LoadRefused after MAX_BAD_ROWS bad rows."""
        self.counts[kind] += 1
        if self.counts[kind] <= KEPT:
            self.problems.append(Problem(kind, file, line, reason))
        if kind == "bad row" and self.counts[kind] >= MAX_BAD_ROWS:
            first = next(one for one in self.problems if one.kind == kind)
            raise LoadRefused(f"{MAX_BAD_ROWS:,} rows cannot be read, the first at {first}")

    def missing(self, what: str) -> None:
        """Note an optional file that is not there."""
        self.add("missing file", what, 0, "not found; what it would add is left out")

    def left(self, file: str, reason: str) -> None:
        """Note a file that is not read."""
        self.add("not read", file, 0, reason)

    @property
    def bad_rows(self) -> list[Problem]:
        """The first rows that could not be read."""
        return [one for one in self.problems if one.kind == "bad row"]
