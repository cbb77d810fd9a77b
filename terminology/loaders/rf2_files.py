"""The files of SNOMED CT packages: told apart by their columns, the newest row of an id taken.

https://confluence.ihtsdotools.org/display/DOCRELFMT (Release File Specifications)
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from terminology.loaders.delimited import Reading, Row, Table, column
from terminology.loaders.release import Found
from terminology.loaders.report import LoadRefused, Progress, Report

COMPONENT = ("id", "effectiveTime", "active", "moduleId")
_TYPE = re.compile(r"(?:^|[/_])(snapshot|full|delta)", re.IGNORECASE)
# The first of these whose columns a file has says what it is.
_KINDS = (
    ("concept", ("definitionStatusId",)),
    ("description", ("conceptId", "languageCode", "typeId", "term")),
    ("concrete", ("sourceId", "value", "relationshipGroup", "typeId")),
    ("relationship", ("sourceId", "destinationId", "relationshipGroup", "typeId")),
    ("language", ("refsetId", "referencedComponentId", "acceptabilityId")),
    ("module", ("refsetId", "referencedComponentId", "sourceEffectiveTime")),
    ("refset", ("refsetId", "referencedComponentId")),
)


@dataclass(slots=True)
class Packages:
    """The tables of all packages by kind, each kind's largest first."""

    tables: dict[str, list[Table]] = field(default_factory=lambda: defaultdict(list))

    def each(
        self, kind: str, wanted: Sequence[str], report: Report, progress: Progress
    ) -> Iterator[tuple[Reading, Iterator[Row]]]:
        """The files of a kind with their rows, `id` and `effectiveTime` first.

        Of each id the newest row is taken. What two packages both have is rare, so only the ids
        of the smaller ones are held.
        """
        tables = self.tables.get(kind, [])
        columns = ("id", "effectiveTime", *wanted)
        stage = f"reading {kind.partition(' ')[0]}s"
        newest: dict[str, str] = {}
        for table in tables[1:]:
            rows = Reading(table, Report(), lambda _: None, stage).rows(("id", "effectiveTime"))
            for id_, time in rows:
                if time >= newest.get(id_, ""):
                    newest[id_] = time
        for table in tables:
            reading = Reading(table, report, progress, stage)
            rows = reading.rows(columns)
            yield reading, _newest(rows, newest, last=table is not tables[0]) if newest else rows


def _newest(rows: Iterator[Row], newest: dict[str, str], *, last: bool) -> Iterator[Row]:
    """The rows that no other file has newer; of equal ones that of the later files."""
    for row in rows:
        known = newest.get(row[0])
        if known is None:
            yield row
        elif known < row[1] or (known == row[1] and last):
            # Once taken, no other row of this id is.
            newest[row[0]] = "taken"
            yield row


def kind_of(table: Table) -> str | None:
    """What a table is; None for what RF2 has not."""
    if not table.has(*COMPONENT):
        return None
    return next((kind for kind, columns in _KINDS if table.has(*columns)), None)


def _group(kind: str, table: Table) -> str:
    """The kind, for refsets with the columns of their own: those are merged that share them."""
    return kind if kind != "refset" else f"refset {' '.join(own_columns(table))}".strip()


def own_columns(table: Table) -> tuple[str, ...]:
    """The columns of a refset file beyond those that each has."""
    usual = {column(name) for name in (*COMPONENT, "refsetId", "referencedComponentId")}
    return tuple(n for n, c in zip(table.names, table.columns, strict=True) if c not in usual)


def packages(found: Sequence[Found], report: Report) -> Packages:
    """The snapshot files; LoadRefused when there is no concept file among them.

    Full and Delta files have the same columns: they are told by their names, and a Full
    without a telling name by several rows of one id.
    """
    chosen = Packages()
    seen: set[tuple[int, bytes]] = set()
    for one in found:
        kind = kind_of(one.table) if one.table else None
        if one.table is None or kind is None:
            continue
        named = _TYPE.findall(one.file.name)
        told = named[-1].lower() if named else "full" if _repeats(one) else "snapshot"
        if told != "snapshot":
            report.left(one.file.name, f"a {told.title()} file; the Snapshot is read")
        elif (one.file.size, one.head) in seen:
            report.left(one.file.name, "the same file was given twice")
        else:
            seen.add((one.file.size, one.head))
            chosen.tables[_group(kind, one.table)].append(one.table)
    if not chosen.tables.get("concept"):
        raise LoadRefused("no Snapshot of concepts is among the files (of RF2, load the Snapshot)")
    for tables in chosen.tables.values():
        tables.sort(key=lambda table: -table.file.size)
    return chosen


def _repeats(one: Found) -> bool:
    """True when the beginning of a file has several rows of one id."""
    ids = [line.split(b"\t", 1)[0] for line in one.head.split(b"\n")[1:-1]]
    return len(set(ids)) < len(ids)
