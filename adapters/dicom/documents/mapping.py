"""A structured report as FHIR resources, with an account of every content item.

https://dicom.nema.org/medical/dicom/current/output/html/part16.html#chapter_A
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from uuid import UUID, uuid5

from adapters.dicom.dataset.attributes import Attributes, text
from adapters.dicom.dataset.rejections import KEY_OBJECTS
from adapters.dicom.documents import dose, measurements, observations, rendering, report
from adapters.dicom.documents.draft import Draft, Json, Made, Surroundings
from adapters.dicom.documents.tree import Item, label, parse

VERSION = 2
"""Of the mapping; documents that another made are mapped again when they are looked at."""

MAX_INLINE = 256 << 10
"""A rendering of more bytes than this is a Binary of its own."""

_BINARIES = UUID("7f3c2a1e-8a40-4c43-9d6e-0b0a4fb7a6b2")


@dataclass(frozen=True, slots=True)
class Line:
    """A content item and the FHIR paths that it went to, none where only the rendering has it."""

    item: Item
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Mapped:
    """The resources of a document, a line for each content item, and what disagrees."""

    resources: Sequence[Made]
    lines: Sequence[Line]
    flags: Sequence[str]

    @property
    def unmapped(self) -> list[Json]:
        """Return what only the rendering has: where, and which kind of item; no values."""
        return [
            {
                "position": one.item.place,
                "type": one.item.value_type or "reference",
                "name": one.item.name,
                "meaning": label(one.item),
            }
            for one in self.lines
            if not one.paths
        ]


def mapped(document: Attributes, around: Surroundings, *, whole: bool = True) -> Mapped:
    """Return what a structured report becomes; without `whole` only the report itself.

    Raises Broken when its tree is too deep or too large.
    """
    draft = Draft(document, parse(document), around)
    made = report.begin(draft)
    if whole:
        results = _results(draft)
        if results:
            made.resource["result"] = [one.reference for one in results]
        report.conclude(draft)
    present(draft)
    return Mapped(draft.made, _lines(draft), sorted(draft.flags))


def unreadable(document: Attributes, around: Surroundings, reason: str) -> Mapped:
    """Return the report of a document whose tree cannot be parsed: its header, and why."""
    header = {key: value for key, value in document.items() if key != "ContentSequence"}
    draft = Draft(header, parse(header), around)
    made = report.begin(draft)
    present(draft)
    made.resource["conclusion"] = f"The content of this document cannot be shown. {reason}."
    return Mapped(draft.made, _lines(draft), ["unreadable"])


def _results(draft: Draft) -> list[Made]:
    if text(draft.document, "SOPClassUID") == KEY_OBJECTS:
        return []
    found = dose.doses(draft) if draft.root.name in dose.ROOTS else []
    found += measurements.groups(draft)
    found += observations.findings(draft)
    observations.refer(draft)
    return found


def present(draft: Draft) -> None:
    """Add the renderings to the report: HTML and plain text."""
    made = draft.made[0]
    forms = (
        ("text/html; charset=utf-8", rendering.html(draft.document, draft.root)),
        ("text/plain; charset=utf-8", rendering.plain(draft.document, draft.root)),
    )
    made.resource["presentedForm"] = [_form(draft, kind, said) for kind, said in forms]


def _form(draft: Draft, kind: str, said: str) -> Json:
    content = said.encode()
    attachment = described(content, kind, label(draft.root) or "Structured Report")
    if len(content) <= MAX_INLINE:
        return {"contentType": kind, "data": b64encode(content).decode(), **attachment}
    id_ = str(uuid5(_BINARIES, f"{draft.sop_instance_uid} {kind}"))
    resource = {
        "resourceType": "Binary",
        "id": id_,
        "contentType": kind,
        "securityContext": draft.made[0].reference,
        "data": b64encode(content).decode(),
    }
    draft.made.append(Made(resource, f"Binary/{id_}", f"urn:uuid:{id_}"))
    return {"contentType": kind, "url": f"Binary/{id_}", **attachment}


def described(content: bytes, kind: str, title: str) -> Json:
    """Return what an Attachment says of its content besides where it is."""
    digest = sha1(content, usedforsecurity=False).digest()  # R4 has no other hash
    return {
        "contentType": kind,
        "size": len(content),
        "hash": b64encode(digest).decode(),
        "title": title,
    }


def _lines(draft: Draft) -> list[Line]:
    names = numbered([one.resource for one in draft.made])
    by_made = {id(one): name for one, name in zip(draft.made, names, strict=True)}
    return [
        Line(
            item,
            tuple(
                f"{by_made[id(made)]}.{path}" for made, path in draft.places.get(item.position, ())
            ),
        )
        for item in draft.root.walk()
    ]


def numbered(resources: Sequence[Json]) -> list[str]:
    """Return a name for each: `Observation[2]` is the second of its type."""
    kinds = [str(one["resourceType"]) for one in resources]
    of_kind = Counter(kinds)
    seen: Counter[str] = Counter()
    names = []
    for kind in kinds:
        seen[kind] += 1
        names.append(f"{kind}[{seen[kind]}]" if of_kind[kind] > 1 else kind)
    return names
