"""Languages of HL7 v2 (table 0296) as tags of BCP 47.

https://www.hl7.org/fhir/R4/valueset-languages.html
"""

import re
from typing import Final

from adapters.hl7.mapping.context import Context, Json
from adapters.hl7.mapping.datatypes import cwe
from adapters.hl7.message.accounting import INVALID_VALUE
from adapters.hl7.message.tokenizer import Segment

_TAGS: Final = "urn:ietf:bcp:47"
_TAG: Final = re.compile(r"[A-Za-z]{2,3}\Z")


def spoken(ctx: Context, segment: Segment, number: int, path: str) -> Json | None:
    """Return the language of a field with its tag; leaves that give none are listed."""
    found = cwe.first_concept(ctx, segment, number, path, table="0296")
    if found is None:
        return None
    said = tagged(found)
    rep = segment.first(number)
    if rep is not None and "coding" not in said:
        segment.disown(number, INVALID_VALUE)
        for component in range(1, len(rep.components) + 1):
            if rep.peek(component) == said.get("text"):
                rep.mark(component, f"{path}.language.text")
    return said


def tagged(language: Json) -> Json:
    """Return the language with its tag, or as a text alone: FHIR takes no codes without one.

    The codes of table 0296 that are in use are those of ISO 639, which are tags.
    """
    codings = language.get("coding", [])
    tags = [one["code"] for one in codings if _TAG.match(one.get("code", ""))]
    if tags:
        return {**language, "coding": [{"system": _TAGS, "code": tags[0].lower()}, *codings]}
    told = (one.get("display") or one.get("code") for one in codings)
    said = language.get("text") or next(filter(None, told), None)
    return {"text": said} if said else language
