"""What OBX-5 attaches, as a document of the report and of its own.

https://hl7.org/fhir/R4/documentreference.html
"""

from collections.abc import Sequence
from typing import Final

from adapters.hl7.mapping.binaries import kept
from adapters.hl7.mapping.code_tables import EXTENSION_R5
from adapters.hl7.mapping.context import Context, Json, extend, urn

_URL: Final = EXTENSION_R5 + "Observation.valueAttachment"
_STATUS: Final = {
    "final": "final",
    "amended": "amended",
    "corrected": "amended",
    "entered-in-error": "entered-in-error",
}


def documents(
    ctx: Context, attachments: Sequence[Json], key: str, result: Json, report: str
) -> list[Json]:
    """Keep what is attached to an Observation; return the Attachments with URLs.

    `key` is that of the Observation, `report` of its report, "" without one. R4 has no
    place for an Attachment in an Observation; R5 has, by whose extension it is told.
    """
    owner = urn("DiagnosticReport", ctx.key_token(report)) if report else ""
    found = []
    for number, attachment in enumerate(attachments, 1):
        linked = kept(ctx, attachment, key, owner)
        extend(result, {"url": _URL, "valueAttachment": linked})
        if owner:  # what belongs to no report is no document of a patient
            _document(ctx, linked, (key, str(number)), result, owner)
        found.append(linked)
    return found


def _document(
    ctx: Context, attachment: Json, key: tuple[str, str], result: Json, report: str
) -> None:
    """Add the DocumentReference by which the document is found among others."""
    status = result["status"]
    resource: Json = {
        "resourceType": "DocumentReference",
        "status": status if status == "entered-in-error" else "current",
        "docStatus": _STATUS.get(status, "preliminary"),
        "type": result["code"],
        "subject": result["subject"],
        "content": [{"attachment": attachment}],
        "context": {"related": [{"reference": report}]},
    }
    if "encounter" in result:
        resource["context"]["encounter"] = [result["encounter"]]
    ctx.put_keyed(ctx.key("DocumentReference", *key), resource)
