"""Lists of India's National Resource Centre for EHR Standards: CDCI and CLCI.

https://www.nrces.in/services/cdci
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terminology.concepts import Json
from terminology.loaders.delimited import Reading, Table
from terminology.loaders.release import Found, Options, Release, Resources, code_system
from terminology.loaders.report import LoadRefused, Report
from terminology.loaders.spool import Spool

MAPPING = Path(__file__).with_name("cdci.toml")
LICENCE = "CDCI and CLCI hold content of SNOMED CT and LOINC, whose terms apply"
CLCI_COLUMNS = ("General Name", "LOINC Code", "Fully-Specified Name (FSN)", "Long Common Name")
LOINC = "http://loinc.org"
CLCI = "urn:sangam:clci"
PARTS = 5
_LOINC_CODE = re.compile(r"\d{1,7}-\d")


@dataclass(frozen=True, slots=True)
class Master:
    """How one of the flat files is read."""

    kind: str
    code: str
    name: str
    links: dict[str, str]
    texts: dict[str, str]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns by which its file is recognised."""
        return (self.code, self.name, *self.links.values(), *self.texts.values())


def _mapping() -> tuple[dict[str, Any], list[Master]]:
    known = tomllib.loads(MAPPING.read_text())
    masters = [
        Master(kind, one["code"], one["name"], one.get("links", {}), one.get("texts", {}))
        for kind, one in known.items()
        if isinstance(one, dict)
    ]
    # The more columns a master has the surer its file is it: dose forms are named in generics.
    return known, sorted(masters, key=lambda master: -len(master.columns))


def _masters(found: Sequence[Found]) -> list[tuple[Master, Table]]:
    _, masters = _mapping()
    matched = []
    for one in found:
        if one.table:
            master = next((m for m in masters if one.table.has(*m.columns)), None)
            if master:
                matched.append((master, one.table))
    return matched


def is_cdci(found: Sequence[Found]) -> bool:
    """True when one of the masters is among the files."""
    return bool(_masters(found))


def cdci(found: Sequence[Found], options: Options) -> Release:
    """The release of the flat files; LoadRefused without a version."""
    if not options.version:
        raise LoadRefused("the CDCI flat files do not tell the version; give --version")
    known, masters = _mapping()
    tables = _masters(found)
    report = Report()
    for kind in sorted({m.kind for m in masters} - {m.kind for m, _ in tables}):
        report.missing(f"the CDCI master of {kind}s")
    resource = code_system(
        options.url or known["url"],
        options.version,
        known["name"],
        known["title"],
        publisher=known["publisher"],
        language="en",
    )
    reader = _Cdci(tables, re.compile(f"[{re.escape(known['separators'])}]"), options, report)
    return Release(resource, [t.file for _, t in tables], reader.fill, report, LICENCE)


class _Cdci:
    """The pass over the masters."""

    def __init__(
        self,
        tables: list[tuple[Master, Table]],
        separators: re.Pattern[str],
        options: Options,
        report: Report,
    ) -> None:
        self._tables, self._separators = tables, separators
        self._options, self._report = options, report

    def fill(self, spool: Spool) -> Iterator[str]:
        """Read everything; all tables are complete at the end."""
        for master, table in self._tables:
            self._define(spool, master, self._reading(master, table))
        for master, table in self._tables:
            if not master.links:
                continue
            self._link(spool, master, self._reading(master, table))
        yield from ()

    def _reading(self, master: Master, table: Table) -> Reading:
        stage = f"reading {master.kind}s"
        return Reading(table, self._report, self._options.progress, stage)

    def _define(self, spool: Spool, master: Master, reading: Reading) -> None:
        kind_id = spool.property_id("kind", "code")
        text_ids = [spool.property_id(name, "string") for name in master.texts]
        for code, name, *texts in reading.rows((master.code, master.name, *master.texts.values())):
            number = spool.concept(code, name.strip()) if code.strip() else None
            if number is None:
                reading.bad(f"{code or 'the identifier'} came before, or is empty")
                continue
            spool.code(number, kind_id, master.kind)
            for prop, text in zip(text_ids, texts, strict=True):
                if text.strip():
                    spool.value(number, prop, text.strip())

    def _link(self, spool: Spool, master: Master, reading: Reading) -> None:
        """Keep the links; what leads to no master is kept as a mere code, and reported."""
        # Bad rows were told when the file was read first.
        again = Reading(reading.table, Report(), self._options.progress, "linking")
        link_ids = [spool.property_id(name, "code") for name in master.links]
        for code, *cells in again.rows((master.code, *master.links.values())):
            if not spool.codes.is_defined(code):
                continue
            number = spool.codes.number(code)
            for prop, cell in zip(link_ids, cells, strict=True):
                for other in filter(None, map(str.strip, self._separators.split(cell))):
                    if spool.codes.is_defined(other):
                        spool.link(number, prop, spool.codes.number(other))
                    else:
                        spool.code(number, prop, other)
                        self._report.add(
                            "unknown code", again.name, again.line, f"{other} is in no master"
                        )


def is_clci(found: Sequence[Found]) -> bool:
    """True when the list of LOINC codes for India is among the files."""
    return any(one.table is not None and one.table.has(*CLCI_COLUMNS) for one in found)


def clci(found: Sequence[Found], options: Options) -> Resources:
    """A supplement of LOINC with the general names, and the value set of the codes."""
    if not options.version:
        raise LoadRefused("the CLCI list does not tell the version; give --version")
    tables = [one.table for one in found if one.table and one.table.has(*CLCI_COLUMNS)]
    if len(tables) > 1:
        raise LoadRefused("several CLCI lists: load them one by one")
    report = Report()
    names = _general_names(Reading(tables[0], report, options.progress, "reading CLCI"), report)
    return Resources("CLCI", _clci_resources(names, options.version), report, LICENCE)


def _general_names(reading: Reading, report: Report) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {}
    for general, code, full, _ in reading.rows(CLCI_COLUMNS):
        if not _LOINC_CODE.fullmatch(code.strip()):
            reading.bad(f"`{code}` is no LOINC code")
            continue
        if full.count(":") < PARTS - 1:
            report.add("odd name", reading.name, reading.line, "the FSN has not five parts")
        known = names.setdefault(code.strip(), [])
        if general.strip() and general.strip() not in known:
            known.append(general.strip())
    return names


def _clci_resources(names: dict[str, list[str]], version: str) -> list[Json]:
    use = {"system": CLCI, "code": "general-name", "display": "General name"}
    supplement = {
        **code_system(f"{CLCI}:loinc", version, "CLCI", "Common LOINC Codes for India"),
        "id": "clci-loinc",
        "content": "supplement",
        "supplements": LOINC,
        "concept": [
            {
                "code": code,
                "designation": [{"language": "en", "use": use, "value": one} for one in texts],
            }
            for code, texts in names.items()
            if texts
        ],
    }
    value_set = {
        "resourceType": "ValueSet",
        "id": "clci",
        "url": f"{CLCI}:codes",
        "version": version,
        "name": "CLCI",
        "title": "Common LOINC Codes for India",
        "status": "active",
        "compose": {"include": [{"system": LOINC, "concept": [{"code": code} for code in names]}]},
    }
    return [supplement, value_set]
