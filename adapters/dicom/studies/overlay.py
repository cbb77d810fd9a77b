"""What differs from what was received of a study: corrections, and the patient it was given to.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.12.1.1.9
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from adapters.dicom.dataset.attributes import Attributes

CORRECT: Final = "CORRECT"
"""The reason of a modification that mends an error (PS3.3, C.12.1.1.9)."""

CORRECTABLE: Final = frozenset(
    (
        *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"),
        *("AccessionNumber", "StudyDescription", "StudyID", "ReferringPhysicianName"),
        *("StudyDate", "StudyTime"),
    )
)
"""What operators may correct of a study."""


@dataclass(frozen=True, slots=True)
class Overlay:
    """Values by keyword that take the place of those received, empty ones where there is none.

    `at` is when that was said, a FHIR instant.
    """

    values: Mapping[str, Sequence[Any]]
    at: str
    reason: str = CORRECT


def parsed(said: str | Mapping[str, Any] | None) -> Overlay | None:
    """Return the overlay of a study's row, JSON as text or parsed; None without one."""
    if said is None:
        return None
    found = msgspec.json.decode(said) if isinstance(said, str) else said
    return Overlay(found["values"], found["at"], found.get("reason", CORRECT))


def as_json(overlay: Overlay | None) -> dict[str, Any] | None:
    """Return the overlay as it is kept in a study's row."""
    if overlay is None:
        return None
    return {"values": dict(overlay.values), "at": overlay.at, "reason": overlay.reason}


def made(
    received: Attributes,
    corrections: Mapping[str, Sequence[Any]] | None,
    patient: Mapping[str, Sequence[Any]] | None,
    before: Overlay | None,
    at: str,
) -> Overlay | None:
    """Return what differs from `received`: what operators said, over what the patient says.

    It keeps the time of the overlay before where it says the same; None when nothing differs.
    """
    wanted = {**(patient or {}), **(corrections or {})}
    values = {
        name: list(value)
        for name, value in sorted(wanted.items())
        if list(value) != list(received.get(name, ()))
    }
    if not values:
        return None
    if before and values == dict(before.values):
        return before
    return Overlay(values, at)


def corrected(received: Attributes, overlay: Overlay | None) -> dict[str, Any]:
    """Return attributes with the overlay's values in the place of those received."""
    merged = {**received, **(overlay.values if overlay else {})}
    return {name: value for name, value in merged.items() if value}
