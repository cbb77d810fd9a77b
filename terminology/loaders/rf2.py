"""SNOMED CT in Release Format 2.

https://confluence.ihtsdotools.org/display/DOCRELFMT
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal, InvalidOperation

from terminology.loaders.delimited import Reading, Row
from terminology.loaders.release import Found, Options, Release, code_system
from terminology.loaders.report import LoadRefused, Report
from terminology.loaders.rf2_files import Packages, kind_of, own_columns, packages
from terminology.loaders.rf2_terms import Terms, is_sctid
from terminology.loaders.spool import NULL, Spool, field

SNOMED = "http://snomed.info/sct"
LICENCE = (
    "SNOMED CT needs an affiliate licence of SNOMED International or of your country's "
    "release centre (https://www.snomed.org/get-snomed)"
)
IS_A = "116680003"
INFERRED = "900000000000011006"
FULLY_DEFINED = "900000000000073002"
ACTIVE = "1"
# The third and second digit from the right say what an identifier names.
CONCEPT_PARTITIONS = frozenset({"00", "10"})
# What a row of a map or of an association leads to.
TARGETS = frozenset({"mapTarget", "targetComponentId"})

GROUP_DIGITS = 4
ACTIVES = frozenset({"0", "1"})


def is_rf2(found: Sequence[Found]) -> bool:
    """True when there is a file of concepts among the files."""
    return any(one.table and kind_of(one.table) == "concept" for one in found)


def release(found: Sequence[Found], options: Options) -> Release:
    """The release that the packages make together; LoadRefused when its version is not plain."""
    report = Report()
    chosen = packages(found, report)
    for kind in ("description", "relationship", "language"):
        if kind not in chosen.tables:
            report.missing(f"the RF2 {kind} file")
    version = options.version or _version(chosen, report)
    resource = code_system(
        SNOMED,
        version,
        "SNOMED_CT",
        "SNOMED CT",
        hierarchyMeaning="is-a",
        compositional=True,
        versionNeeded=False,
        valueSet=f"{SNOMED}?fhir_vs",
        publisher="SNOMED International",
    )
    files = [table.file for tables in chosen.tables.values() for table in tables]
    reader = _Reader(chosen, options, report)
    return Release(resource, files, reader.fill, report, LICENCE)


def _version(chosen: Packages, report: Report) -> str:
    """The edition's URI: its module is the one on which none depends."""
    if "module" not in chosen.tables:
        raise LoadRefused("no module dependency refset tells the version; give --version")
    times: dict[str, str] = {}
    needed: set[str] = set()
    wanted = ("active", "moduleId", "referencedComponentId", "sourceEffectiveTime")
    for _, rows in chosen.each("module", wanted, report, lambda _: None):
        for _, _, active, module, needs, time in rows:
            if active == ACTIVE:
                needed.add(needs)
                times[module] = max(time, times.get(module, ""))
    tops = {module: time for module, time in times.items() if module not in needed}
    if len(tops) != 1:
        names = ", ".join(sorted(tops)) or "none"
        raise LoadRefused(f"several modules are editions ({names}); give --version")
    ((module, time),) = tops.items()
    return f"{SNOMED}/{module}/version/{time}"


class _Reader:
    """The pass over the files of one release."""

    def __init__(self, chosen: Packages, options: Options, report: Report) -> None:
        self._files, self._options, self._report = chosen, options, report

    def fill(self, spool: Spool) -> Iterator[str]:
        """Read everything; yields tables as they are complete."""
        # What is bad in this file is told when it is read again.
        files = self._files.each("concept", (), Report(), self._options.progress)
        spool.codes.fix(row[0] for _, rows in files for row in rows if is_sctid(row[0]))
        active = self._concepts(spool)
        self._relationships(spool)
        self._concrete(spool)
        # All of them, so that the hierarchy can be written while the terms are read.
        yield "edge"
        terms = Terms(self._files, self._options, self._report)
        terms.read(spool)
        terms.concepts(spool, active)
        yield from ("concept", "designation", "search_text", "property")
        self._refsets(spool)
        yield "refset_member"

    def _each(self, kind: str, wanted: Sequence[str]) -> Iterator[tuple[Reading, Row]]:
        for reading, rows in self._files.each(kind, wanted, self._report, self._options.progress):
            for row in rows:
                yield reading, row

    def _concepts(self, spool: Spool) -> bytearray:
        """Keep what is said of each concept itself; returns which are active."""
        numbers = spool.codes.numbers
        active = bytearray(len(numbers) + 1)
        time_id = spool.property_id("effectiveTime", "string")
        module_id = spool.property_id("moduleId", "code")
        defined_id = spool.property_id("sufficientlyDefined", "boolean")
        nulls = "\t".join((NULL,) * 4) + "\n"
        for reading, row in self._each("concept", ("active", "moduleId", "definitionStatusId")):
            code, time, flag, module, status = row
            number = numbers.get(code)
            if number is None or flag not in ACTIVES:
                reading.bad(f"`{code}` is no SNOMED CT identifier, or `active` neither 0 nor 1")
                continue
            if not spool.codes.define(number):
                reading.bad(f"{code} came before")
                continue
            active[number] = flag == ACTIVE
            home = numbers.get(module)
            whose = (
                f"{NULL}\t{module_id}\t0\t{field(module)}"
                if home is None
                else (f"{home}\t{module_id}\t0\t{NULL}")
            )
            full = "t" if status == FULLY_DEFINED else "f"
            # Three properties, as Spool.value, link and code write them.
            spool.put(
                "property",
                f"{number}\t{NULL}\t{time_id}\t0\t{NULL}\t{field(time)}\t{nulls}"
                f"{number}\t{whose}\t{NULL}\t{nulls}"
                f"{number}\t{NULL}\t{defined_id}\t0\t{NULL}\t{NULL}\t{NULL}\t{full}"
                f"\t{NULL}\t{NULL}\n",
            )
        return active

    def _relationships(self, spool: Spool) -> None:
        numbers, known = spool.codes.numbers, dict[str, int]()
        nulls = "\t".join((NULL,) * 6)
        wanted = (
            "active",
            "sourceId",
            "destinationId",
            "relationshipGroup",
            "typeId",
            "characteristicTypeId",
        )
        files = self._files.each("relationship", wanted, self._report, self._options.progress)
        for reading, rows in files:
            for _, _, flag, source, target, group, kind, how in rows:
                if flag != ACTIVE or how != INFERRED:
                    continue
                child, parent = numbers.get(source), numbers.get(target)
                if child is None or parent is None:
                    missing = source if child is None else target
                    reading.unknown(f"{missing} is not among the concepts")
                elif kind == IS_A:
                    spool.edge(child, parent)
                elif not _is_group(group):
                    reading.bad("relationshipGroup is no number")
                else:
                    prop = known.get(kind)
                    if prop is None:
                        uri = f"http://snomed.info/id/{kind}"
                        prop = known[kind] = spool.property_id(kind, "code", uri)
                    spool.put("property", f"{child}\t{parent}\t{prop}\t{group}\t{nulls}\n")

    def _concrete(self, spool: Spool) -> None:
        wanted = ("active", "sourceId", "value", "relationshipGroup", "typeId")
        for reading, row in self._each("concrete", wanted):
            _, _, flag, source, value, group, kind = row
            if flag != ACTIVE:
                continue
            number = spool.codes.numbers.get(source)
            held = _concrete(value)
            if number is None:
                reading.unknown(f"{source} is not among the concepts")
            elif held is None or not _is_group(group):
                reading.bad('a concrete value is #number or "text", a group a number')
            else:
                type_ = "decimal" if isinstance(held, Decimal) else "string"
                prop = spool.property_id(kind, type_, f"http://snomed.info/id/{kind}")
                spool.value(number, prop, held, group=int(group))

    def _refsets(self, spool: Spool) -> None:
        """Keep the members that are concepts, with the columns of each file's own."""
        for kind, tables in self._files.tables.items():
            if kind.startswith(("refset", "module")):
                self._refset(spool, kind, own_columns(tables[0]))

    def _refset(self, spool: Spool, kind: str, own: tuple[str, ...]) -> None:
        numbers = spool.codes.numbers
        target = next((own.index(name) for name in own if name in TARGETS), None)
        wanted = ("active", "refsetId", "referencedComponentId", *own)
        for reading, row in self._each(kind, wanted):
            _, _, flag, refset, member, *values = row
            place, number = numbers.get(refset), numbers.get(member)
            if place is None or number is None:
                # Descriptions and relationships have members of their own; they are no concepts.
                if place is None or member[-3:-1] in CONCEPT_PARTITIONS:
                    reading.unknown(f"{refset if place is None else member} is no concept")
                continue
            spool.member(
                place,
                number,
                active=flag == ACTIVE,
                target=None if target is None else values[target] or None,
                fields=dict(zip(own, values, strict=True)) if own else None,
            )


def _concrete(value: str) -> Decimal | str | None:
    try:
        if value.startswith("#"):
            return Decimal(value[1:])
    except InvalidOperation:
        return None
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else None


def _is_group(text: str) -> bool:
    return text.isdigit() and text.isascii() and len(text) <= GROUP_DIGITS
