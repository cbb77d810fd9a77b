"""The answer to a store request.

https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_10.5.3
https://dicom.nema.org/medical/dicom/current/output/html/part18.html#sect_I.2
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from adapters.dicom.network.statuses import SUCCESS
from adapters.dicom.web.model import record
from adapters.dicom.web.stow_parts import Outcome

_OUT_OF_RESOURCES = 0xA7


def http_status(outcomes: Sequence[Outcome]) -> int:
    """Return 200 where all is stored, 202 where some is, 409 where nothing is.

    That is 503 where it is for want of resources.
    """
    failed = [one for one in outcomes if one.status != SUCCESS]
    if not failed:
        return 200
    if len(failed) < len(outcomes):
        return 202
    wanting = all(one.status >> 8 == _OUT_OF_RESOURCES for one in failed)
    return 503 if wanting else 409


def body(base: str, outcomes: Sequence[Outcome]) -> bytes:
    """Return the data set that tells what became of each instance, as DICOM JSON.

    `base` is the service's URL.
    """
    stored = [one for one in outcomes if one.status == SUCCESS]
    failed = [one for one in outcomes if one.status != SUCCESS]
    studies = {one.study_instance_uid for one in stored}
    url = f"{base}/studies/{next(iter(studies))}" if len(studies) == 1 else ""
    elements: dict[str, list[Any]] = {
        "RetrieveURL": [url] if url else [],
        "FailedSOPSequence": [_failure(one) for one in failed if one.sop_instance_uid],
        "ReferencedSOPSequence": [_reference(base, one) for one in stored],
        "OtherFailuresSequence": [_reason(one) for one in failed if not one.sop_instance_uid],
    }
    return msgspec.json.encode(record({name: one for name, one in elements.items() if one}))


def _reference(base: str, one: Outcome) -> dict[str, Any]:
    url = (
        f"{base}/studies/{one.study_instance_uid}/series/{one.series_instance_uid}"
        f"/instances/{one.sop_instance_uid}"
    )
    return {**_identity(one), "RetrieveURL": [url]}


def _failure(one: Outcome) -> dict[str, Any]:
    return {**_identity(one), **_reason(one)}


def _identity(one: Outcome) -> dict[str, Any]:
    return {
        "ReferencedSOPClassUID": [one.sop_class_uid],
        "ReferencedSOPInstanceUID": [one.sop_instance_uid],
    }


def _reason(one: Outcome) -> dict[str, Any]:
    return {"FailureReason": [one.status]}
