"""Resources in the making, and the account of which content item went where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from adapters.dicom.dataset import datetimes
from adapters.dicom.dataset.attributes import Attributes, text
from adapters.dicom.documents.tree import Item, Position

Json = dict[str, Any]

DICOM_UID = "urn:dicom:uid"
CONTENT_ITEM = "urn:sangam:dicom:content-item"
"""System of `<SOP Instance UID>/<position>`: a content item of a document."""
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"

_URNS = UUID("3b0e5d0c-6c0f-4f7e-9c51-0c7c8a3f6f0b")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known outside of a document: its study, whose it is, and how to read it.

    `subject`, `encounter`, `study`, `based_on` and `procedures` are References; `zone` is
    that of times without offset, `received` an instant; `endpoint` is the base of DICOMweb.
    `dose_codes` are what a dose report is in LOINC, and each of its events in DCM.
    """

    subject: Json
    zone: tzinfo
    received: str
    endpoint: str
    study: Json | None = None
    encounter: Json | None = None
    based_on: Sequence[Json] = ()
    procedures: Sequence[Json] = ()
    modalities: Sequence[str] = ()
    dose_codes: tuple[str, str] = ("73569-6", "113852")


def zone_of(document: Attributes, indexed: Attributes, agreed: str) -> tzinfo:
    """Return the zone of times without an offset, also of those inside of the tree.

    (0008,0201) as it was sent, else as the index has it of the peer, else the agreed IANA zone.
    """
    sent = (text(each, "TimezoneOffsetFromUTC") for each in (document, indexed))
    return next(filter(None, map(datetimes.offset, sent)), None) or ZoneInfo(agreed)


@dataclass(slots=True)
class Made:
    """A resource and how it is written: by `url`, where it is conditional by its criteria."""

    resource: Json
    url: str
    full_url: str
    if_none_exist: str | None = None

    @property
    def reference(self) -> Json:
        """Return a reference to it inside the same transaction."""
        return {"reference": self.full_url}


@dataclass(slots=True)
class Draft:
    """The resources of one document, the report first, and where each content item went.

    `device` is a Reference to what observed, `observed` are Observations by position,
    `pending` those that an item by reference leads from. `places` are `(resource, path)` by
    position; `flags` names what disagrees with the rest.
    """

    document: Attributes
    root: Item
    around: Surroundings
    made: list[Made] = field(default_factory=list)
    places: dict[Position, list[tuple[Made, str]]] = field(default_factory=dict)
    observed: dict[Position, Made] = field(default_factory=dict)
    flags: set[str] = field(default_factory=set)
    pending: list[tuple[Made, Item]] = field(default_factory=list)
    device: Json | None = None
    _by_url: dict[str, Made] = field(default_factory=dict)

    @property
    def sop_instance_uid(self) -> str:
        """Return the UID of the document."""
        return text(self.document, "SOPInstanceUID")

    def add(self, resource: Json, identifier: Json, *, once: bool = False) -> Made:
        """Take a resource in that is known by `identifier`; `once`: only written if missing."""
        criteria = f"identifier={token(identifier)}"
        kind = resource["resourceType"]
        full_url = _urn(kind, identifier)
        if once:
            made = Made(resource, kind, full_url, criteria)
        else:
            made = Made(resource, f"{kind}?{criteria}", full_url)
        self._by_url[full_url] = made
        self.made.append(made)
        return made

    def known(self, kind: str, identifier: Json) -> Made | None:
        """Return what was already taken in under this identifier."""
        return self._by_url.get(_urn(kind, identifier))

    def mark(self, item: Item, made: Made, path: str) -> None:
        """Note that the item is at `path` of a resource."""
        self.places.setdefault(item.position, []).append((made, path))

    def is_used(self, item: Item) -> bool:
        """Return whether the item went anywhere yet."""
        return item.position in self.places

    def identifier(self, item: Item) -> Json:
        """Return the identifier of what one content item says."""
        return {"system": CONTENT_ITEM, "value": f"{self.sop_instance_uid}/{item.place}"}


def _urn(kind: str, identifier: Json) -> str:
    return f"urn:uuid:{uuid5(_URNS, f'{kind}?identifier={token(identifier)}')}"


def oid(uid: str) -> Json:
    """Return the identifier of a DICOM UID."""
    return {"system": DICOM_UID, "value": f"urn:oid:{uid}"}


def token(identifier: Mapping[str, Any]) -> str:
    """Return an identifier as a token of a query, its separators escaped."""
    parts = (str(identifier.get("system", "")), str(identifier["value"]))
    for character in "\\|,$":
        parts = (
            parts[0].replace(character, f"\\{character}"),
            parts[1].replace(character, f"\\{character}"),
        )
    return quote("|".join(parts) if parts[0] else parts[1], safe="")


def filled(made: Mapping[str, Any]) -> Json:
    """Drop what is empty; FHIR knows no empty values."""
    return {name: value for name, value in made.items() if value not in (None, "", [], {}, ())}
