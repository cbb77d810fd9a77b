"""Rows of one release on their way to the database, in files that vanish with the process.

Codes get numbers as they are met. The database wants numbers in the order of the codes
(tables.py), known only at the end, so each line begins with the numbers in it, and they are
exchanged when the lines are sent. Where all codes are known first (`Codes.fix`), nothing is
left to exchange. Only the codes and the edges stay in memory.

https://www.postgresql.org/docs/current/sql-copy.html
"""

import json
import tempfile
from array import array
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, BinaryIO, Final

from terminology.concepts import Json
from terminology.loaders.report import Report
from terminology.postgres.texts import index_text

NULL: Final = "\\N"
_LINES = 4_096
_BLOCK: Final = 1 << 20

# Columns as they are spooled: those with numbers of concepts come first.
COLUMNS: Final = {
    "concept": ("cid", "code", "display", "definition", "active", "abstract", "status", "seq"),
    "designation": ("cid", "language", "use_id", "term", "active", "preferred", "fields"),
    "search_text": ("cid", "language", "folded", "words"),
    "property": (
        "cid",
        "value_cid",
        "prop_id",
        "group_no",
        "value_code",
        "value_text",
        "value_num",
        "value_bool",
        "value_date",
        "value_system",
    ),
    "refset_member": ("refset", "cid", "active", "map_target", "fields"),
}
NUMBERS: Final = {
    "concept": 1,
    "designation": 1,
    "search_text": 1,
    "property": 2,
    "refset_member": 2,
}


def field(value: str | None) -> str:
    """A text as COPY reads it."""
    if value is None:
        return NULL
    if "\\" in value or "\t" in value or "\n" in value or "\r" in value:
        value = value.replace("\\", "\\\\").replace("\t", "\\t")
        value = value.replace("\n", "\\n").replace("\r", "\\r")
    return value


def json_field(value: Json | None) -> str:
    """An object as COPY reads it."""
    return NULL if value is None else field(json.dumps(value, ensure_ascii=False))


class Codes:
    """Numbers of codes, from 1; a code may be named before it is defined."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self._defined = bytearray(1)
        self.fixed = False

    def number(self, code: str) -> int:
        """The number of a code, a new one for a new code."""
        known = self.numbers.get(code)
        if known is None:
            known = self.numbers[code] = len(self.numbers) + 1
            self._defined.append(0)
        return known

    def define(self, number: int) -> bool:
        """Note that the code is a concept; False when it was one already."""
        if self._defined[number]:
            return False
        self._defined[number] = 1
        return True

    def fix(self, codes: Iterable[str]) -> None:
        """Take these as all the codes, in their final order."""
        self.numbers = {code: number for number, code in enumerate(sorted(set(codes)), start=1)}
        self._defined = bytearray(len(self.numbers) + 1)
        self.fixed = True

    def is_defined(self, code: str) -> bool:
        """Say whether the code is a concept."""
        return bool(self._defined[self.numbers.get(code, 0)])

    def undefined(self) -> list[str]:
        """Codes that were named and are no concepts."""
        return [code for code, number in self.numbers.items() if not self._defined[number]]

    def final(self) -> "array[int]":
        """The final number of each number: the place among the codes; 0 for no concept."""
        final = array("i", bytes(4 * (len(self.numbers) + 1)))
        place = 0
        for code in sorted(self.numbers):
            number = self.numbers[code]
            if self._defined[number]:
                place += 1
                final[number] = place
        return final

    def __len__(self) -> int:
        """How many are concepts."""
        return sum(self._defined)


class Spool:
    """Everything of one release but its metadata."""

    def __init__(self) -> None:
        self.codes = Codes()
        self.children: array[int] = array("i")
        self.parents: array[int] = array("i")
        self.properties: list[Json] = []
        self.uses: list[Json] = []
        self.rows = dict.fromkeys(COLUMNS, 0)
        self._seq = 0
        self._files: dict[str, BinaryIO] = {}
        self._lines: dict[str, list[str]] = {name: [] for name in COLUMNS}
        self._property_ids: dict[str, int] = {}
        self._use_ids: dict[tuple[str, str], int] = {}

    def put(self, table: str, line: str) -> None:
        """Keep a line: columns of COLUMNS, numbers of concepts first, with its end."""
        lines = self._lines[table]
        lines.append(line)
        if len(lines) >= _LINES:
            self._flush(table)

    def _flush(self, table: str) -> None:
        lines = self._lines[table]
        if not lines:
            return
        file = self._files.get(table)
        if file is None:
            file = self._files[table] = tempfile.TemporaryFile()  # noqa: SIM115  (lives on)
        text = "".join(lines)
        lines.clear()
        file.write(text.encode())
        self.rows[table] += text.count("\n")

    def property_id(self, code: str, kind: str, uri: str | None = None, text: str = "") -> int:
        """The place of a property among those declared, added when it is new."""
        known = self._property_ids.get(code)
        if known is None:
            known = self._property_ids[code] = len(self.properties)
            declared = {"code": code, "uri": uri, "description": text, "type": kind}
            self.properties.append({name: value for name, value in declared.items() if value})
        return known

    def use_id(self, system: str, code: str, display: str | None = None) -> int:
        """The place of a designation use, added when it is new."""
        known = self._use_ids.get((system, code))
        if known is None:
            known = self._use_ids[system, code] = len(self.uses)
            coding = {"system": system, "code": code}
            self.uses.append({**coding, "display": display} if display else coding)
        return known

    def concept(
        self,
        code: str,
        display: str | None,
        *,
        definition: str | None = None,
        active: bool = True,
        abstract: bool = False,
        status: str | None = None,
    ) -> int | None:
        """Keep a concept, and its display to be searched; None when the code came before."""
        number = self.codes.number(code)
        if not self.codes.define(number):
            return None
        texts = "\t".join(map(field, (code, display, definition)))
        marks = f"{'t' if active else 'f'}\t{'t' if abstract else 'f'}\t{field(status)}"
        self._seq += 1
        self.put("concept", f"{number}\t{texts}\t{marks}\t{self._seq}\n")
        if display:
            self.search(number, None, display)
        return number

    def search(self, number: int, language: str | None, text: str) -> None:
        """Keep a text to be searched."""
        folded, words = index_text(text)
        if words:
            # Words are of letters, digits and underscores: nothing in them is to be escaped.
            line = f"{number}\t{language or NULL}\t{field(folded)}\t{words}\n"
            self.put("search_text", line)

    def designation(
        self,
        number: int,
        term: str,
        *,
        use: int | None = None,
        language: str | None = None,
        preferred: bool = False,
        fields: Json | None = None,
    ) -> None:
        """Keep an active designation, to be searched too."""
        place = NULL if use is None else use
        marks = f"t\t{'t' if preferred else 'f'}\t{json_field(fields)}"
        self.put("designation", f"{number}\t{field(language)}\t{place}\t{field(term)}\t{marks}\n")
        self.search(number, language, term)

    def value(
        self,
        number: int,
        prop: int,
        value: str | bool | Decimal,  # noqa: FBT001 - a value like the others
        *,
        group: int = 0,
    ) -> None:
        """Keep a property that is a string, a boolean or a number."""
        if isinstance(value, bool):
            rest = f"{NULL}\t{NULL}\t{NULL}\t{'t' if value else 'f'}"
        elif isinstance(value, Decimal):
            rest = f"{NULL}\t{NULL}\t{value}\t{NULL}"
        else:
            rest = f"{NULL}\t{field(value)}\t{NULL}\t{NULL}"
        self.put("property", f"{number}\t{NULL}\t{prop}\t{group}\t{rest}\t{NULL}\t{NULL}\n")

    def code(
        self,
        number: int,
        prop: int,
        code: str,
        *,
        system: str | None = None,
        display: str | None = None,
    ) -> None:
        """Keep a property that is a code of no concept here, of another system where given."""
        texts = f"{field(code)}\t{field(display)}\t{NULL}\t{NULL}\t{NULL}\t{field(system)}"
        self.put("property", f"{number}\t{NULL}\t{prop}\t0\t{texts}\n")

    def link(self, number: int, prop: int, other: int, *, group: int = 0) -> None:
        """Keep a property that is a concept of the same system."""
        rest = "\t".join((NULL,) * 6)
        self.put("property", f"{number}\t{other}\t{prop}\t{group}\t{rest}\n")

    def member(
        self,
        refset: int,
        number: int,
        *,
        active: bool = True,
        target: str | None = None,
        fields: Json | None = None,
    ) -> None:
        """Keep a member of a reference set."""
        line = f"{refset}\t{number}\t{'t' if active else 'f'}\t{field(target)}"
        self.put("refset_member", f"{line}\t{json_field(fields)}\n")

    def edge(self, child: int, parent: int) -> None:
        """Keep an edge of the hierarchy."""
        self.children.append(child)
        self.parents.append(parent)

    def lines(self, table: str, final: "array[int] | None" = None) -> Iterator[bytes]:
        """The blocks of a table, with final numbers; rows of codes that are none left out."""
        self._flush(table)
        file = self._files.get(table)
        if file is None:
            return
        file.seek(0)
        if final is None:
            while block := file.read(_BLOCK):
                yield block
            return
        exchange = _one if NUMBERS[table] == 1 else _two
        while lines := file.readlines(_BLOCK):
            yield b"".join(exchange(lines, final))

    def close(self) -> None:
        """Forget everything."""
        for file in self._files.values():
            file.close()
        self._files.clear()


def _one(lines: list[bytes], final: "array[int]") -> Iterator[bytes]:
    for line in lines:
        number, _, rest = line.partition(b"\t")
        place = final[int(number)]
        if place:
            yield b"%d\t%b" % (place, rest)


def _two(lines: list[bytes], final: "array[int]") -> Iterator[bytes]:
    for line in lines:
        first, second, rest = line.split(b"\t", 2)
        one, two = final[int(first)], second
        if second != b"\\N":
            place = final[int(second)]
            if not place:
                continue
            two = b"%d" % place
        if one:
            yield b"%d\t%b\t%b" % (one, two, rest)


def dangling(spool: Spool, report: Report, what: str) -> None:
    """Report the codes that are named and are no concepts."""
    for code in spool.codes.undefined():
        report.add("unknown code", what, 0, f"{code} is named and not defined")


def plain(value: Any) -> str | None:  # noqa: ANN401 - any cell
    """A text without blanks around it; None for an empty one."""
    text = str(value or "").strip()
    return text or None
