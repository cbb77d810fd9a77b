"""Classifications in ClaML, such as ICD-10 and its national modifications.

EN 14463: classes with rubrics, and modifiers that add characters to codes.
https://www.who.int/publications/m/item/claml
"""

from collections.abc import Iterator, Sequence

from terminology.loaders.release import Found, Options, Release, code_system
from terminology.loaders.report import LoadRefused, Report, silent
from terminology.loaders.sources import SourceFile
from terminology.loaders.spool import Spool
from terminology.loaders.xml import Node, records, root_of

ICD10 = "http://hl7.org/fhir/sid/icd-10"
LICENCE = "Classifications of the WHO and of countries come with licences of their own"
RUBRICS = "urn:sangam:claml-rubric"
ABSTRACT = frozenset({"chapter", "block"})
PREFERRED = ("preferredLong", "preferred")
# Rubrics that name the same thing; all others say something about it.
NAMES = frozenset({"preferred", "preferredLong", "inclusion"})
_RECORDS = frozenset({"Title", "Class", "ModifierClass"})
MAX_EXPANDED = 2_000_000


def is_claml(found: Sequence[Found]) -> bool:
    """True when there is a ClaML document among the files."""
    return any(_is_claml(one) for one in found)


def _is_claml(one: Found) -> bool:
    return one.head.lstrip(b"\xef\xbb\xbf").startswith(b"<") and root_of(one.head) == "ClaML"


def release(found: Sequence[Found], options: Options) -> Release:
    """The release of one document; LoadRefused for several, or without url or version."""
    files = [one.file for one in found if _is_claml(one)]
    if len(files) > 1:
        raise LoadRefused("several ClaML documents: load them one by one")
    title = next((n for n in records(files[0], frozenset({"Title"}), silent)), None)
    name = (title.get("name") if title else None) or "classification"
    version = options.version or (title.get("version") if title else None)
    url = options.url or (ICD10 if name.upper() in {"ICD-10", "ICD10", "ICD-10-WHO"} else None)
    if not version:
        raise LoadRefused(f"{files[0].name}: no title has a version; give --version")
    if not url:
        raise LoadRefused(f"{files[0].name}: `{name}` has no url of its own here; give --url")
    text = (title.text() if title else "") or name
    resource = code_system(
        url,
        version,
        "".join(c for c in name if c.isalnum()),
        text,
        hierarchyMeaning="is-a",
        valueSet=f"{url}?vs",
    )
    report = Report()
    return Release(resource, files, _Reader(files[0], options, report).fill, report, LICENCE)


class _Reader:
    """The pass over a document: classes as they come, modified codes at the end."""

    def __init__(self, file: SourceFile, options: Options, report: Report) -> None:
        self._file, self._options, self._report = file, options, report
        self._children: dict[str, list[str]] = {}
        self._displays: dict[str, str] = {}
        self._modified: dict[str, list[tuple[str, frozenset[str]]]] = {}
        self._excluded: dict[str, set[str]] = {}
        self._modifiers: dict[str, list[tuple[str, str]]] = {}

    def fill(self, spool: Spool) -> Iterator[str]:
        """Read everything; all tables are complete at the end."""
        for node in records(self._file, _RECORDS, self._options.progress):
            if node.tag == "Class":
                self._class(spool, node)
            elif node.tag == "ModifierClass" and (code := node.get("code")):
                text, _ = _preferred(node)
                self._modifiers.setdefault(node.get("modifier") or "", []).append((code, text))
        for code in self._modified:
            self._modify(spool, code)
        yield from ()

    def _bad(self, node: Node, reason: str) -> None:
        self._report.add("bad row", self._file.name, node.line, reason)

    def _class(self, spool: Spool, node: Node) -> None:
        code, kind = node.get("code"), node.get("kind") or ""
        if code is None:
            self._bad(node, "a class without a code")
            return
        display, _ = _preferred(node)
        number = spool.concept(
            code,
            display or None,
            definition=next((_label(r)[0] for r in _rubrics(node, "definition")), None),
            abstract=kind in ABSTRACT,
        )
        if number is None:
            self._bad(node, f"{code} came before")
            return
        self._displays[code] = display
        spool.value(number, spool.property_id("kind", "code"), kind)
        if usage := node.get("usage"):
            spool.value(number, spool.property_id("usage", "string"), usage)
        for above in node.all("SuperClass"):
            if parent := above.get("code"):
                spool.edge(number, spool.codes.number(parent))
                self._children.setdefault(parent, []).append(code)
        self._rubrics(spool, number, node, display)
        self._note_modifiers(node, code)

    def _rubrics(self, spool: Spool, number: int, node: Node, display: str) -> None:
        for rubric in node.all("Rubric"):
            kind = rubric.get("kind") or "note"
            text, language = _label(rubric)
            if not text or (kind in PREFERRED and text == display):
                continue
            if kind in NAMES:
                use = spool.use_id(RUBRICS, kind)
                spool.designation(number, text, use=use, language=language)
            elif kind != "definition":
                spool.value(number, spool.property_id(kind, "string"), text)

    def _note_modifiers(self, node: Node, code: str) -> None:
        for one in node.all("ModifiedBy"):
            valid = frozenset(v.get("code") or "" for v in one.all("ValidModifierClass"))
            self._modified.setdefault(code, []).append((one.get("code") or "", valid))
        self._excluded[code] = {one.get("code") or "" for one in node.all("ExcludeModifier")}

    def _modify(self, spool: Spool, code: str) -> None:
        """Add the codes that modifiers make of the leaves of a class."""
        for leaf in self._leaves(code):
            bases = [(leaf, self._displays[leaf])]
            for modifier, valid in self._modified[code]:
                if modifier not in self._excluded[leaf]:
                    made = [self._made(spool, base, modifier, valid) for base in bases]
                    bases = [one for ones in made for one in ones] or bases

    def _made(
        self, spool: Spool, base: tuple[str, str], modifier: str, valid: frozenset[str]
    ) -> list[tuple[str, str]]:
        stem, text = base
        found = []
        for end, meaning in self._modifiers.get(modifier, []):
            if valid and end not in valid:
                continue
            code = _joined(stem, end)
            display = f"{text}: {meaning}" if meaning else text
            number = spool.concept(code, display)
            if number is not None:
                spool.edge(number, spool.codes.number(stem))
                found.append((code, display))
            if len(spool.codes.numbers) > MAX_EXPANDED:
                raise LoadRefused(f"{self._file.name}: modifiers make too many codes")
        return found

    def _leaves(self, code: str) -> Iterator[str]:
        todo, seen = [code], set()
        while todo:
            one = todo.pop()
            if one in seen:
                continue
            seen.add(one)
            below = self._children.get(one, [])
            todo += below
            if not below and one in self._displays:
                yield one


def _joined(stem: str, end: str) -> str:
    """A code with the characters of a modifier: E10 and .0, or M00.0 and 5."""
    if end.startswith(".") and "." in stem:
        return stem + end[1:]
    return stem + end


def _rubrics(node: Node, kind: str) -> Iterator[Node]:
    return (rubric for rubric in node.all("Rubric") if rubric.get("kind") == kind)


def _label(rubric: Node) -> tuple[str, str | None]:
    label = rubric.first("Label")
    return (label.text(), label.get("xml:lang")) if label else ("", None)


def _preferred(node: Node) -> tuple[str, str | None]:
    """The display of a class, with its language."""
    for kind in PREFERRED:
        for rubric in _rubrics(node, kind):
            return _label(rubric)
    return "", None
