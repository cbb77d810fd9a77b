"""The Provenance of a message: what it wrote, who said so, and where its bytes are.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-message-oru-r01-to-bundle.html
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from adapters.hl7.mapping.context import Json

# A Provenance of more versions has more index rows than one resource may have.
MOST_TARGETS: Final = 500
_ACTIVITY: Final = (
    "http://hl7.org/fhir/uv/v2mappings/CodeSystem/provenance-activity-type-v2-to-fhir"
)
_PARTICIPANT: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_MEDIA_TYPE: Final = "x-application/hl7-v2+er7"
US: Final[Json] = {"type": "Device", "display": "Sangam"}


def provenances(
    versions: Sequence[str], said: Mapping[str, Any], recorded: datetime, source: Json
) -> Iterator[Json]:
    """Yield the Provenance of these versions, several of them where they are very many.

    `said` are the members that the message gives (`occurredDateTime`, the author's
    `agent`), `source` is the reference to its row in the inbox.
    """
    for start in range(0, len(versions), MOST_TARGETS):
        yield {
            "resourceType": "Provenance",
            "target": [{"reference": one} for one in versions[start : start + MOST_TARGETS]],
            **({"occurredDateTime": said["occurred"]} if "occurred" in said else {}),
            "recorded": recorded.isoformat(),
            "activity": {
                "coding": [{"system": _ACTIVITY, "code": "v2-fhir-transformation"}],
            },
            "agent": [
                {"type": participant("assembler"), "who": US},
                *({"type": participant("author"), "who": who} for who in said.get("author", ())),
            ],
            "entity": [{"role": "source", "what": source}],
        }


def participant(code: str) -> Json:
    """Return the type of an agent."""
    return {"coding": [{"system": _PARTICIPANT, "code": code}]}


def row_identifier(base: str, row: int) -> Json:
    """Return the identifier of a row of the inbox."""
    return {"system": f"{base}/hl7/message", "value": str(row)}


def document(base: str, row: int, raw: bytes, received: datetime) -> Json:
    """Return the message itself as a DocumentReference."""
    return {
        "resourceType": "DocumentReference",
        "masterIdentifier": row_identifier(base, row),
        "status": "current",
        "date": received.isoformat(),
        "content": [
            {"attachment": {"contentType": _MEDIA_TYPE, "data": b64encode(raw).decode()}},
        ],
    }
