"""ICD-10-CM: the tabular list in XML, the order file, or both.

https://www.cdc.gov/nchs/icd/icd-10-cm/files.html
"""

import re
from collections.abc import Iterator, Sequence

from terminology.loaders.release import Found, Options, Release, code_system
from terminology.loaders.report import LoadRefused, Report, silent
from terminology.loaders.sources import MAX_LINE, SourceFile
from terminology.loaders.spool import Spool
from terminology.loaders.xml import Node, records, root_of

ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
TABULAR = "urn:sangam:icd-10-cm-tabular"
ROOT = "ICD10CM.tabular"
# Order number, code without its dot, billable or not, short and long description.
_ORDER = re.compile(rb"\d{5} [A-Z0-9]{3,7} *[01] ")
CATEGORY = 3
FULL = 7
NOTES = ("includes", "excludes1", "excludes2", "useAdditionalCode", "codeFirst", "codeAlso")


def _is_tabular(one: Found) -> bool:
    return one.head.lstrip(b"\xef\xbb\xbf").startswith(b"<") and root_of(one.head) == ROOT


def _is_order(one: Found) -> bool:
    return bool(_ORDER.match(one.head.removeprefix(b"\xef\xbb\xbf")))


def is_icd10cm(found: Sequence[Found]) -> bool:
    """True when the tabular list or an order file is among the files."""
    return any(_is_tabular(one) or _is_order(one) for one in found)


def release(found: Sequence[Found], options: Options) -> Release:
    """The release of the files; LoadRefused without a version."""
    tabular = [one.file for one in found if _is_tabular(one)]
    order = [one.file for one in found if _is_order(one)]
    if len(tabular) > 1 or len(order) > 1:
        raise LoadRefused("several tabular lists or order files: load one release at a time")
    report = Report()
    for name, files in (("tabular list (XML)", tabular), ("order file", order)):
        if not files:
            report.missing(f"the ICD-10-CM {name}")
    version = options.version
    if not version and tabular:
        stated = next(records(tabular[0], frozenset({"version"}), silent), None)
        version = stated.text() if stated else None
    if not version:
        raise LoadRefused("the order file does not tell the version; give --version, as 2026")
    resource = code_system(
        ICD10CM,
        version,
        "ICD10CM",
        "International Classification of Diseases, 10th Revision, Clinical Modification",
        hierarchyMeaning="is-a",
        valueSet=f"{ICD10CM}/vs",
        language="en",
        publisher="National Center for Health Statistics",
    )
    reader = _Reader(tabular, order, options, report)
    return Release(resource, [*tabular, *order], reader.fill, report)


class _Reader:
    """The pass over the files: what the order file says is looked up from the tabular list."""

    def __init__(
        self,
        tabular: list[SourceFile],
        order: list[SourceFile],
        options: Options,
        report: Report,
    ) -> None:
        self._tabular, self._order = tabular, order
        self._options, self._report = options, report
        self._ordered: dict[str, tuple[bool, str]] = {}

    def fill(self, spool: Spool) -> Iterator[str]:
        """Read everything; all tables are complete at the end."""
        for file in self._order:
            self._read_order(file)
        for file in self._tabular:
            for chapter in records(file, frozenset({"chapter"}), self._options.progress):
                self._chapter(spool, file, chapter)
        for code, (billable, text) in self._ordered.items():
            if not spool.codes.is_defined(code):
                self._define(spool, code, text, self._above(spool, code), billable=billable)
        yield from ()

    def _read_order(self, file: SourceFile) -> None:
        with file.open() as lines:
            number = 0
            while line := lines.readline(MAX_LINE):
                number += 1
                raw = line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")
                if not raw:
                    continue
                try:
                    text = raw.decode()
                except UnicodeDecodeError:
                    text = ""
                if not _ORDER.match(raw) or not text:
                    self._report.add("bad row", file.name, number, "is no row of an order file")
                    continue
                code = dotted(text[6:13].strip())
                self._ordered[code] = (text[14] == "1", (text[77:] or text[16:76]).strip())

    def _above(self, spool: Spool, code: str) -> str | None:
        """The longest code that begins this one."""
        bare = code.replace(".", "")
        for size in range(len(bare) - 1, CATEGORY - 1, -1):
            above = dotted(bare[:size])
            if above in self._ordered or spool.codes.is_defined(above):
                return above
        return None

    def _define(
        self, spool: Spool, code: str, text: str, parent: str | None, *, billable: bool
    ) -> int | None:
        number = spool.concept(code, text)
        if number is not None:
            spool.value(number, spool.property_id("billable", "boolean"), billable)
            if parent:
                spool.edge(number, spool.codes.number(parent))
        return number

    def _chapter(self, spool: Spool, file: SourceFile, chapter: Node) -> None:
        name = f"Chapter {_child_text(chapter, 'name')}"
        top = spool.concept(name, _child_text(chapter, "desc") or None, abstract=True)
        if top is None:
            self._report.add("bad row", file.name, chapter.line, f"{name} came before")
            return
        for section in chapter.all("section"):
            id_ = section.get("id")
            if id_ is None:
                self._report.add("bad row", file.name, section.line, "a section without an id")
                continue
            below = list(section.all("diag"))
            if any(_child_text(diag, "name") == id_ for diag in below):
                # A section of one category has its code, and is no concept besides it.
                id_ = name
            else:
                number = spool.concept(id_, _child_text(section, "desc") or None, abstract=True)
                if number is not None:
                    spool.edge(number, top)
            for diag in below:
                self._diag(spool, file, diag, id_, {})

    def _diag(
        self, spool: Spool, file: SourceFile, diag: Node, above: str, sevenths: dict[str, str]
    ) -> None:
        code, text = _child_text(diag, "name"), _child_text(diag, "desc")
        if not code:
            self._report.add("bad row", file.name, diag.line, "a diagnosis without a name")
            return
        sevenths = _sevenths(diag) or sevenths
        below = list(diag.all("diag"))
        known = self._ordered.get(code)
        billable = known[0] if known else not below and not sevenths
        number = self._define(spool, code, text, above, billable=billable)
        if number is None:
            self._report.add("bad row", file.name, diag.line, f"{code} came before")
            return
        _notes(spool, number, diag)
        for one in below:
            self._diag(spool, file, one, code, sevenths)
        if not below:
            for character, meaning in sevenths.items():
                made = seventh(code, character)
                said = self._ordered.get(made)
                display = said[1] if said else f"{text}, {meaning}"
                self._define(spool, made, display, code, billable=True)


def _notes(spool: Spool, number: int, diag: Node) -> None:
    """Keep what the tabular list says of a code: other names, and notes."""
    use = spool.use_id(TABULAR, "inclusionTerm")
    for group in diag.all("inclusionTerm"):
        for note in group.all("note"):
            spool.designation(number, note.text(), use=use, language="en")
    for kind in NOTES:
        for group in diag.all(kind):
            for note in group.all("note"):
                spool.value(number, spool.property_id(kind, "string"), note.text())


def _sevenths(diag: Node) -> dict[str, str]:
    """The seventh characters that a diagnosis defines for all below it."""
    definition = diag.first("sevenChrDef")
    if definition is None:
        return {}
    return {one.get("char") or "": one.text() for one in definition.all("extension")}


def _child_text(node: Node, tag: str) -> str:
    child = node.first(tag)
    return child.text() if child else ""


def dotted(code: str) -> str:
    """The code with its dot after the third character."""
    return f"{code[:CATEGORY]}.{code[CATEGORY:]}" if len(code) > CATEGORY else code


def seventh(code: str, character: str) -> str:
    """The code with a seventh character, the places before it filled by X."""
    return dotted(code.replace(".", "").ljust(FULL - 1, "X") + character)
