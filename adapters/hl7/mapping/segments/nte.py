"""NTE as Annotation, and as an Observation where R4 has no place for a note.

https://hl7.org/fhir/uv/v2mappings/STU1/ConceptMap-segment-nte-to-observation.html
"""

from collections.abc import Sequence
from typing import Final

from adapters.hl7.mapping.context import Context, Json
from adapters.hl7.mapping.datatypes import dtm
from adapters.hl7.mapping.segments import practitioner
from adapters.hl7.message.tokenizer import Segment

COMMENT: Final[Json] = {
    "coding": [
        {
            "system": "http://loinc.org",
            "code": "48767-8",
            "display": "Annotation comment [Interpretation] Narrative",
        }
    ]
}


def text(nte: Segment, path: str) -> str:
    """Return the comment, its repetitions on lines of their own."""
    return "\n".join(part for rep in nte.repetitions(3) if (part := rep.take(1, path)))


def annotations(ctx: Context, notes: Sequence[Segment], holder: Json, path: str) -> list[Json]:
    """Return an Annotation for each note that has a text."""
    found = []
    for nte in notes:
        comment = text(nte, f"{path}.text")
        if not comment:
            continue
        annotation: Json = {}
        author = nte.first(5)
        if author and (person := practitioner.practitioner(ctx, author, holder)):
            annotation["authorReference"] = {"reference": person}
        when = nte.first(6)
        if when and (moment := dtm.date_time(ctx, when, 1, f"{path}.time")):
            annotation["time"] = moment
        annotation["text"] = comment
        found.append(annotation)
    return found


def observation(
    ctx: Context,
    notes: Sequence[Segment],
    key: str,
    subject: str,
    status: str,
    report: str = "",
) -> str | None:
    """Return a reference to the Observation that holds notes, None where they are empty."""
    texts = [comment for nte in notes if (comment := text(nte, "Observation.valueString"))]
    if not texts:
        return None
    resource: Json = {
        "resourceType": "Observation",
        "status": status,
        "code": COMMENT,
        "subject": {"reference": subject},
        "valueString": "\n".join(texts),
    }
    return ctx.put_keyed(key, resource, report)
