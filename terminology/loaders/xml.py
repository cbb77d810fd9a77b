"""Large XML documents, one record after the other.

A document type is passed over and never fetched, entities of a document's own are refused.

https://docs.python.org/3/library/pyexpat.html
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn
from xml.parsers import expat

from terminology.loaders.report import LoadRefused, Progress, Step
from terminology.loaders.sources import SourceFile

MAX_DEPTH = 200
MAX_RECORD = 1_000_000
"""Elements of one record."""
_BLOCK = 1 << 16


@dataclass(slots=True)
class Node:
    """An element: its attributes, its children and texts in order, the line it begins at."""

    tag: str
    attributes: dict[str, str]
    line: int
    parts: list["Node | str"] = field(default_factory=list)

    def get(self, name: str) -> str | None:
        """An attribute without blanks around it; None when it is absent or empty."""
        return (self.attributes.get(name) or "").strip() or None

    def all(self, tag: str) -> Iterator["Node"]:
        """The children of a tag."""
        return (part for part in self.parts if isinstance(part, Node) and part.tag == tag)

    def first(self, tag: str) -> "Node | None":
        """The first child of a tag."""
        return next(self.all(tag), None)

    def text(self) -> str:
        """All text inside, its blanks as single spaces."""
        return " ".join("".join(_texts(self)).split())


def _texts(node: Node) -> Iterator[str]:
    for part in node.parts:
        if isinstance(part, str):
            yield part
        else:
            # Elements such as paragraphs stand apart from what is beside them.
            yield " "
            yield from _texts(part)


class _Builder:
    """Records under way, and those that are complete."""

    def __init__(self, file: SourceFile, records: frozenset[str]) -> None:
        self.done: list[Node] = []
        self._file, self._records = file, records
        self._open: list[Node] = []
        self._depth = self._count = 0
        self.parser = parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.EntityDeclHandler = self._entity

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._count += 1
        if self._depth > MAX_DEPTH or (self._open and self._count > MAX_RECORD):
            self.refuse("elements are nested too deep, or too many in one record")
        if self._open or tag in self._records:
            if not self._open:
                self._count = 0
            node = Node(tag, attributes, self.parser.CurrentLineNumber)
            if self._open:
                self._open[-1].parts.append(node)
            self._open.append(node)

    def _end(self, _: str) -> None:
        self._depth -= 1
        if self._open:
            node = self._open.pop()
            if not self._open:
                self.done.append(node)

    def _characters(self, text: str) -> None:
        if self._open:
            self._open[-1].parts.append(text)

    def _entity(self, *_: object) -> NoReturn:
        self.refuse("declares entities, which are not read")

    def refuse(self, reason: str) -> NoReturn:
        """Refuse the document at the place that is read."""
        raise LoadRefused(f"{self._file.name}:{self.parser.CurrentLineNumber}: {reason}")


def records(file: SourceFile, tags: frozenset[str], progress: Progress) -> Iterator[Node]:
    """The elements of these tags that are in none other of them, as they end; LoadRefused."""
    builder = _Builder(file, tags)
    done = count = 0
    with file.open() as stream:
        while True:
            block = stream.read(_BLOCK)
            try:
                builder.parser.Parse(block, not block)
            except expat.ExpatError as error:
                builder.refuse(f"is not well-formed XML ({expat.ErrorString(error.code)})")
            ready, builder.done = builder.done, []
            count += len(ready)
            done += len(block)
            yield from ready
            progress(Step("reading XML", done, file.size, count))
            if not block:
                return


def root_of(head: bytes) -> str | None:
    """The tag of a document's root, by its beginning."""
    found: list[str] = []
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda tag, _: found.append(tag)
    with suppress(expat.ExpatError):
        parser.Parse(head, False)
    return found[0] if found else None
