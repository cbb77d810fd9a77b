"""Who asks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated party of a request, message or association.

    `name` identifies it in logs and audit; `door` is how it came in
    (`rest`, `hl7`, `dicom`, `worker`, `cli`).
    """

    name: str
    door: str
