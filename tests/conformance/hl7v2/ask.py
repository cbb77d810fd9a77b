"""A question to the adapter: what is sent, and what is to be found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

WHEN: Final = "2026-01-02T03:04:05+05:30"
TIME: Final = "20260102030405+0530"
OID: Final = "1.2.840.99"
EXT: Final = "http://hl7.org/fhir/StructureDefinition/"
More = Mapping[tuple[str, int], str]


@dataclass(frozen=True, slots=True)
class Ask:
    """What is sent and expected instead; None, "" and {} leave what the row itself says.

    `stage` is the message, `said` are settings of the sender's profile, `kind` is the type of
    the resource where it is not that of the map. `kept`: the value is there without the field.
    `whole` is the field as a whole, of a row of the map of a data type.
    """

    text: str | None = None
    expected: tuple[str, ...] | None = None
    more: More = field(default_factory=dict)
    stage: str = ""
    said: Mapping[str, Any] = field(default_factory=dict)
    kind: str = ""
    kept: bool = False
    whole: str = ""


def each(lines: tuple[int, ...], ask: Ask) -> dict[int, Ask]:
    """Return the same question for several lines."""
    return dict.fromkeys(lines, ask)
