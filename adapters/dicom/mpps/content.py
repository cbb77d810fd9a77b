"""The attributes of a performed procedure step: as elements, as JSON, by keyword.

https://dicom.nema.org/medical/dicom/current/output/html/part04.html#sect_F.7.2.1.1
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from adapters.dicom.dataset.attributes import Attributes, items, text
from adapters.dicom.dataset.identifier import Key, Keys, keyword

CHARACTER_SET: Final = 0x00080005

Json = dict[str, Any]


def packed(keys: Keys) -> Json:
    """Return elements as JSON: tag in hexadecimal to VR and values; items likewise."""
    return {
        f"{tag:08X}": [key.vr, [packed(v) if key.vr == "SQ" else _plain(v) for v in key.values]]
        for tag, key in sorted(keys.items())
    }


def unpacked(stored: Mapping[str, Any]) -> dict[int, Key]:
    """Return the elements that `packed` made JSON of."""
    return {
        (tag := int(name, 16)): Key(
            tag, vr, tuple(unpacked(v) if vr == "SQ" else v for v in values)
        )
        for name, (vr, values) in stored.items()
    }


def _plain(value: str | float) -> str | float:
    # A database cannot hold NUL in text; in DICOM it is only ever padding.
    return value.replace("\0", " ") if isinstance(value, str) else value


def by_keyword(keys: Keys) -> Json:
    """Return elements as attributes by keyword; empty, private and unknown ones are left out."""
    return {
        name: [by_keyword(v) if key.vr == "SQ" else v for v in key.values]
        for tag, key in keys.items()
        if (name := keyword(tag)) and key.values
    }


def scheduled(attributes: Attributes) -> list[Attributes]:
    """Return what the step says of the scheduled ones that it performs."""
    return items(attributes, "ScheduledStepAttributesSequence")


def distinct(of: Iterable[Attributes], name: str) -> list[str]:
    """Return the values of an attribute in several items, each once, without empty ones."""
    return list(dict.fromkeys(value for item in of if (value := text(item, name))))


def instances(attributes: Attributes) -> list[tuple[str, str]]:
    """Return series and instance UIDs that the step says it made, in their order."""
    found: dict[tuple[str, str], None] = {}
    for series in items(attributes, "PerformedSeriesSequence"):
        uid = text(series, "SeriesInstanceUID")
        for name in _REFERENCES:
            for reference in items(series, name):
                if instance := text(reference, "ReferencedSOPInstanceUID"):
                    found.setdefault((uid, instance))
    return list(found)


_REFERENCES: Sequence[str] = (
    "ReferencedImageSequence",
    "ReferencedNonImageCompositeSOPInstanceSequence",
)
