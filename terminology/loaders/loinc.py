"""LOINC as its tables in CSV.

https://loinc.org/kb/users-guide/loinc-database-structure/
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from terminology.loaders.delimited import Reading, Row, Table
from terminology.loaders.release import Found, Options, Release, code_system
from terminology.loaders.report import LoadRefused, Report
from terminology.loaders.spool import Spool

LOINC = "http://loinc.org"
PROPERTY = "http://loinc.org/property/"
LICENCE = "LOINC comes with terms of use (https://loinc.org/license/)"
AXES = ("COMPONENT", "PROPERTY", "TIME_ASPCT", "SYSTEM", "SCALE_TYP", "METHOD_TYP", "CLASS")
# What the type of a part is called in the table of parts.
PART_AXES = {"TIME": "TIME_ASPCT", "SCALE": "SCALE_TYP", "METHOD": "METHOD_TYP"}
STRINGS = ("STATUS", "CLASSTYPE", "ORDER_OBS", "EXAMPLE_UCUM_UNITS")
NAMES = ("SHORTNAME", "DisplayName", "RELATEDNAMES2")
# The first of these whose columns a table has says what it is.
KINDS = (
    ("terms", ("LOINC_NUM", "COMPONENT", "STATUS", "LONG_COMMON_NAME", "CLASS")),
    ("variant", ("LOINC_NUM", "COMPONENT", "LONG_COMMON_NAME", "LinguisticVariantDisplayName")),
    ("links of parts", ("LoincNumber", "PartNumber", "PartTypeName", "LinkTypeName")),
    ("parts", ("PartNumber", "PartTypeName", "PartName")),
    ("hierarchy", ("IMMEDIATE_PARENT", "CODE", "CODE_TEXT")),
    ("answers", ("AnswerListId", "AnswerListName", "AnswerStringId", "DisplayText")),
    ("links of answers", ("LoincNumber", "AnswerListId", "AnswerListLinkType")),
    ("consumer names", ("LoincNumber", "ConsumerName")),
    ("groups", ("GroupId", "Group", "ParentGroupId")),
    ("terms of groups", ("GroupId", "LoincNumber")),
    ("panels", ("ParentLoinc", "Loinc", "LoincName")),
)
OPTIONAL = tuple(kind for kind, _ in KINDS if kind not in {"terms", "variant"})
_LANGUAGE = re.compile(r"([a-z]{2})([A-Z]{2})\d*LinguisticVariant", re.IGNORECASE)


def _kind(table: Table | None) -> str | None:
    if table is None:
        return None
    return next((kind for kind, columns in KINDS if table.has(*columns)), None)


def is_loinc(found: Sequence[Found]) -> bool:
    """True when the table of terms is among the files."""
    return any(_kind(one.table) == "terms" for one in found)


def release(found: Sequence[Found], options: Options) -> Release:
    """The release of the tables; LoadRefused without a version, which no table tells."""
    if not options.version:
        raise LoadRefused("the files of LOINC do not tell the version; give --version, as 2.80")
    report = Report()
    tables: dict[str, list[Table]] = defaultdict(list)
    for one in found:
        if one.table and (kind := _kind(one.table)):
            tables[kind].append(one.table)
    # The core table has fewer columns of the same terms.
    first, *rest = sorted(tables["terms"], key=lambda table: -len(table.columns))
    tables["terms"] = [first]
    for table in rest:
        report.left(table.file.name, f"has fewer columns than {first.file.name}")
    for kind in OPTIONAL:
        if kind not in tables:
            report.missing(f"the LOINC table of {kind}")
    resource = code_system(
        LOINC,
        options.version,
        "LOINC",
        "Logical Observation Identifiers, Names and Codes (LOINC)",
        caseSensitive=False,
        hierarchyMeaning="is-a",
        compositional=False,
        versionNeeded=False,
        valueSet=f"{LOINC}/vs",
        language="en",
        publisher="Regenstrief Institute, Inc.",
    )
    files = [table.file for ones in tables.values() for table in ones]
    reader = _Reader(tables, options, report)
    return Release(resource, files, reader.fill, report, LICENCE)


class _Reader:
    """The pass over the tables: first what defines codes, then what links them."""

    def __init__(self, tables: dict[str, list[Table]], options: Options, report: Report) -> None:
        self._tables, self._options, self._report = tables, options, report

    def fill(self, spool: Spool) -> Iterator[str]:
        """Read everything; all tables are complete at the end."""
        for read in (
            self._terms,
            self._parts,
            self._answers,
            self._groups,
            self._hierarchy,
            self._part_links,
            self._answer_links,
            self._members,
            self._more_names,
        ):
            read(spool)
        yield from ()

    def _rows(
        self, kind: str, wanted: Sequence[str], optional: Sequence[str] = ()
    ) -> Iterator[tuple[Reading, Row]]:
        for table in self._tables.get(kind, []):
            reading = Reading(table, self._report, self._options.progress, f"reading {kind}")
            for row in reading.rows(wanted, optional):
                yield reading, row

    def _terms(self, spool: Spool) -> None:
        uses = [spool.use_id(LOINC, name) for name in NAMES]
        axes = [spool.property_id(name, "code", f"{PROPERTY}{name}") for name in AXES]
        props = [spool.property_id(name, "string", f"{PROPERTY}{name}") for name in STRINGS]
        right = spool.property_id("copyright", "string")
        wanted = ("LOINC_NUM", "LONG_COMMON_NAME", "STATUS")
        optional = ("EXTERNAL_COPYRIGHT_NOTICE", *NAMES, *AXES, *STRINGS)
        for reading, row in self._rows("terms", wanted, optional):
            code, display, status, notice, *rest = row
            number = spool.concept(code, display, active=status != "DEPRECATED") if code else None
            if number is None:
                reading.bad(f"{code or 'the code'} came before, or is empty")
                continue
            for use, name in zip(uses, rest, strict=False):
                if name:
                    spool.designation(number, name, use=use, language="en")
            for axis, value in zip(axes, rest[len(uses) :], strict=False):
                # The name of the part; the part itself comes with the links.
                if value.strip():
                    spool.code(number, axis, " ".join(value.split()))
            for prop, value in zip(props, rest[len(uses) + len(axes) :], strict=True):
                if value:
                    spool.value(number, prop, value)
            spool.value(number, right, "3rdParty" if notice else "LOINC")

    def _parts(self, spool: Spool) -> None:
        kind_id = spool.property_id("PartTypeName", "string")
        wanted = ("PartNumber", "PartTypeName", "PartName")
        for reading, row in self._rows("parts", wanted, ("PartDisplayName", "Status")):
            code, kind, name, display, status = row
            number = spool.concept(code, display or name, active=status != "DEPRECATED")
            if number is None:
                reading.bad(f"{code} came before")
                continue
            spool.value(number, kind_id, kind)

    def _answers(self, spool: Spool) -> None:
        list_id = spool.property_id("LIST", "code")
        wanted = ("AnswerListId", "AnswerListName", "AnswerStringId", "DisplayText")
        for _, row in self._rows("answers", wanted, ("SequenceNumber",)):
            list_code, name, code, text, place = row
            if not list_code:
                continue
            # Rows of one list repeat it, and one answer is in several lists.
            spool.concept(list_code, name)
            if code:
                spool.concept(code, text)
                number, whole = spool.codes.number(code), spool.codes.number(list_code)
                spool.link(number, list_id, whole)
                spool.member(whole, number, fields={"sequence": place} if place else None)

    def _groups(self, spool: Spool) -> None:
        for _, (code, name, parent) in self._rows("groups", ("GroupId", "Group", "ParentGroupId")):
            number = spool.concept(code, name)
            if number is not None and parent:
                spool.concept(parent, None)
                spool.edge(number, spool.codes.number(parent))

    def _hierarchy(self, spool: Spool) -> None:
        seen: set[tuple[int, int]] = set()
        for _, (parent, code, text) in self._rows(
            "hierarchy", ("IMMEDIATE_PARENT", "CODE", "CODE_TEXT")
        ):
            if not spool.codes.is_defined(code):
                spool.concept(code, text)
            if parent:
                edge = (spool.codes.number(code), spool.codes.number(parent))
                if edge not in seen:
                    seen.add(edge)
                    spool.edge(*edge)

    def _part_links(self, spool: Spool) -> None:
        wanted = ("LoincNumber", "PartNumber", "PartTypeName", "LinkTypeName")
        seen: set[tuple[int, int, int]] = set()
        for reading, row in self._rows("links of parts", wanted, ("Property",)):
            term, part, kind, link, uri = row
            axis = PART_AXES.get(kind, kind)
            name = axis if link == "Primary" and axis in AXES else uri.rpartition("/")[2] or kind
            if not spool.codes.is_defined(term) or not spool.codes.is_defined(part):
                reading.unknown(f"{term} or {part} is not among the concepts")
                continue
            prop = spool.property_id(name, "code", uri or None)
            line = (spool.codes.number(term), prop, spool.codes.number(part))
            if line not in seen:
                seen.add(line)
                spool.link(*line)

    def _answer_links(self, spool: Spool) -> None:
        list_id = spool.property_id("answer-list", "code")
        for_id = spool.property_id("answers-for", "code")
        for reading, (term, answers) in self._rows(
            "links of answers", ("LoincNumber", "AnswerListId")
        ):
            if not spool.codes.is_defined(term) or not spool.codes.is_defined(answers):
                reading.unknown(f"{term} or {answers} is not among the concepts")
                continue
            one, other = spool.codes.number(term), spool.codes.number(answers)
            spool.link(one, list_id, other)
            spool.link(other, for_id, one)

    def _members(self, spool: Spool) -> None:
        """Keep terms below their groups, as their value sets have them, and panels' members."""
        for kind, columns in (
            ("terms of groups", ("GroupId", "LoincNumber")),
            ("panels", ("ParentLoinc", "Loinc")),
        ):
            seen: set[tuple[int, int]] = set()
            for reading, (whole, term) in self._rows(kind, columns):
                if not spool.codes.is_defined(whole) or not spool.codes.is_defined(term):
                    reading.unknown(f"{whole} or {term} is not among the concepts")
                    continue
                pair = (spool.codes.number(term), spool.codes.number(whole))
                if whole == term or pair in seen:
                    continue
                seen.add(pair)
                if kind == "panels":
                    spool.member(pair[1], pair[0])
                else:
                    spool.edge(*pair)

    def _more_names(self, spool: Spool) -> None:
        use = spool.use_id(LOINC, "ConsumerName")
        for reading, (code, name) in self._rows("consumer names", ("LoincNumber", "ConsumerName")):
            if not spool.codes.is_defined(code):
                reading.unknown(f"{code} is not among the concepts")
            elif name:
                spool.designation(spool.codes.number(code), name, use=use, language="en")
        use = spool.use_id(LOINC, "LONG_COMMON_NAME")
        wanted = ("LOINC_NUM", "LONG_COMMON_NAME", "LinguisticVariantDisplayName")
        for reading, (code, name, display) in self._rows("variant", wanted):
            language = _LANGUAGE.search(reading.name)
            if language is None:
                self._report.left(reading.name, "its name does not begin with a language, as deDE")
                return
            text = display or name
            if text and spool.codes.is_defined(code):
                tag = f"{language[1].lower()}-{language[2].upper()}"
                spool.designation(spool.codes.number(code), text, use=use, language=tag)
