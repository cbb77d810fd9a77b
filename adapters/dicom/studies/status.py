"""The status of an ImagingStudy.

https://hl7.org/fhir/R4/valueset-imagingstudy-status.html
"""

from collections.abc import Collection

from adapters.dicom.studies.expected import Expected
from adapters.dicom.studies.rejection import WITHDRAWN


def status(live: int, codes: Collection[str], told: Expected | None) -> str | None:
    """Return the status of a study, None where nothing is known of it.

    `live` counts the instances that are shown, `codes` are why others are not.
    """
    if live:
        return "available"
    if codes:
        return "entered-in-error" if set(codes) <= WITHDRAWN else "unknown"
    if told is None:
        return None
    return "cancelled" if told.cancelled else "registered"
