"""RxNorm in Rich Release Format: no header, a fixed order of columns, a bar after each.

https://www.nlm.nih.gov/research/umls/rxnorm/docs/techdoc.html
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from terminology.loaders.delimited import Reading, Row, Table, column
from terminology.loaders.release import Found, Options, Release, code_system
from terminology.loaders.report import LoadRefused, Report
from terminology.loaders.sources import SourceFile
from terminology.loaders.spool import Spool

RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
LICENCE = "The full release of RxNorm needs a licence of the UMLS (https://uts.nlm.nih.gov/uts/)"
SOURCE = "RXNORM"
COLUMNS = {
    "concepts": "RXCUI LAT TS LUI STT SUI ISPREF RXAUI SAUI SCUI SDUI SAB TTY CODE STR SRL"
    " SUPPRESS CVF",
    "relations": "RXCUI1 RXAUI1 STYPE1 REL RXCUI2 RXAUI2 STYPE2 RELA RUI SRUI SAB SL DIR RG"
    " SUPPRESS CVF",
    "attributes": "RXCUI LUI SUI RXAUI STYPE CODE ATUI SATUI ATN SAB ATV SUPPRESS CVF",
    "semantic types": "RXCUI TUI STN STY ATUI CVF",
    "history": "CUI1 VER_START VER_END CARDINALITY CUI2",
}
# What the first line of each has, in some column, besides the number of columns.
_SHAPES = {
    "concepts": (1, re.compile(r"[A-Z]{3}")),
    "relations": (2, re.compile(r"CUI|AUI|SDUI|SCUI")),
    "attributes": (4, re.compile(r"CUI|AUI|SDUI|SCUI|RUI")),
    "semantic types": (1, re.compile(r"T\d{3}")),
    "history": (0, re.compile(r"\d+")),
}
# Term types that only name what another atom of the concept names.
SYNONYMS = frozenset({"SY", "TMSY", "PSN", "ET"})
_DATE = re.compile(r"(?<!\d)(\d{8})(?!\d)")
IS_A = "isa"


def _kind(one: Found) -> str | None:
    line = one.head.split(b"\n", 1)[0].rstrip(b"\r").decode(errors="replace")
    if not line.endswith("|"):
        return None
    fields = line.split("|")[:-1]
    for kind, (place, shape) in _SHAPES.items():
        if len(fields) == len(COLUMNS[kind].split()) and shape.fullmatch(fields[place]):
            return kind
    return None


def is_rxnorm(found: Sequence[Found]) -> bool:
    """True when the file of concepts is among the files."""
    return any(_kind(one) == "concepts" for one in found)


def release(found: Sequence[Found], options: Options) -> Release:
    """The release of the files; LoadRefused without a version."""
    report = Report()
    tables: dict[str, list[Table]] = defaultdict(list)
    for one in found:
        if kind := _kind(one):
            names = (*COLUMNS[kind].split(), "")
            table = Table(
                one.file,
                "|",
                quoted=False,
                names=names,
                columns=tuple(map(column, names)),
                header=False,
            )
            tables[kind].append(table)
    files = [table.file for ones in tables.values() for table in ones]
    for kind in COLUMNS:
        if kind not in tables:
            report.missing(f"the RxNorm file of {kind}")
    resource = code_system(
        RXNORM,
        options.version or _version(files),
        "RxNorm",
        "RxNorm",
        caseSensitive=False,
        hierarchyMeaning="is-a",
        valueSet=f"{RXNORM}/vs",
        language="en",
        publisher="National Library of Medicine",
    )
    free = any("prescribe" in file.name.lower() for file in files)
    reader = _Reader(tables, options, report)
    return Release(resource, files, reader.fill, report, None if free else LICENCE)


def _version(files: Sequence[SourceFile]) -> str:
    for file in files:
        if found := _DATE.search(file.name):
            return found[1]
    raise LoadRefused("the files of RxNorm do not tell the version; give --version, as 07072025")


class _Reader:
    """The pass over the files."""

    def __init__(self, tables: dict[str, list[Table]], options: Options, report: Report) -> None:
        self._tables, self._options, self._report = tables, options, report

    def fill(self, spool: Spool) -> Iterator[str]:
        """Read everything; all tables are complete at the end."""
        self._concepts(spool)
        self._history(spool)
        self._relations(spool)
        self._attributes(spool)
        yield from ()

    def _rows(self, kind: str, *wanted: str) -> Iterator[tuple[Reading, Row]]:
        for table in self._tables.get(kind, []):
            reading = Reading(table, self._report, self._options.progress, f"reading {kind}")
            for row in reading.rows(wanted):
                yield reading, row

    def _concepts(self, spool: Spool) -> None:
        """Keep the concepts: each is named by its first atom that is no synonym, not suppressed."""
        chosen: dict[str, tuple[int, str, str]] = {}
        use_of = spool.use_id
        for reading, row in self._rows("concepts", "RXCUI", "SAB", "TTY", "STR", "SUPPRESS"):
            code, source, kind, text, suppressed = row
            if source != SOURCE:
                continue
            if not code.isdecimal() or not text:
                reading.bad("RXCUI is no number, or STR is empty")
                continue
            fit = 2 * (suppressed == "N") + (kind not in SYNONYMS)
            known = chosen.get(code)
            if known is None or fit > known[0]:
                chosen[code] = (fit, text, kind)
            if kind in SYNONYMS and suppressed == "N":
                named = spool.codes.number(code)
                spool.designation(named, text, use=use_of(RXNORM, kind), language="en")
        kind_id = spool.property_id("TTY", "string")
        for code, (fit, text, kind) in chosen.items():
            if number := spool.concept(code, text, active=fit > 1):
                spool.value(number, kind_id, kind)

    def _history(self, spool: Spool) -> None:
        """Keep the concepts that were retired, and what took their place."""
        prop = spool.property_id("replaced-by", "code")
        for _, (old, new) in self._rows("history", "CUI1", "CUI2"):
            if not old.isdecimal() or spool.codes.is_defined(old):
                continue
            number = spool.concept(old, None, active=False)
            if number is not None and new != old and spool.codes.is_defined(new):
                spool.link(number, prop, spool.codes.number(new))

    def _relations(self, spool: Spool) -> None:
        wanted = ("RXCUI1", "RXCUI2", "RELA", "SAB", "SUPPRESS")
        for reading, row in self._rows("relations", *wanted):
            target, source, name, whose, suppressed = row
            if whose != SOURCE or suppressed not in {"", "N"} or not (name and target and source):
                continue
            if not spool.codes.is_defined(source) or not spool.codes.is_defined(target):
                reading.unknown(f"{source} or {target} is not among the concepts")
                continue
            # It is read from the right: RXCUI2 RELA RXCUI1.
            one, other = spool.codes.number(source), spool.codes.number(target)
            if name == IS_A:
                spool.edge(one, other)
            else:
                spool.link(one, spool.property_id(name, "code"), other)

    def _attributes(self, spool: Spool) -> None:
        for reading, row in self._rows("attributes", "RXCUI", "ATN", "SAB", "ATV", "SUPPRESS"):
            code, name, source, value, suppressed = row
            if source == SOURCE and code and name and value and suppressed in {"", "N"}:
                self._property(spool, reading, code, name, value)
        for reading, (code, kind) in self._rows("semantic types", "RXCUI", "STY"):
            self._property(spool, reading, code, "STY", kind)

    def _property(self, spool: Spool, reading: Reading, code: str, name: str, value: str) -> None:
        if spool.codes.is_defined(code):
            spool.value(spool.codes.number(code), spool.property_id(name, "string"), value)
        else:
            reading.unknown(f"{code} is not among the concepts")
