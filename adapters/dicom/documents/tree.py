"""The content tree of a structured report.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.17.3
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from adapters.dicom.dataset.attributes import Attributes, items, text, texts
from adapters.dicom.dataset.codes import RETIRED_SCHEMES
from adapters.dicom.dataset.elements import Broken
from adapters.dicom.dataset.retired_ids import RETIRED

MAX_LEVELS = 64
MAX_ITEMS = 100_000

Position = tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A content item: where it stands, how it relates to what holds it, its name and value.

    `position` counts from 1 at each level, as Referenced Content Item Identifiers do
    (PS3.3, C.17.3.2.5); the root is (1,). `concept` is the code of its name, empty without
    one. An item by reference has the position of its target as `reference`, and no value.
    """

    position: Position
    relationship: str
    value_type: str
    concept: Attributes
    attributes: Attributes
    reference: Position
    children: list["Item"] = field(default_factory=list)

    @property
    def place(self) -> str:
        """Return the position as it is written: `1.2.3`."""
        return written(self.position)

    @property
    def name(self) -> str:
        """Return the concept as `DCM:121071`, old ids of SNOMED as today's; "" without a name."""
        return named(self.concept)

    @property
    def code(self) -> Attributes:
        """Return the coded value, empty where there is none."""
        return next(iter(items(self.attributes, "ConceptCodeSequence")), {})

    def walk(self, *, besides: Collection[str] = ()) -> Iterator["Item"]:
        """Yield this item and all below it, in the order of the document.

        Items named in `besides` are left out with what is below them.
        """
        ahead = [self]
        while ahead:
            one = ahead.pop()
            if one.name in besides:
                continue
            yield one
            ahead.extend(reversed(one.children))

    def child(self, *names: str) -> "Item | None":
        """Return the first child with one of these names."""
        return next((one for one in self.children if one.name in names), None)


def named(concept: Attributes) -> str:
    """Return a coded entry as `scheme:value`, old ids of SNOMED as today's; "" when empty."""
    scheme = text(concept, "CodingSchemeDesignator")
    value = next(
        (v for key in ("CodeValue", "LongCodeValue", "URNCodeValue") if (v := text(concept, key))),
        "",
    )
    if scheme in RETIRED_SCHEMES and value in RETIRED:
        return f"SCT:{RETIRED[value]}"
    return f"{scheme}:{value}" if value else ""


def current(concept: Attributes) -> Attributes:
    """Return a coded entry with the id of SNOMED CT that took the place of a retired one."""
    value = text(concept, "CodeValue")
    if text(concept, "CodingSchemeDesignator") in RETIRED_SCHEMES and value in RETIRED:
        return {**concept, "CodingSchemeDesignator": ["SCT"], "CodeValue": [RETIRED[value]]}
    return concept


def written(position: Position) -> str:
    """Return a position as it is written: `1.2.3`."""
    return ".".join(map(str, position))


def parse(document: Attributes) -> Item:
    """Return the root of a document's tree; Broken when it is too deep or too large."""
    root = _item(document, (1,))
    ahead = [(root, document)]
    count = 1
    while ahead:
        parent, attributes = ahead.pop()
        content = items(attributes, "ContentSequence")
        count += len(content)
        if count > MAX_ITEMS:
            raise Broken("The document has too many content items")
        if content and len(parent.position) >= MAX_LEVELS:
            raise Broken("Content items are nested too deep")
        for number, each in enumerate(content, 1):
            child = _item(each, (*parent.position, number))
            parent.children.append(child)
            ahead.append((child, each))
    return root


def _item(attributes: Attributes, position: Position) -> Item:
    target = attributes.get("ReferencedContentItemIdentifier", ())
    return Item(
        position,
        text(attributes, "RelationshipType").upper() if len(position) > 1 else "",
        text(attributes, "ValueType").upper(),
        next(iter(items(attributes, "ConceptNameCodeSequence")), {}),
        attributes,
        tuple(int(one) for one in target),
    )


def label(item: Item) -> str:
    """Return the name as it is read: its meaning, else its code; "" without a name."""
    return text(item.concept, "CodeMeaning") or item.name.partition(":")[2]


def uids(item: Item) -> list[str]:
    """Return the SOP Instance UIDs that an item refers to."""
    return [
        uid
        for one in items(item.attributes, "ReferencedSOPSequence")
        for uid in texts(one, "ReferencedSOPInstanceUID")[:1]
    ]
