"""What a peer's instances leave away and its row says: issuer of Patient IDs, time zone.

https://dicom.nema.org/medical/dicom/current/output/html/part03.html#sect_C.12.1.1.8
"""

from collections.abc import Mapping
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from adapters.dicom.dataset.datetimes import day


def completed(attributes: Mapping[str, Any], issuer: str, timezone: str) -> dict[str, Any]:
    """Return the attributes as they are indexed; the stored bytes stay as they came.

    The offset of a zone is that at noon of the study's day.
    """
    found = dict(attributes)
    if issuer and "PatientID" in found and not _says_issuer(found):
        found["IssuerOfPatientID"] = [issuer]
    on = day(str(found.get("StudyDate", [""])[0])) if timezone else None
    if on and "TimezoneOffsetFromUTC" not in found:
        noon = datetime.combine(on, time(12), ZoneInfo(timezone))
        found["TimezoneOffsetFromUTC"] = [f"{noon:%z}"]
    return found


def _says_issuer(found: Mapping[str, Any]) -> bool:
    return "IssuerOfPatientID" in found or "IssuerOfPatientIDQualifiersSequence" in found
