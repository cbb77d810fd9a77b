"""Index rows of elements that come again and again, kept by what the elements say.

Results of one order agree in most of what they say, and so do those of one test: their
patient, their code, their reference range. What such an element adds to the rows of its
resource is worked out when it comes for the second time, and added from then on.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from fhir_server.r4.definitions import Definitions
from fhir_server.search import content
from fhir_server.search.content import Texts
from fhir_server.search.context import Context
from fhir_server.search.expression import WriteMember, Written
from fhir_server.search.rows import Coding, Edge, Rows

_LONGEST: Final = 500
_MOST_SEEN: Final = 1 << 14

_encode: Final = msgspec.json.Encoder().encode

Key: TypeAlias = tuple[str, str, bytes]
"""Resource type, member, JSON."""


@dataclass(frozen=True, slots=True)
class Addition:
    """What an element adds to the rows and to the texts of its resource."""

    terms: tuple[int, ...]
    edges: tuple[Edge, ...]
    ranges: tuple[tuple[str, tuple[tuple[Any, ...], ...]], ...]
    codes: tuple[tuple[int, tuple[str, ...]], ...]
    codings: tuple[Coding, ...]
    texts: tuple[tuple[int, tuple[str, ...]], ...]
    strings: tuple[str, ...]
    narratives: tuple[str, ...]
    inner: tuple[str, ...]

    def to(self, rows: Rows, found: Texts) -> None:
        """Add it."""
        rows.terms.update(self.terms)
        if self.edges:
            rows.edges.update(self.edges)
        for table, some in self.ranges:
            rows.ranges[table].update(some)
        for param, codes in self.codes:
            rows.codes.setdefault(param, []).extend(codes)
        if self.codings:
            rows.codings.update(self.codings)
        for param, texts in self.texts:
            rows.texts.setdefault(param, []).extend(texts)
        if self.strings:
            found.strings.extend(self.strings)
        if self.narratives:
            found.narratives.extend(self.narratives)
        if self.inner:
            found.inner.extend(self.inner)


def write(
    definitions: Definitions, type_name: str, written: Written, resource: dict[str, Any], rows: Rows
) -> Texts:
    """Write the rows of a resource, and return its texts; none where words are not indexed."""
    context, found = rows.context, Texts([], [], [])
    members, kept = written.members, context.kept
    read = content.read(definitions, type_name) if context.full_text else ()
    # What has a version of its own is found by that too, wherever its canonical URL stands.
    alone = rows.version is None
    for name, value in resource.items():
        if name not in members and name not in read:
            continue
        key = (type_name, name, _said(value))
        addition: Addition | None = kept.get(key) if alone else None
        if addition is None:
            work = _Work(definitions, type_name, members.get(name), name if name in read else "")
            if not alone or _is_new(context, key):
                work.out(value, resource, rows, found)
                continue
            if len(kept) >= context.most_kept:
                kept.clear()
            addition = kept[key] = work.kept(value, resource, context)
        addition.to(rows, found)
    written.rest(resource, rows)
    return found


def _said(value: object) -> bytes:
    """Return the JSON of a value, empty where there is none."""
    try:
        return _encode(value)
    except (OverflowError, TypeError, ValueError):
        return b""


def _is_new(context: Context, key: Key) -> bool:
    """Return whether this is not to be kept: it comes for the first time, or is long, or more.

    What once comes is noted by its hash alone: who takes it for another keeps something that
    may never come again, and no more. What is contained is another thing in each resource.
    """
    _, _, said = key
    if not said or len(said) > _LONGEST or b'"#' in said:
        return True
    number, seen = hash(key), context.seen
    if number in seen:
        return False
    if len(seen) >= _MOST_SEEN:
        seen.clear()
    seen.add(number)
    return True


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be done with a member: its rows are written, its texts read."""

    definitions: Definitions
    type_name: str
    write: WriteMember | None
    read: str

    def out(self, value: object, resource: dict[str, Any], rows: Rows, found: Texts) -> None:
        """Write the rows of a value, and add its texts."""
        if self.write is not None:
            self.write(value, resource, rows)
        if self.read:
            content.gather(self.definitions, self.type_name, self.read, value, found)

    def kept(self, value: object, resource: dict[str, Any], context: Context) -> Addition:
        """Return what a value adds, to be kept."""
        rows, found = Rows(context), Texts([], [], [])
        self.out(value, resource, rows, found)
        return Addition(
            terms=tuple(rows.terms),
            edges=tuple(rows.edges),
            ranges=tuple((table, tuple(some)) for table, some in rows.ranges.items()),
            codes=tuple((param, tuple(codes)) for param, codes in rows.codes.items()),
            codings=tuple(rows.codings),
            texts=tuple((param, tuple(some)) for param, some in rows.texts.items()),
            strings=tuple(found.strings),
            narratives=tuple(found.narratives),
            inner=tuple(found.inner),
        )
