"""Rows of delimited text: found by header columns, streamed, each bad row with its line.

RF2 is separated by tabs without any quoting; LOINC and others are CSV as of RFC 4180.
"""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import BinaryIO

from terminology.loaders.report import LoadRefused, Progress, Report, Step
from terminology.loaders.sources import MAX_LINE, SourceFile

BOM = b"\xef\xbb\xbf"
_NOT_NAME = re.compile(r"[^a-z0-9]")
BLOCK = 1 << 20

Row = tuple[str, ...]


def column(name: str) -> str:
    """The name of a column as it is compared: `Substance Name` is `substancename`."""
    return _NOT_NAME.sub("", name.casefold())


@dataclass(frozen=True, slots=True)
class Table:
    """A delimited file, with its columns as they are compared."""

    file: SourceFile
    separator: str
    quoted: bool
    names: tuple[str, ...]
    """The columns as the header has them."""
    columns: tuple[str, ...]
    header: bool = True
    """False where the first line is a row like the others."""

    def has(self, *names: str) -> bool:
        """Say whether it has all these columns."""
        return {column(name) for name in names} <= set(self.columns)


def recognised(file: SourceFile, head: bytes) -> Table | None:
    """The table that a file is by its first line, None when it is none."""
    line = head.removeprefix(BOM).split(b"\n", 1)[0].rstrip(b"\r")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return None
    separator = max("\t,;", key=text.count)
    if separator not in text or (not text.isprintable() and separator != "\t"):
        return None
    quoted = separator != "\t" or text.startswith('"')
    names = next(csv.reader([text], delimiter=separator)) if quoted else text.split(separator)
    columns = tuple(column(name) for name in names)
    return Table(file, separator, quoted, tuple(names), columns) if len(columns) > 1 else None


def _picker(places: list[int]) -> Callable[[Sequence[str]], Row]:
    if len(places) == 1:
        place = places[0]
        return lambda fields: (fields[place],)
    return itemgetter(*places)


class Reading:
    """The rows of one table that are being read, with the line they came from.

    Iterate over `rows`; while a row is in hand `line` is its line, and `bad` notes that
    it could not be used.
    """

    def __init__(self, table: Table, report: Report, progress: Progress, stage: str) -> None:
        self.name = table.file.name
        self.line = 1
        self.table, self._report = table, report
        self._progress, self._stage = progress, stage
        self._bytes = 0

    def bad(self, reason: str) -> None:
        """Note that this row cannot be used."""
        self._report.add("bad row", self.name, self.line, reason)

    def unknown(self, reason: str) -> None:
        """Note that this row names a code that is not there."""
        self._report.add("unknown code", self.name, self.line, reason)

    def rows(self, wanted: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Row]:
        """The wanted columns of each row, absent optional ones empty; LoadRefused without one.

        Bad rows are noted and left out.
        """
        columns = self.table.columns
        absent = [name for name in wanted if column(name) not in columns]
        if absent:
            raise LoadRefused(f"{self.name}: no column {', '.join(absent)}")
        names = [column(name) for name in (*wanted, *optional)]
        places = [columns.index(name) if name in columns else len(columns) for name in names]
        pick = _picker(places)
        with self.table.file.open() as file:
            yield from self._quoted(file, pick) if self.table.quoted else self._plain(file, pick)
        self._tell()

    def _plain(self, file: BinaryIO, pick: Callable[[Sequence[str]], Row]) -> Iterator[Row]:
        width, separator = len(self.table.columns), self.table.separator
        for lines in self._blocks(file):
            # A million rows an extension of SNOMED CT: nothing is done here that can be done once.
            for line in lines:
                self.line += 1
                fields = line.split(separator)
                if len(fields) == width:
                    fields.append("")
                    yield pick(fields)
                elif line:
                    self.bad(f"{len(fields)} columns, the header has {width}")

    def _quoted(self, file: BinaryIO, pick: Callable[[Sequence[str]], Row]) -> Iterator[Row]:
        width = len(self.table.columns)
        reader = csv.reader(self._numbered(file), delimiter=self.table.separator, strict=True)
        while True:
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                self.bad(str(error))
                continue
            if len(fields) == width:
                fields.append("")
                yield pick(fields)
            elif len(fields) > 1 or "".join(fields):
                self.bad(f"{len(fields)} columns, the header has {width}")

    def _numbered(self, file: BinaryIO) -> Iterator[str]:
        for lines in self._blocks(file):
            for line in lines:
                self.line += 1
                yield line + "\n"

    def _blocks(self, file: BinaryIO) -> Iterator[list[str]]:
        """Lines after the header in blocks, `line` counted by who takes them."""
        self.line = 0
        rest = file.read(len(BOM)).removeprefix(BOM)
        if self.table.header:
            file.readline(MAX_LINE)
            rest, self.line = b"", 1
        while block := file.read(BLOCK):
            self._bytes += len(block)
            whole, end, rest = (rest + block).rpartition(b"\n")
            if len(rest) > MAX_LINE:
                raise LoadRefused(f"{self.name}: a line of more than {MAX_LINE:,} bytes")
            if end:
                yield self._decoded(whole)
                self._tell()
        if rest:
            yield self._decoded(rest)

    def _decoded(self, raw: bytes) -> list[str]:
        """The lines of a block; a line that is no text is noted, and empty."""
        with suppress(UnicodeDecodeError):
            text = raw.decode()
            if "\0" not in text:
                return text.replace("\r\n", "\n").removesuffix("\r").split("\n")
        lines = []
        for number, line in enumerate(raw.split(b"\n"), start=self.line + 1):
            try:
                lines.append("" if b"\0" in line else line.decode().removesuffix("\r"))
            except UnicodeDecodeError:
                lines.append("")
            if line and not lines[-1]:
                self._report.add("bad row", self.name, number, "is not text in UTF-8")
        return lines

    def _tell(self) -> None:
        self._progress(Step(self._stage, self._bytes, self.table.file.size, self.line))
